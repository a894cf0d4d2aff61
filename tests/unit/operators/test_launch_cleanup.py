"""What becomes of new servers behind a run that has failed, and which steps those are."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from typing import Any, cast

import pytest

from gantry import definition, inventory, names, plan
from gantry.operators import configuration_management, launch_cleanup, launch_finish, termination
from gantry.runtime import lock_holder
from tests.unit.agent.world import DEFINITION
from tests.unit.dag.definitions import HEAD, WEB, service
from tests.unit.operators.test_scaling import servers, trying
from tests.unit.operators.world import Instance, Store

SHOP = HEAD + WEB + f"services: {{db: {service(1, 'web', data='main')}}}\n"


@pytest.mark.parametrize(
    ("states", "failed"),
    [
        ({"finish_launch": "upstream_failed", "tier-web.scale_up": "success"}, ()),
        ({"tier-web.scale_up": "failed", "tier-web.handshake": "upstream_failed"}, ("tier-web.scale_up",)),
        ({"tier-web.handshake_0": "success", "tier-web.handshake_11": "failed"}, ("tier-web.handshake",)),
        ({"service-db.configure_0": None, "service-db.configure_1": "skipped"}, ()),
    ],
)
def test_a_step_has_failed_when_one_of_its_tasks_has(
    states: dict[str, str | None], failed: tuple[str, ...]
) -> None:
    instance = types.SimpleNamespace(dag_id="shop", get_task_states=lambda **_: {"r": states})
    run: Any = types.SimpleNamespace(id="r", plan=plan.launch_plan(definition.loads(SHOP)))
    context: Any = {"ti": instance}
    assert launch_cleanup.failed_steps(context, run) == failed


def test_the_cleanup_waits_for_every_step_and_is_none_of_them() -> None:
    assert plan.launch_plan(definition.loads(SHOP)).cleanup is None
    found = plan.launch_plan(definition.loads(f"on_failure: remove_new\n{SHOP}"))
    assert found.cleanup is not None
    assert found.cleanup not in found.steps
    assert set(found.cleanup.upstream) == {step.id for step in found} - {"finish_launch"}
    assert found.by_id[found.cleanup.id] is found.cleanup


def test_a_scaling_that_fails_has_the_same_cleanup_behind_all_of_its_own_steps() -> None:
    assert plan.scale_plan(definition.loads(SHOP)).cleanup is None
    found = plan.scale_plan(definition.loads(f"on_failure: remove_new\n{SHOP}"))
    assert found.cleanup is not None
    assert set(found.cleanup.upstream) == {step.id for step in found} - {"finish_launch"}


# --- what is new -----------------------------------------------------------------------------------------------

RUN = "abc"
STEPS = plan.launch_plan(definition.loads(f"on_failure: remove_new\n{DEFINITION}"))
ENDING = inventory.InstanceState.SHUTTING_DOWN


class Cloud:
    """The cloud's instances, and what it was told."""

    def __init__(self, *there: inventory.Server, leaving: Sequence[inventory.Server] = ()) -> None:
        self.there = inventory.Inventory(there, tuple(leaving))
        self.waited_for: list[frozenset[str]] = []
        self.told: list[object] = []

    def find(self) -> inventory.Inventory:
        return self.there

    def everything(self, started: frozenset[str] = frozenset()) -> inventory.Inventory:
        self.waited_for.append(started)
        return self.there

    def terminate(self, going: Sequence[inventory.Server]) -> None:
        self.told.append([each.instance_id for each in going])

    def ending(self, _: names.TierName) -> tuple[str, ...]:
        return ()

    def note_arrived(self, found: Sequence[inventory.Server]) -> None:
        self.told.append(("arrived", [each.instance_id for each in found]))


def server(slot: int, tier: str = "application", **facts: Any) -> inventory.Server:
    """One that this run has started."""
    known: dict[str, Any] = {"started_by": RUN, "is_new": True, **facts}
    known.setdefault("name", names.ServerName(f"bookshop-{tier}-{slot}"))
    known.setdefault("instance_id", f"i-{tier}-{slot}")
    (found,) = servers(slot, tier=names.TierName(tier), **known)
    return found


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    return found


def remove(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instances that go behind a run that has failed."""
    monkeypatch.setattr(launch_cleanup, "failed_steps", lambda *_: ("service-app.configure",))
    at = trying(cloud, STEPS, "remove_new_servers", started=lambda: frozenset({"i-young"}))  # type: ignore[arg-type]
    launch_cleanup.RemoveNewServersOperator(task_id="remove_new_servers").perform(
        cast("Any", {"ti": Instance()}), at
    )
    assert cloud.waited_for[0] == {"i-young"}
    return cast("list[str]", cloud.told[0])


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("facts", "goes"),
    [
        ({}, True),
        ({"state": inventory.InstanceState.PENDING}, True),
        # A try that was lost had asked for its end already.
        ({"state": ENDING}, True),
        # Weeks ago, this very run succeeded with it; somebody has cleared a step of it since.
        ({"is_new": False}, False),
        ({"started_by": "another run"}, False),
        ({"started_by": None}, False),
        ({"unreadable": "its tag gantry:slots is missing"}, False),
        ({"tier": names.TierName("cellar")}, False),
    ],
)
def test_new_is_what_the_run_has_started_and_was_never_running_with(
    facts: dict[str, Any], *, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = server(1, is_new=False)
    assert remove(Cloud(old, server(2, **facts)), monkeypatch) == (["i-application-2"] if goes else [])


@pytest.mark.usefixtures("store")
def test_of_two_in_one_slot_none_is_chosen_but_one_that_leaves_is_no_second_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twins = (server(2), server(2, instance_id="i-copy"))
    assert remove(Cloud(*twins), monkeypatch) == []
    assert remove(Cloud(twins[0], leaving=twins[1:]), monkeypatch) == ["i-application-2", "i-copy"]
    ending = server(2, instance_id="i-copy", state=ENDING)
    assert remove(Cloud(twins[0], ending), monkeypatch) == ["i-application-2", "i-copy"]


def note(instance: str, *, renewed: bool = False) -> dict[str, Any]:
    return {"instance": instance, "renewed": renewed}


def test_a_first_launch_takes_its_database_along_and_forgets_what_it_held(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store["data:db:1"] = note("i-database-1")
    assert remove(Cloud(server(1, "database"), server(1)), monkeypatch) == [
        "i-database-1",
        "i-application-1",
    ]
    assert "data:db:1" not in store


@pytest.mark.parametrize("renewed", [True, False])
def test_a_database_that_servers_know_which_stay_is_kept_and_not_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch, *, renewed: bool
) -> None:
    # A recovery that failed behind it: what visitors have written since is nowhere else.
    store["data:db:1"] = note("i-database-1", renewed=renewed)
    known = dict(store)
    old = server(1, is_new=False)
    assert remove(Cloud(server(1, "database"), old, server(2)), monkeypatch) == ["i-application-2"]
    assert store == known


def test_a_database_that_was_not_given_its_data_yet_goes_and_its_predecessors_data_is_remembered(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store["data:db:1"] = note("i-lost")
    old = server(1, is_new=False)
    assert remove(Cloud(server(1, "database"), old), monkeypatch) == ["i-database-1"]
    assert store["data:db:1"] == note("i-lost")


def test_what_the_new_servers_held_is_forgotten_also_if_the_wait_for_their_end_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def still_there(*_: object) -> None:
        raise termination.StillThereError(names.TierName("database"), ("i-database-1",), 300)

    monkeypatch.setattr(termination, "await_end", still_there)
    store["data:db:1"] = note("i-database-1")
    cloud = Cloud(server(1, "database"))
    with pytest.raises(termination.StillThereError):
        remove(cloud, monkeypatch)
    assert cloud.told == [["i-database-1"]]
    assert "data:db:1" not in store


@pytest.mark.usefixtures("store")
def test_chef_forgets_new_servers_while_a_retry_still_finds_them(monkeypatch: pytest.MonkeyPatch) -> None:
    text = DEFINITION.replace(
        "ssh: {connection: bookshop_ssh}", "ssh: {connection: x}, chef: {connection: chef}"
    )
    known = definition.loads(f"on_failure: remove_new\n{text}")
    cloud = Cloud(server(1, is_new=False), server(2))

    def forget(*given: Any) -> list[str]:
        cloud.told.append(("forgotten", list(given[-1])))
        return []

    monkeypatch.setattr(configuration_management, "forget", forget)
    monkeypatch.setattr(launch_cleanup, "failed_steps", lambda *_: ("service-app.configure",))
    at = dataclasses.replace(
        trying(cloud, plan.launch_plan(known), "remove_new_servers"),  # type: ignore[arg-type]
        definition=known,
    )
    launch_cleanup.RemoveNewServersOperator(task_id="r").perform(cast("Any", {"ti": Instance()}), at)
    assert cloud.told == [("forgotten", ["bookshop-application-2"]), ["i-application-2"]]


@pytest.mark.usefixtures("store")
def test_at_the_end_of_a_launch_no_server_is_new_any_more() -> None:
    cloud = Cloud(server(1, is_new=False), server(2))
    launch_finish._settle(trying(cloud, STEPS, "finish_launch"))  # type: ignore[arg-type]
    assert cloud.told == [("arrived", ["i-application-2"])]
