"""What is kept of a deployment: read where an earlier Gantry has put it, and moved once."""

from __future__ import annotations

from typing import Any
from unittest import mock

from gantry import definition, names
from gantry.reconcile import data_placement
from gantry.runtime import asset_state
from gantry.state import filled_slots, keys, run_records
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.world import Store

KNOWN = definition.loads(DEFINITION)
OLD: dict[str, Any] = {
    run_records.key("launch"): [
        {"operation": "launch", "run": "r", "by": "ada", "reason": "", "began": "2026"}
    ],
    filled_slots.KEY: {"database": [1]},
    "data:db:1": {"instance": "i-1", "renewed": False},
    "version:db@bookshop-database-1": {"version": "v"},
    "facts:app@bookshop-application-2": [],
    "turn:launch": {"run": "r"},
}


def test_what_an_earlier_gantry_has_kept_is_read_and_then_moved() -> None:
    new, old = Store(), Store(OLD)
    kept = asset_state.DeploymentStore(new, old)
    assert kept.get("data:db:1") == OLD["data:db:1"]
    kept.set(filled_slots.KEY, {"database": [1, 2]})
    assert kept.move(KNOWN) == 4
    moved = {key: value for key, value in new.items() if key != keys.MOVED}
    # What was written since is not written over; a turn stays with the run that has it.
    assert moved == {
        **{key: value for key, value in OLD.items() if key != "turn:launch"}, filled_slots.KEY: {"database": [1, 2]}
    }  # fmt: skip
    assert kept.move(KNOWN) == 0


def test_what_an_earlier_gantry_never_kept_is_not_asked_for_there() -> None:
    empty = mock.Mock()
    empty.get.return_value = None
    kept = asset_state.DeploymentStore(empty, empty)
    # Each step asks for this once for each tier, and mostly there is nothing.
    assert kept.get("started:web") is None
    assert empty.get.mock_calls == [mock.call("started:web")]
    empty.reset_mock()
    assert kept.get(filled_slots.KEY) is None
    asked = [filled_slots.KEY, keys.MOVED, filled_slots.KEY]
    assert empty.get.mock_calls == [mock.call(each) for each in asked]


def test_what_was_moved_and_is_forgotten_stays_forgotten() -> None:
    new, old = Store(), Store(OLD)
    asset_state.DeploymentStore(new, old).move(KNOWN)
    kept = asset_state.DeploymentStore(new, old)
    memory = data_placement.DataLocations(kept, KNOWN)
    memory.forget_all()
    assert memory.of(names.ServiceName("db"), names.Slot(1)) is None
    assert asset_state.DeploymentStore(new, old).get("data:db:1") is None


def test_what_is_forgotten_before_it_was_moved_stays_forgotten() -> None:
    new, old = Store(), Store(OLD)
    kept = asset_state.DeploymentStore(new, old)
    kept.delete("data:db:1")
    kept.move(KNOWN)
    assert asset_state.DeploymentStore(new, old).get("data:db:1") is None


def test_a_run_that_an_earlier_gantry_began_keeps_its_turn() -> None:
    new, old = Store(), Store(OLD)
    kept = asset_state.DeploymentStore(new, old)
    kept.move(KNOWN)
    assert kept.get("turn:launch") == OLD["turn:launch"]
    kept.set("turn:launch", {"run": "s"})
    assert kept.get("turn:launch") == {"run": "s"}


def test_a_new_deployment_has_nothing_to_move() -> None:
    new, old = Store(), Store({"data:db:1": "another Airflow's"})
    assert asset_state.DeploymentStore(new, old).move(KNOWN) == 0
    assert list(new) == [keys.MOVED]


def test_readers_merge_both_places_until_it_is_moved() -> None:
    assert keys.merged({"a": 1}, {"a": 0, "b": 2}) == {"a": 1, "b": 2}
    assert keys.merged({"a": 1, keys.MOVED: "2026"}, {"b": 2}) == {"a": 1, keys.MOVED: "2026"}
