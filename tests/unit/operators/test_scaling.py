"""Who leaves, what is noted, and what a later launch makes of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from gantry import definition, inventory, names, plan, requests
from gantry.agent import jobs
from gantry.operators import configuration_management, scale_up, scaling, server_retirement
from gantry.reconcile import tier_size
from gantry.runtime import lock_holder, lost_server_report
from gantry.state import installed_versions
from tests.unit.agent.world import DEFINITION, World
from tests.unit.operators.world import Instance, Run, Store

KNOWN = definition.loads(DEFINITION)
APPLICATION = names.TierName("application")


@dataclasses.dataclass
class Cloud:
    """A cloud that remembers what it was told."""

    found: inventory.Inventory
    noted: list[tuple[str, tuple[str, ...]]] = dataclasses.field(default_factory=list)

    def find(self) -> inventory.Inventory:
        return self.found

    def everything(self) -> inventory.Inventory:
        return self.found

    def remember_wanted(self, servers: Sequence[inventory.Server], wanted: int) -> None:
        self.noted.append((f"wanted {wanted}", tuple(each.name for each in servers)))

    def terminate(self, servers: Sequence[inventory.Server]) -> None:
        self.noted.append(("terminated", tuple(each.name for each in servers)))

    def ending(self, *_: object, **__: object) -> tuple[str, ...]:
        return ()

    def let_leave(self, servers: Sequence[inventory.Server]) -> None:
        self.noted.append(("leaving", tuple(each.name for each in servers)))


def servers(*slots: int, **facts: Any) -> tuple[inventory.Server, ...]:
    addresses = {f"application-{slot}": f"10.0.0.{20 + slot}" for slot in slots}
    world = World(addresses=addresses)
    return tuple(dataclasses.replace(world.server(each), **facts) for each in addresses)


def trying(cloud: Cloud, steps: plan.Plan, step: str, **facts: Any) -> Run:
    """A try of a step."""
    return Run(
        definition=KNOWN,
        plan=steps,
        step=steps.by_id[step],
        id="run",
        key=jobs.StepKey(f"abc.{step}", "0", "1"),
        wanted={},
        told=cloud,
        **facts,
    )


def choose(
    found: inventory.Inventory, scaled_to: Mapping[str, int], *, by_clock: bool = False
) -> list[tuple[str, tuple[str, ...]]]:
    cloud = Cloud(found)
    counts = {names.TierName(tier): count for tier, count in scaled_to.items()}
    at = trying(cloud, plan.scale_plan(KNOWN), "choose_servers", scaled_to=counts, by_clock=by_clock)
    operator = scaling.ChooseServersOperator(task_id="choose_servers")
    operator.perform(cast("Any", {"ti": Instance()}), at)
    return cloud.noted


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
    with pytest.raises(requests.ServerCountError, match="7 servers are wanted, and its limits are 2 to 6"):
        choose(inventory.Inventory(servers(1, 2)), {"application": 7})
    with pytest.raises(requests.ServerCountError, match="1 servers are wanted"):
        choose(inventory.Inventory(servers(1, 2)), {"application": 1})


def test_what_is_not_launched_is_refused_by_hand_and_skipped_by_the_clock() -> None:
    with pytest.raises(scaling.NoServersToScaleError, match="Launch it first"):
        choose(inventory.Inventory(()), {"application": 3})
    with pytest.raises(AirflowSkipException):
        choose(inventory.Inventory(()), {"application": 3}, by_clock=True)


@pytest.mark.parametrize(
    ("wanted", "remembered", "count"), [(2, None, 2), (2, 4, 4), (5, 4, 5), (2, 9, 6), (2, 1, 2)]
)
def test_a_launch_wants_what_the_tier_was_scaled_to(wanted: int, remembered: int | None, count: int) -> None:
    found = inventory.Inventory(servers(1, 2, wanted=remembered))
    assert tier_size.or_remembered(KNOWN, APPLICATION, wanted, found) == count


@pytest.mark.parametrize(
    ("found", "is_refused"),
    [
        (servers(1, 2), False),
        (servers(1), True),
        ((*servers(1), *servers(2, is_new=True)), True),
        ((*servers(1), *servers(2, state=inventory.InstanceState.STOPPED)), True),
    ],
)
def test_nothing_is_started_where_the_steps_that_prepare_a_server_are_skipped(
    monkeypatch: pytest.MonkeyPatch, found: tuple[inventory.Server, ...], *, is_refused: bool
) -> None:
    at = trying(Cloud(inventory.Inventory(found)), plan.launch_plan(KNOWN), "tier-application.scale_up")
    skipped: frozenset[str] = frozenset({"tier-application.handshake"})
    monkeypatch.setattr(lost_server_report, "needless", lambda _: skipped)
    with (
        pytest.raises(scale_up.ServersChangedError, match="Clear find_lost")
        if is_refused
        else contextlib.nullcontext()
    ):
        scale_up.refuse_if_changed(cast("Any", None), at, 2)
    # Where they are not skipped, whatever is missing is started.
    monkeypatch.setattr(lost_server_report, "needless", lambda _: frozenset({"tier-proxy.handshake"}))
    scale_up.refuse_if_changed(cast("Any", None), at, 2)


def test_a_server_that_was_lost_after_a_scaling_is_missing() -> None:
    # Only some of them need remember it.
    found = inventory.Inventory((*servers(1, wanted=3), *servers(3)))
    assert tier_size.or_remembered(KNOWN, APPLICATION, 2, found) == 3


def test_new_servers_remember_it_at_the_end_of_the_run() -> None:
    cloud = Cloud(inventory.Inventory((*servers(1, wanted=3), *servers(2, 3))))
    server_retirement.remember(trying(cloud, plan.scale_plan(KNOWN), "finish_launch"))
    assert cloud.noted == [("wanted 3", ("bookshop-application-2", "bookshop-application-3"))]
    never = Cloud(inventory.Inventory(servers(1, 2)))
    server_retirement.remember(trying(never, plan.scale_plan(KNOWN), "finish_launch"))
    assert never.noted == []


def test_a_step_on_the_way_has_jobs_of_its_own() -> None:
    launching = trying(Cloud(inventory.Inventory(())), plan.launch_plan(KNOWN), "tier-application.scale_up")
    at = launching.at(plan.retire_step(APPLICATION))
    assert at.key.step == "abc.tier-application.retire_servers"
    assert at.step.kind is plan.StepKind.RETIRE_SERVERS


def test_balancers_let_go_only_where_somebody_leaves_and_only_those_that_can_know() -> None:
    world = World(addresses={"proxy-1": "10.0.0.31", "proxy-2": "10.0.0.32", "proxy-3": "10.0.0.33"})
    up, new, stopped = (world.server(each) for each in world.addresses)
    proxies = (
        dataclasses.replace(up, host_key="ssh-ed25519 AAAA"),
        new,
        dataclasses.replace(stopped, host_key="ssh-ed25519 BBBB", state=inventory.InstanceState.STOPPED),
    )
    assert released(inventory.Inventory((*servers(1, 2), *proxies))) == []
    assert released(inventory.Inventory((*servers(1, 2), *proxies), servers(3))) == ["bookshop-proxy-1"]


def released(found: inventory.Inventory) -> list[str]:
    """The servers that a balancer's release works on."""
    steps = plan.scale_plan(KNOWN)
    at = trying(Cloud(found), steps, "balancer-front.release_nodes")
    operator = scaling.ReleaseNodesOperator(task_id="release_nodes")
    return [each.name for each in operator.targets(at)]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    return found


def test_who_leaves_is_terminated_and_nobody_else(store: Store) -> None:
    app = names.ServiceName("app")
    noted = [
        installed_versions.PLACES.key(app, names.ServerName(f"bookshop-application-{slot}"))
        for slot in (1, 3)
    ]
    store.update({key: {} for key in noted})
    # Nothing can be stopped there: they have never shaken hands.
    cloud = Cloud(inventory.Inventory(servers(1, 2), servers(3)))
    at = trying(cloud, plan.scale_plan(KNOWN), "tier-application.retire_servers")
    found = server_retirement.retire(
        cast("Any", {"ti": Instance()}), at, scaling.RetireServersOperator(task_id="retire")
    )
    assert cloud.noted == [("terminated", ("bookshop-application-3",))]
    assert found.ended == ("bookshop-application-3",)
    assert ["bookshop-application-3" in each for each in found.skipped] == [True]
    assert list(store) == noted[:1]


@pytest.mark.usefixtures("store")
def test_chef_forgets_who_leaves_but_not_who_has_the_name_by_now(monkeypatch: pytest.MonkeyPatch) -> None:
    text = DEFINITION.replace(
        "ssh: {connection: bookshop_ssh}", "ssh: {connection: x}, chef: {connection: chef}"
    )
    forgotten: list[tuple[str, ...]] = []

    def forget(*given: Any) -> list[str]:
        forgotten.append(tuple(given[-1]))
        return []

    monkeypatch.setattr(configuration_management, "forget", forget)
    known = definition.loads(text)
    cloud = Cloud(inventory.Inventory(servers(1, 2, 3), servers(3, 4)))
    at = dataclasses.replace(
        trying(cloud, plan.scale_plan(known), "tier-application.retire_servers"), definition=known
    )
    server_retirement.retire(
        cast("Any", {"ti": Instance()}), at, scaling.RetireServersOperator(task_id="retire")
    )
    assert forgotten == [("bookshop-application-4",)]
    assert cloud.noted == [("terminated", ("bookshop-application-3", "bookshop-application-4"))]
