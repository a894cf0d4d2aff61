"""Servers with data that were found lost, and that have come back before anything is taken from them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from typing import Any, cast

import pytest

from gantry import definition, errors, inventory, names, plan, requests
from gantry.agent import jobs
from gantry.agent.reachability import Contact, ServerAnswer
from gantry.operators import scaling, server_retirement, server_step, termination
from gantry.reconcile import data_loss_check, data_placement, replacement, server_health, step_run
from gantry.runtime import lock_holder
from tests.unit.agent.world import DEFINITION, World
from tests.unit.operators.world import Instance, Run, Store

KNOWN = definition.loads(DEFINITION)
SILENT, OK = ServerAnswer(Contact.SILENT, "no route"), ServerAnswer(Contact.ANSWERS)
WHY = "it does not answer (no route), since 2026-03-01 12:00:00 UTC"
IMPAIRED = ServerAnswer(Contact.ANSWERS, impaired={names.ServiceName("db"): "no"})


def server(short: str, **facts: Any) -> inventory.Server:
    found = World().server(short)
    return dataclasses.replace(
        found, state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA", **facts
    )


LOOKS = inventory.Ailing(World().server("proxy-1").launched_at, World().server("proxy-1").launched_at)
DATABASE = server("database-1", ailing=LOOKS)
APPLICATION = server("application-1")
NEW = dataclasses.replace(DATABASE, instance_id="i-new", ailing=None)


@dataclasses.dataclass
class Cloud:
    """A cloud that remembers what it was told."""

    found: inventory.Inventory
    sick: tuple[str, ...] = ()
    told: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def find(self) -> inventory.Inventory:
        return self.found

    def everything(self) -> inventory.Inventory:
        return self.found

    def impaired(self, servers: Iterable[inventory.Server]) -> dict[str, str]:
        # The second look asks for those alone that it is about.
        return {each.instance_id: "its checks fail" for each in servers if each.instance_id in self.sick}

    def note_well(self, servers: list[inventory.Server]) -> None:
        self.told.append(("well", *(each.instance_id for each in servers)))

    def terminate(self, servers: Iterable[inventory.Server]) -> None:
        self.told.append(("terminated", *(each.instance_id for each in servers)))

    def ending(self, *_: Any, **__: Any) -> list[str]:
        return []


@dataclasses.dataclass
class Stage:
    """What is met at the second look: by instance, where it is a suspect, otherwise by name."""

    answers: dict[str, ServerAnswer]
    asked: list[str] = dataclasses.field(default_factory=list)

    def meet(
        self, _: Any, servers: Iterable[inventory.Server], __: Any
    ) -> dict[names.ServerName, ServerAnswer]:
        found = {each.name: each.instance_id for each in servers}
        self.asked += found.values()
        return {name: self.answers[instance] for name, instance in found.items()}


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = Stage({"i-application-1": OK})
    monkeypatch.setattr(server_health, "meet", found.meet)
    return found


def trying(cloud: Cloud, steps: plan.Plan, step: str, named: requests.RecoverRequest | None = None) -> Run:
    return Run(
        definition=KNOWN,
        plan=steps,
        step=steps.by_id[step],
        id="run",
        key=jobs.StepKey(f"abc.{step}", "0", "1"),
        wanted={"database": 1, "application": 1, "proxy": 1},
        lost=named,
        told=cloud,
    )


def give_up(
    cloud: Cloud,
    chosen: dict[str, str],
    *,
    anyway: bool = False,
    named: requests.RecoverRequest | None = None,
) -> None:
    """Be about to give up servers, for these reasons."""
    found = {names.ServerName(f"bookshop-{short}"): why for short, why in chosen.items()}
    choice = replacement.Choice(found, {}, frozenset(found if anyway else ()))
    data_loss_check.before_giving_up(trying(cloud, plan.recover_plan(KNOWN), "find_lost", named), choice)


def both(*sick: str) -> Cloud:
    return Cloud(inventory.Inventory((DATABASE, APPLICATION)), sick)


# --- before a server is given up -----------------------------------------------------------------------------


def test_a_database_that_answers_at_the_second_look_is_not_replaced(stage: Stage) -> None:
    stage.answers["i-database-1"] = OK
    cloud = both()
    with pytest.raises(data_loss_check.NotLostError, match="it answers now") as refused:
        give_up(cloud, {"database-1": WHY})
    assert "bookshop-database-1 (i-database-1) was reported as lost (it does not answer (no route)" in str(
        refused.value
    )
    # The next try finds it well, and no look before counts.
    assert refused.value.transient
    assert cloud.told == [("well", "i-database-1")]


@pytest.mark.parametrize("contact", [Contact.BUSY, Contact.REFUSES, Contact.STRANGER], ids=str)
def test_whatever_answers_there_it_is_not_silent_any_more(stage: Stage, contact: Contact) -> None:
    stage.answers["i-database-1"] = ServerAnswer(contact, "says something")
    with pytest.raises(
        data_loss_check.NotLostError, match="a server answers at that address now: says something"
    ):
        give_up(both(), {"database-1": WHY})


def test_one_that_is_silent_still_is_given_up(stage: Stage) -> None:
    stage.answers["i-database-1"] = SILENT
    cloud = both()
    give_up(cloud, {"database-1": WHY})
    assert stage.asked == ["i-database-1", "i-application-1"]
    assert cloud.told == []


def test_silence_proves_nothing_where_everything_is_silent_by_then(stage: Stage) -> None:
    stage.answers |= {"i-database-1": SILENT, "i-application-1": SILENT}
    with pytest.raises(data_loss_check.NotLostError, match="it may be the network"):
        give_up(both(), {"database-1": WHY})
    # Unless the cloud says so, or a person who has looked.
    give_up(both("i-database-1"), {"database-1": WHY})
    give_up(both(), {"database-1": WHY}, named=requests.RecoverRequest(servers=("database-1",)))


def test_what_cannot_be_looked_at_is_not_given_up(stage: Stage) -> None:
    stage.answers["i-database-1"] = ServerAnswer(Contact.UNREACHED, "no SSH connection to jump")
    with pytest.raises(data_loss_check.NotLostError, match="could not be checked: no SSH connection to jump"):
        give_up(both(), {"database-1": WHY})
    give_up(both("i-database-1"), {"database-1": WHY})


def test_one_that_was_found_impaired_answers_and_is_given_up_if_it_is_so_still(stage: Stage) -> None:
    why = "service db is IMPAIRED: its check does not say OK"
    stage.answers["i-database-1"] = IMPAIRED
    give_up(both(), {"database-1": why})
    stage.answers["i-database-1"] = OK
    give_up(both("i-database-1"), {"database-1": "the cloud's system status checks fail"})
    with pytest.raises(data_loss_check.NotLostError):
        give_up(both(), {"database-1": why})
    # One that was silent has only begun.
    stage.answers["i-database-1"] = IMPAIRED
    with pytest.raises(data_loss_check.NotLostError):
        give_up(both(), {"database-1": WHY})


def test_servers_without_data_and_those_that_a_person_gives_up_anyway_are_not_looked_at(stage: Stage) -> None:
    stopped = dataclasses.replace(DATABASE, state=inventory.InstanceState.STOPPED)
    give_up(both(), {"application-1": WHY})
    give_up(both(), {"database-1": "its replacement was requested"}, anyway=True)
    give_up(Cloud(inventory.Inventory((stopped, APPLICATION))), {"database-1": "its instance is stopped"})
    assert stage.asked == []


# --- before it is terminated ---------------------------------------------------------------------------------


def retire(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    """Have the leaving servers of the database's tier taken away."""
    monkeypatch.setattr(lock_holder, "store", lambda _: store)

    def stop(*_: Any) -> types.SimpleNamespace:
        cloud.told.append(("stopped",))
        return types.SimpleNamespace(skipped=())

    monkeypatch.setattr(termination, "stop", stop)
    at = trying(cloud, plan.recover_plan(KNOWN), "tier-database.retire_servers")
    server_retirement.retire(
        cast("Any", {"ti": Instance()}), at, scaling.RetireServersOperator(task_id="retire")
    )


def replaced(**facts: Any) -> Cloud:
    """A database has been replaced, under the same name."""
    old = dataclasses.replace(DATABASE, lost=WHY, ailing=None, **facts)
    return Cloud(inventory.Inventory((NEW, APPLICATION), (old,)))


RENEWED = {"data:db:1": {"instance": "i-new", "renewed": True}}


def test_a_database_that_comes_back_while_it_is_replaced_is_not_terminated(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.answers |= {"i-database-1": OK, "i-new": OK}
    cloud = replaced()
    with pytest.raises(
        data_loss_check.ReturnedServersError, match="neither stopped nor terminated"
    ) as refused:
        retire(cloud, monkeypatch, Store(RENEWED))
    assert cloud.told == []
    assert not refused.value.transient
    assert "has begun from a backup or a dump. Save from i-database-1 what it lacks" in str(refused.value)


def test_one_that_is_lost_still_is_terminated_and_so_is_one_that_a_person_gave_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.answers |= {"i-database-1": SILENT, "i-new": OK}
    cloud = replaced()
    retire(cloud, monkeypatch, Store(RENEWED))
    assert cloud.told == [("stopped",), ("terminated", "i-database-1")]
    stage.answers["i-database-1"] = OK
    cloud = replaced(given_up=True)
    retire(cloud, monkeypatch, Store(RENEWED))
    assert cloud.told == [("stopped",), ("terminated", "i-database-1")]


def test_a_cut_network_terminates_no_database(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.answers |= dict.fromkeys(("i-database-1", "i-new", "i-application-1"), SILENT)
    cloud = replaced()
    with pytest.raises(data_loss_check.ReturnedServersError, match="it may be the network") as refused:
        retire(cloud, monkeypatch, Store(RENEWED))
    # That may be over at the next try.
    assert refused.value.transient
    assert cloud.told == []


NOTED = {"data:db:1": {"instance": "i-database-1", "renewed": False}}


def begin(cloud: Cloud, store: Store) -> None:
    """Begin a run that finds a server which an earlier one has given up."""
    at = trying(cloud, plan.launch_plan(KNOWN), "find_lost")
    data_loss_check.before_beginning(
        KNOWN, cloud.found, (at.cloud, at.health), data_placement.DataLocations(store, KNOWN)
    )


def test_a_run_that_finds_one_back_is_refused_before_it_begins(stage: Stage) -> None:
    stage.answers["i-database-1"] = OK
    old = dataclasses.replace(DATABASE, lost=WHY)
    # Nothing has been given to another server yet: it can have its place back.
    with pytest.raises(
        data_loss_check.ReturnedServersError, match="take the tag gantry:leaving away from i-database-1"
    ) as refused:
        begin(Cloud(inventory.Inventory((APPLICATION,), (old,))), Store(NOTED))
    assert not refused.value.transient


def test_a_run_begins_where_it_is_not_known_how_one_is(stage: Stage) -> None:
    """Or a deployment of one server, which a person has named, would never get another one."""
    old = dataclasses.replace(DATABASE, lost=WHY)
    for answer in (SILENT, ServerAnswer(Contact.UNREACHED, "no SSH connection to jump")):
        stage.answers["i-database-1"] = answer
        begin(Cloud(inventory.Inventory((), (old,))), Store(NOTED))
    assert stage.asked == ["i-database-1", "i-database-1"]


def test_servers_on_which_a_step_has_worked_are_well() -> None:
    """Whatever looks have noted before: a backup, say, is a look as good as any."""
    cloud = Cloud(inventory.Inventory((DATABASE, dataclasses.replace(APPLICATION, ailing=LOOKS))))
    steps = plan.launch_plan(KNOWN)
    at = trying(cloud, steps, "service-db.install_datasources")
    step = server_step.ServerStepOperator(task_id="step", servers=[])
    everything = [
        jobs.ServerProgress(
            step_run.target(each, each.name),
            (),
            failure=None if each is DATABASE else errors.Failure("no answer within 120 s"),
        )
        for each in cloud.found
    ]
    step._note_well(at, everything)
    assert cloud.told == [("well", "i-database-1")]
