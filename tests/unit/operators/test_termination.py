"""What keeps a termination from its end, and what does not: it takes every instance, by its id."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from gantry import definition, inventory, names, plan
from gantry.cloud import eventual_listing
from gantry.configuration_management import chef_server
from gantry.operators import backups, base, configuration_management, termination
from gantry.runtime import asset_state, lock_holder
from gantry.state import installed_versions, keys
from tests.unit.agent.world import DEFINITION

from .test_scaling import Cloud, servers, trying
from .world import Instance, Store

STEPS = plan.termination_plan(definition.loads(DEFINITION))
BACKED = definition.loads(f"{DEFINITION}\nbackups: {{of: {{files: app}}, to: s3://shop/backups/}}\n")
STOPPED = inventory.InstanceState.STOPPED


def ask(*found: inventory.Server, force: bool = False) -> dict[str, Any]:
    at = trying(Cloud(inventory.Inventory(found)), STEPS, "ask_servers", params={"force": force})
    operator = termination.AskServersOperator(task_id="ask_servers")
    return operator.perform(cast("Any", {"ti": Instance()}), at)


def test_servers_that_do_not_run_or_never_shook_hands_are_no_reason_to_refuse() -> None:
    found = ask(*servers(1), *servers(2, state=STOPPED, host_key="ssh-ed25519 AAAA"))
    assert found["servers"] == ["bookshop-application-1", "bookshop-application-2"]
    assert ask()["servers"] == []


def test_a_server_that_cannot_be_reached_is_named_and_only_force_skips_it() -> None:
    lost = servers(2, host_key="ssh-ed25519 AAAA", private_address=None)
    with pytest.raises(termination.SilentServersError, match="nothing was stopped") as raised:
        ask(*servers(1), *lost)
    assert list(raised.value.silent) == ["bookshop-application-2"]
    assert "bookshop-application-1" not in str(raised.value)
    (skipped,) = ask(*servers(1), *lost, force=True)["skipped"]
    assert skipped.startswith("bookshop-application-2: ")


def test_what_does_not_stop_fails_and_only_force_goes_on() -> None:
    lost = inventory.Inventory(servers(2, host_key="ssh-ed25519 AAAA", private_address=None))
    operator = termination.StopServiceOperator(task_id="stop")
    context = cast("Any", {"ti": Instance()})
    with pytest.raises(termination.NotStoppedError, match="no server was terminated"):
        operator.perform(context, trying(Cloud(lost), STEPS, "service-app.stop_service"))
    forced = trying(Cloud(lost), STEPS, "service-app.stop_service", params={"force": True})
    assert len(operator.perform(context, forced)["skipped"]) == 1


def last_backup(*found: inventory.Server, wanted: bool = True) -> None:
    last_backup_of(inventory.Inventory(found), wanted=wanted)


def last_backup_of(found: inventory.Inventory, *, wanted: bool = True) -> None:
    steps = plan.termination_plan(BACKED)
    at = trying(Cloud(found), steps, "backup-files.back_up", params={"final_backup": wanted})
    operator = backups.BackUpOperator(task_id="backup-files.back_up")
    operator.perform(cast("Any", {"ti": Instance()}), dataclasses.replace(at, definition=BACKED))


def test_a_final_backup_is_left_out_where_there_is_nothing_to_save() -> None:
    for found, wanted in (((), True), (servers(1), True), (servers(1, host_key="ssh-ed25519 AAAA"), False)):
        with pytest.raises(AirflowSkipException):
            last_backup(*found, wanted=wanted)


def test_data_on_stopped_servers_is_not_thrown_away() -> None:
    with pytest.raises(backups.NoFinalBackupError, match="bookshop-application-1 is stopped"):
        last_backup(*servers(1, state=STOPPED, host_key="ssh-ed25519 AAAA"))


def test_data_on_a_server_that_is_given_up_is_not_thrown_away() -> None:
    given_up = inventory.Inventory((), servers(1, lost="it does not answer", host_key="ssh-ed25519 AAAA"))
    with pytest.raises(backups.NoFinalBackupError, match=r"bookshop-application-1 is given up \(it does not"):
        last_backup_of(given_up)
    # A scale in has chosen it: nobody misses what is there.
    with pytest.raises(AirflowSkipException):
        last_backup_of(inventory.Inventory((), servers(1, host_key="ssh-ed25519 AAAA")))


# --- any state -------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Instances:
    """The cloud's instances of a deployment, as it lists them; what is terminated is gone."""

    there: list[inventory.Server]
    leaving: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def everything(self, started: frozenset[str] = frozenset()) -> inventory.Inventory:
        if started:
            raise eventual_listing.NotListedYetError(names.DeploymentName("bookshop"), sorted(started))
        return inventory.Inventory(
            tuple(each for each in self.there if each.instance_id not in self.leaving),
            tuple(each for each in self.there if each.instance_id in self.leaving),
        )

    def find(self) -> inventory.Inventory:
        raise AssertionError("a termination must not ask for a list that refuses what is strange")

    def terminate(self, going: list[inventory.Server]) -> None:
        ids = {each.instance_id for each in going}
        self.there = [each for each in self.there if each.instance_id not in ids]

    def ending(self, tier: names.TierName | None) -> tuple[str, ...]:
        return tuple(each.instance_id for each in self.there if tier in (None, each.tier))

    def living(self, instances: Iterable[str]) -> tuple[str, ...]:
        return tuple(each for each in instances if each in (*self.ids, *self.foreign))

    @property
    def ids(self) -> list[str]:
        return [each.instance_id for each in self.there]


def instance(instance_id: str, slot: int = 1, **facts: Any) -> inventory.Server:
    (found,) = servers(slot, instance_id=instance_id, **facts)
    return found


def unreadable(instance_id: str, tier: str = "", **facts: Any) -> inventory.Server:
    return instance(
        instance_id,
        name=names.ServerName(instance_id),
        slot=names.Slot(0),
        tier=names.TierName(tier),
        unreadable="its tag gantry:slots is missing",
        **facts,
    )


RUNS: dict[str, Any] = {"host_key": "ssh-ed25519 AAAA", "private_address": None}
"""A server that runs, and that nobody reaches."""


def asking(*found: inventory.Server, force: bool = False) -> dict[str, Any]:
    at = trying(Instances(list(found)), STEPS, "ask_servers", params={"force": force})  # type: ignore[arg-type]
    return termination.AskServersOperator(task_id="ask").perform(cast("Any", {"ti": Instance()}), at)


def test_two_instances_in_one_slot_are_both_asked_and_told_apart() -> None:
    with pytest.raises(termination.SilentServersError) as raised:
        asking(instance("i-1", **RUNS), instance("i-2", **RUNS), instance("i-3", 2, **RUNS))
    assert sorted(raised.value.silent) == [
        "bookshop-application-1 (i-1)", "bookshop-application-1 (i-2)", "bookshop-application-2",
    ]  # fmt: skip
    # Two that have never shaken hands keep nothing from its end, and are reported.
    found = asking(instance("i-1"), instance("i-2"))
    assert found["servers"] == ["bookshop-application-1"]
    assert found["skipped"] == ["bookshop-application-1: the instances i-1 and i-2 both fill its slot"]


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (unreadable("i-9"), "i-9: it runs, and the definition has no tier of that instance"),
        (unreadable("i-9", "cellar"), "i-9: it runs, and the definition has no tier cellar"),
        (unreadable("i-9", "application"), "i-9: it runs, and its tags do not contain its host key"),
        (
            instance("i-9", tier=names.TierName("cellar"), name=names.ServerName("bookshop-cellar-1")),
            "bookshop-cellar-1: it runs, and the definition has no tier cellar",
        ),
    ],
)
def test_what_runs_and_cannot_be_asked_goes_only_with_force_and_is_reported(
    server: inventory.Server, why: str
) -> None:
    running = dataclasses.replace(server, state=inventory.InstanceState.RUNNING)
    with pytest.raises(termination.SilentServersError, match=why):
        asking(running)
    skipped = asking(running, force=True)["skipped"]
    assert len(skipped) == 2
    assert skipped[0].startswith(why)
    assert "i-9" in skipped[1]
    # What does not run has nothing that could be stopped.
    stopped = dataclasses.replace(server, state=inventory.InstanceState.STOPPED)
    assert [each for each in asking(stopped)["skipped"] if "it runs" in each] == []


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    return found


def note(instance_id: str, *, renewed: bool = False) -> dict[str, Any]:
    return {"instance": instance_id, "renewed": renewed}


def test_a_tiers_instances_go_by_their_ids_and_nothing_claims_that_their_data_lives(store: Store) -> None:
    database: dict[str, Any] = {"tier": names.TierName("database")}
    cloud = Instances(
        [
            instance("i-1", name=names.ServerName("bookshop-database-1"), **database),
            instance("i-2", name=names.ServerName("bookshop-database-1"), **database),
            instance("i-3", name=names.ServerName("bookshop-database-1"), **database),
            unreadable("i-4", "database"),
            unreadable("i-5"),
            instance("i-6"),
        ],
        leaving=("i-3",),
    )
    version = installed_versions.PLACES.key(names.ServiceName("db"), names.ServerName("bookshop-database-1"))
    # Of a server that had taken the place of a lost one, too.
    store.update({"data:db:1": note("i-1", renewed=True), version: {}, "history:launch": []})
    at = trying(cloud, STEPS, "tier-database.terminate_servers")  # type: ignore[arg-type]
    termination.TerminateServersOperator(task_id="t").perform(cast("Any", {"ti": Instance()}), at)
    assert cloud.ids == ["i-5", "i-6"]
    assert list(store) == ["history:launch"]


def test_data_on_an_instance_that_lost_its_tags_is_told_of_and_left_alone(store: Store) -> None:
    cloud = Instances([], foreign=("i-1",))
    store["data:db:1"] = note("i-1")
    at = trying(cloud, STEPS, "tier-database.terminate_servers")  # type: ignore[arg-type]
    operator = termination.TerminateServersOperator(task_id="t")
    (skipped,) = operator.perform(cast("Any", {"ti": Instance()}), at)["skipped"]
    assert skipped.startswith("instance i-1 holds data of service db and is not tagged as one of")
    assert list(store) == []


class Said(Instance):
    """A task instance to which others have reported."""

    try_number = 1
    max_tries = 1

    def __init__(self, **reports: dict[str, Any]) -> None:
        self._reports = reports

    def xcom_pull(self, *, task_ids: list[str], key: str) -> list[Any]:
        assert key == "return_value"
        return [self._reports[each] for each in task_ids if each in self._reports]


def test_the_end_takes_what_no_tier_has_and_forgets_everything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(termination, "remove_drill_servers", lambda *_: [])
    monkeypatch.setattr(lock_holder, "store", lambda _: asset_state.DeploymentStore(store, Store()))
    cloud = Instances([unreadable("i-5"), instance("i-6", tier=names.TierName("cellar"))])
    store.update({"data:db:1": note("i-1"), "slots": {"database": [1]}})
    store[keys.MOVED] = {"moved": "2026", "bundle": "shops"}
    ti = Said(ask_servers={"servers": ["bookshop-database-1"], "skipped": ["i-5: it runs, and so on"]})
    dag_run = types.SimpleNamespace(triggering_user_name="ada", run_type="manual", start_date=None)
    at = trying(
        cloud,  # type: ignore[arg-type]
        STEPS,
        "finish_termination",
        operation=names.Operation.TERMINATE,
        started=lambda: frozenset({"i-late"}),
    )
    found = termination.FinishTerminationOperator(task_id="finish").perform(
        cast("Any", {"ti": ti, "dag_run": dag_run}), at
    )
    assert cloud.ids == []
    assert found["skipped"] == [
        "i-5: it runs, and so on",
        "i-late: started recently, and not listed as the deployment's; check it there",
    ]
    assert [each for each in store if each.startswith(("data:", "slots"))] == []
    # Another bundle may have it now.
    assert store[keys.MOVED] == "2026"


def test_a_chef_server_that_refuses_leaves_the_drills_servers_for_the_next_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = DEFINITION.replace(
        "ssh: {connection: bookshop_ssh}", "ssh: {connection: x}, chef: {connection: chef}"
    )
    known = definition.loads(
        f"{text}\nbackups: {{of: {{files: app}}, to: s3://shop/backups/, drill: {{schedule: null}}}}\n"
    )
    refused = [True]
    forgotten: list[list[str]] = []

    def forget(_: base.StepOperator, __: Any, ___: Any, gone: list[str]) -> list[str]:
        if refused.pop() if refused else False:
            raise chef_server.ChefServerUnreachableError(
                "https://chef.example.com", "it refuses", untrusted=False
            )
        forgotten.append(list(gone))
        return []

    monkeypatch.setattr(configuration_management, "forget", forget)
    cloud = Instances([instance("i-1")])
    at = dataclasses.replace(
        trying(cloud, plan.termination_plan(known), "finish_termination"),  # type: ignore[arg-type]
        definition=known,
    )
    operator = termination.FinishTerminationOperator(task_id="finish")
    with pytest.raises(chef_server.ChefServerUnreachableError):
        termination.remove_drill_servers(cast("Any", {}), at, operator)
    assert cloud.ids == ["i-1"]
    assert termination.remove_drill_servers(cast("Any", {}), at, operator) == ["bookshop-application-1"]
    assert (cloud.ids, forgotten) == ([], [["bookshop-application-1"]])
