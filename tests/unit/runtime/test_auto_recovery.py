"""When a look at the servers calls for a recovery, and how often."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any, cast

import pytest

from gantry import definition, inventory, names, plan
from gantry.agent import jobs, metrics
from gantry.agent.reachability import Contact
from gantry.plan import StepKind
from gantry.reconcile import step_run
from gantry.reconcile.watch_report import ServerObservation, WatchReport
from gantry.runtime import auto_recovery, lock_holder
from gantry.runtime.trigger_request import TriggerRequest
from gantry.state import filled_slots
from tests.unit.agent.world import DEFINITION, SERVERS, World
from tests.unit.operators.world import Store

KNOWN = definition.loads(f"{DEFINITION}watch: {{every: 1m, replace: true}}\n")
BEGIN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
LOG = logging.getLogger("test")
SLOTS = {"database": [1], "application": [1, 2], "proxy": [1]}


@dataclasses.dataclass
class Cloud:
    """A cloud whose servers remember since when they are not well."""

    servers: dict[str, inventory.Server]
    sick: dict[str, str] = dataclasses.field(default_factory=dict)

    def impaired(self, _: object) -> dict[str, str]:
        return self.sick

    def note_ailing(self, servers: list[inventory.Server], looks: inventory.Ailing) -> None:
        for short, each in self.servers.items():
            if each in servers:
                self.servers[short] = dataclasses.replace(each, ailing=looks)

    def note_well(self, servers: list[inventory.Server]) -> None:
        for short, each in self.servers.items():
            if each in servers:
                self.servers[short] = dataclasses.replace(each, ailing=None)


@dataclasses.dataclass(frozen=True)
class _Run(step_run.StepRun):
    told: Cloud = dataclasses.field(kw_only=True)

    @property
    def health(self) -> Any:
        return self.told

    @property
    def inventory(self) -> inventory.Inventory:
        return inventory.Inventory(tuple(self.told.servers.values()))


@dataclasses.dataclass
class Watching:
    """A deployment that is watched."""

    cloud: Cloud
    store: Store

    def noted(self, short: str) -> inventory.Ailing | None:
        """The looks that have found a server not well, as the cloud remembers them."""
        return self.cloud.servers[short].ailing

    def look(
        self, minute: float, *silent: str, known: definition.models.Definition = KNOWN
    ) -> TriggerRequest | None:
        """What follows from a look in which these do not answer."""
        steps = plan.watch_plan(known)
        at = _Run(
            definition=known,
            plan=steps,
            step=steps.by_id["watch"],
            id="run",
            key=jobs.StepKey("abc.watch", "0", "1"),
            wanted={"database": 1, "application": 2, "proxy": 1},
            told=self.cloud,
        )
        sights = tuple(
            ServerObservation(
                each,
                metrics.MetricsResult(each.name, each.instance_id, _answer(short, each, silent), "no route"),
            )
            for short, each in self.cloud.servers.items()
        )
        look = auto_recovery.remember(at, WatchReport(moment(minute), None, sights))
        return auto_recovery.decide(at, look, cast("Any", LOG))


def moment(minute: float) -> datetime.datetime:
    return BEGIN + datetime.timedelta(minutes=minute)


def _answer(short: str, server: inventory.Server, silent: tuple[str, ...]) -> Contact:
    if server.state is not inventory.InstanceState.RUNNING:
        return Contact.SILENT
    return Contact.SILENT if short in silent else Contact.ANSWERS


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Watching:
    store = Store({filled_slots.KEY: SLOTS})
    monkeypatch.setattr(lock_holder, "store", lambda _: store)

    world = World()
    up = {
        short: dataclasses.replace(
            world.server(short), state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA"
        )
        for short in SERVERS
    }
    return Watching(Cloud(up), store)


def test_silence_is_noted_and_calls_for_a_recovery_when_its_delay_is_over(watching: Watching) -> None:
    assert watching.look(0, "application-2") is None
    assert watching.look(4, "application-2") is None
    order = watching.look(6, "application-2")
    assert order is not None
    assert order.conf == {}
    assert order.why.startswith("bookshop-application-2: it does not answer (no route)")


def test_who_comes_back_is_forgotten(watching: Watching) -> None:
    watching.look(0, "application-2")
    assert watching.look(3) is None
    assert watching.noted("application-2") is None


BLIND = definition.loads(f"{DEFINITION}watch: {{every: 1m}}\n")


def test_a_watch_that_replaces_nothing_ends_what_a_launch_has_noted_and_begins_nothing(
    watching: Watching,
) -> None:
    watching.look(0, "application-2", known=BLIND)
    assert watching.noted("application-2") is None
    # As a launch does. What follows is added to that.
    watching.look(1, "application-2")
    watching.look(4, "application-2", known=BLIND)
    assert watching.noted("application-2") == inventory.Ailing(moment(1), moment(4))
    watching.look(5, known=BLIND)
    assert watching.noted("application-2") is None


def test_a_good_look_counts_also_before_a_launch_has_arrived(watching: Watching) -> None:
    watching.look(0, "application-2")
    del watching.store[filled_slots.KEY]
    watching.look(1)
    assert watching.noted("application-2") is None


def test_a_server_that_blinks_is_not_lost(watching: Watching) -> None:
    for minute in range(0, 40, 4):
        assert watching.look(minute, "application-2") is None
        assert watching.look(minute + 2) is None


def test_silence_after_a_long_time_without_a_look_begins_anew(watching: Watching) -> None:
    assert watching.look(0, "application-2") is None
    assert watching.look(60 * 24 * 14, "application-2") is None
    assert watching.look(60 * 24 * 14 + 6, "application-2") is not None


def test_after_a_cut_network_a_server_that_is_slow_to_come_back_has_its_time(watching: Watching) -> None:
    for minute in range(10):
        watching.look(minute, *SERVERS)
    assert watching.look(10, "application-2") is None
    assert watching.look(14, "application-2") is None
    assert watching.look(15, "application-2") is not None


def test_an_instance_that_does_not_run_begins_anew(watching: Watching) -> None:
    watching.look(0, "application-2")
    found = watching.cloud.servers["application-2"]
    watching.cloud.servers["application-2"] = dataclasses.replace(
        found, state=inventory.InstanceState.STOPPED
    )
    watching.look(1)
    assert watching.noted("application-2") is None


def test_a_loss_is_asked_for_once_and_again_after_an_hour(watching: Watching) -> None:
    del watching.cloud.servers["database-1"]
    order = watching.look(0)
    assert order is not None
    assert order.why == "bookshop-database-1: its instance is gone"
    assert watching.look(1) is None
    assert watching.look(59) is None
    assert watching.look(61) is not None
    # What is mended and lost again is another loss.
    watching.cloud.servers["database-1"] = dataclasses.replace(
        World().server("database-1"), state=inventory.InstanceState.RUNNING, host_key="k"
    )
    assert watching.look(62) is None
    del watching.cloud.servers["database-1"]
    assert watching.look(63) is not None


def test_a_stopped_server_calls_for_it_too(watching: Watching) -> None:
    found = watching.cloud.servers["proxy-1"]
    watching.cloud.servers["proxy-1"] = dataclasses.replace(found, state=inventory.InstanceState.STOPPED)
    order = watching.look(0)
    assert order is not None
    assert order.why == "bookshop-proxy-1: its instance is stopped"


def test_a_broken_way_to_all_of_them_calls_for_nothing(watching: Watching) -> None:
    watching.look(0, *SERVERS)
    assert watching.look(10, *SERVERS) is None


def test_what_is_not_launched_or_terminated_is_not_recovered(watching: Watching) -> None:
    watching.cloud.servers.clear()
    del watching.store[filled_slots.KEY]
    assert watching.look(0) is None


def test_a_deployment_all_of_whose_servers_are_gone_is_lost(watching: Watching) -> None:
    watching.cloud.servers.clear()
    order = watching.look(0)
    assert order is not None
    assert order.why.count("its instance is gone") == len(SERVERS)


def test_only_a_definition_that_wants_it_has_the_trigger() -> None:
    kinds = [step.kind for step in plan.watch_plan(KNOWN)]
    assert kinds == [StepKind.WATCH, StepKind.TRIGGER_RECOVER]
    assert names.dag_id("bookshop", plan.TRIGGERED[StepKind.TRIGGER_RECOVER]) == "bookshop.recover"
    bare = definition.loads(f"{DEFINITION}watch: {{every: 1m}}\n")
    assert [step.kind for step in plan.watch_plan(bare)] == [StepKind.WATCH]
