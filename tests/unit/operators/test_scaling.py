"""Who leaves, what is noted, and what a later launch makes of it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from tests.unit.agent.world import DEFINITION, World

from gantry import definition, inventory, names, plan
from gantry.agent import jobs
from gantry.operators import run, scale_up, scaling

KNOWN = definition.loads(DEFINITION)
APPLICATION = names.TierName("application")


@dataclasses.dataclass
class Cloud:
    """A cloud that remembers what it was told."""

    found: inventory.Inventory
    noted: list[tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=list)

    def find(self) -> inventory.Inventory:
        return self.found

    def remember_wanted(self, servers: Sequence[inventory.Server], wanted: int) -> None:
        self.noted.append((f"wanted {wanted}", tuple(each.name for each in servers)))

    def let_leave(self, servers: Sequence[inventory.Server]) -> None:
        self.noted.append(("leaving", tuple(each.name for each in servers)))


def servers(*slots: int, **facts: Any) -> tuple[inventory.Server, ...]:
    addresses = {f"application-{slot}": f"10.0.0.{20 + slot}" for slot in slots}
    world = World(addresses=addresses)
    return tuple(dataclasses.replace(world.server(each), **facts) for each in addresses)


def choose(
    found: inventory.Inventory, scaled_to: Mapping[str, int], *, by_clock: bool = False
) -> list[tuple[str, tuple[str, ...]]]:
    steps = plan.scale_plan(KNOWN)
    cloud = Cloud(found)
    trying = _Run(
        definition=KNOWN,
        plan=steps,
        step=steps.by_id["choose_servers"],
        id="run",
        key=jobs.StepKey("abc.choose_servers", "0", "1"),
        wanted={},
        redeploy=frozenset(),
        converge=frozenset(),
        reason="",
        scaled_to={names.TierName(tier): count for tier, count in scaled_to.items()},
        by_clock=by_clock,
        told=cloud,
    )
    operator = scaling.ChooseServersOperator(task_id="choose_servers")
    operator.perform(cast("Any", {"ti": _Instance()}), trying)
    return cloud.noted


@dataclasses.dataclass(frozen=True)
class _Run(run.Run):
    told: Cloud = dataclasses.field(kw_only=True)

    @property
    def cloud(self) -> Any:
        return self.told

    @property
    def inventory(self) -> inventory.Inventory:
        return self.told.find()


class _Instance:
    """A task instance, as far as a report needs one."""

    start_date = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def test_the_highest_slots_leave_and_those_that_stay_remember_how_many_they_are() -> None:
    assert choose(inventory.Inventory(servers(1, 3, 4)), {"application": 2}) == [
        ("wanted 2", ("bookshop-application-1", "bookshop-application-3")),
        ("leaving", ("bookshop-application-4",)),
    ]


def test_who_leaves_already_is_not_counted_again() -> None:
    found = inventory.Inventory(servers(1, 2), servers(3))
    assert choose(found, {"application": 2})[1] == ("leaving", ())


def test_more_than_there_are_is_only_remembered() -> None:
    assert choose(inventory.Inventory(servers(1, 2)), {"application": 4}) == [
        ("wanted 4", ("bookshop-application-1", "bookshop-application-2")),
        ("leaving", ()),
    ]


def test_a_tier_without_a_number_is_left_alone() -> None:
    assert choose(inventory.Inventory(servers(1, 2, 3)), {}) == []


def test_a_number_beyond_the_limits_is_refused_before_anything_is_noted() -> None:
    with pytest.raises(scale_up.ServerCountError, match="7 servers are wanted, and its limits are 2 to 6"):
        choose(inventory.Inventory(servers(1, 2)), {"application": 7})
    with pytest.raises(scale_up.ServerCountError, match="1 servers are wanted"):
        choose(inventory.Inventory(servers(1, 2)), {"application": 1})


def test_what_is_not_launched_is_refused_by_hand_and_skipped_by_the_clock() -> None:
    with pytest.raises(scaling.NothingToScaleError, match="Launch it first"):
        choose(inventory.Inventory(()), {"application": 3})
    with pytest.raises(AirflowSkipException):
        choose(inventory.Inventory(()), {"application": 3}, by_clock=True)


@pytest.mark.parametrize(
    ("wanted", "remembered", "count"), [(2, None, 2), (2, 4, 4), (5, 4, 5), (2, 9, 6), (2, 1, 2)]
)
def test_a_launch_wants_what_the_tier_was_scaled_to(wanted: int, remembered: int | None, count: int) -> None:
    found = inventory.Inventory(servers(1, 2, wanted=remembered))
    assert scale_up.or_remembered(KNOWN, APPLICATION, wanted, found) == count


def test_a_server_that_was_lost_after_a_scaling_is_missing() -> None:
    # Only some of them need remember it.
    found = inventory.Inventory((*servers(1, wanted=3), *servers(3)))
    assert scale_up.or_remembered(KNOWN, APPLICATION, 2, found) == 3


def test_a_step_on_the_way_has_jobs_of_its_own() -> None:
    steps = plan.launch_plan(KNOWN)
    at = run.Run(
        definition=KNOWN,
        plan=steps,
        step=steps.by_id["tier-application.scale_up"],
        id="run",
        key=jobs.StepKey("abc.tier-application.scale_up", "0", "1"),
        wanted={},
        redeploy=frozenset(),
        converge=frozenset(),
        reason="",
    ).at(plan.retire_step(APPLICATION))
    assert at.key.step == "abc.tier-application.retire_servers"
    assert at.step.kind is plan.StepKind.RETIRE_SERVERS
