"""The step that finds lost servers: what it notes, what it refuses, and when there is nothing to do."""

from __future__ import annotations

import dataclasses
import datetime
import time
import types
from collections.abc import Iterable
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped

from gantry import definition, errors, inventory, names, plan, requests
from gantry.agent import jobs
from gantry.agent.reachability import Contact, ServerAnswer
from gantry.cloud import backups
from gantry.operators import recovery
from gantry.preview import unchanged
from gantry.reconcile import (
    data_history,
    data_loss_check,
    data_placement,
    data_renewal,
    replacement,
    server_health,
)
from gantry.runtime import lock_holder, lost_server_report, xcom
from gantry.state import filled_slots, operation_lock, run_records
from tests.unit.agent.world import DEFINITION, SERVERS, World
from tests.unit.operators.world import Instance, Run, Store
from tests.unit.reconcile.test_data_placement import STORED

KNOWN = definition.loads(DEFINITION)
DAG_RUN = types.SimpleNamespace(triggering_user_name="ada", run_type="manual")
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)
LOOKS = inventory.Ailing(NOW, NOW)


@dataclasses.dataclass
class Cloud:
    """A cloud that remembers what it was told, in the order of the calls."""

    found: inventory.Inventory
    told: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def find(self) -> inventory.Inventory:
        return self.found

    def give_up(self, server: inventory.Server, why: str, *, anyway: bool) -> None:
        assert not anyway
        self.told.append(("lost", server.name, why))

    def note_ailing(self, servers: list[inventory.Server], looks: inventory.Ailing) -> None:
        self.told.append(("ailing", *(each.name for each in servers), looks.since.isoformat()))

    def impaired(self, _: object) -> dict[str, str]:
        return {}

    def note_well(self, servers: list[inventory.Server]) -> None:
        self.told.append(("well", *(each.name for each in servers)))


def server(short: str, **facts: Any) -> inventory.Server:
    found = World().server(short)
    return dataclasses.replace(
        found, state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA", **facts
    )


def trouble(short: str, due: float, **facts: Any) -> server_health.UnhealthyServer:
    """Counts as lost in so many minutes."""
    when = NOW + datetime.timedelta(minutes=due)
    return server_health.UnhealthyServer(server(short, **facts), "it does not answer (no route)", LOOKS, when)


@dataclasses.dataclass
class Stage:
    """A deployment whose servers are in some state."""

    monkeypatch: pytest.MonkeyPatch
    store: Store
    secured: list[str] = dataclasses.field(default_factory=list)
    ran: bool = False
    newest: backups.Stored | None = None

    answers: dict[str, ServerAnswer] = dataclasses.field(default_factory=dict)
    later: tuple[server_health.HealthReport, ...] = ()
    slept: list[float] = dataclasses.field(default_factory=list)

    def _meet(
        self, _: Any, servers: Iterable[inventory.Server], __: Any
    ) -> dict[names.ServerName, ServerAnswer]:
        """The second look at servers with data."""
        return {each.name: self.answers[each.instance_id] for each in servers}

    def find(
        self,
        findings: server_health.HealthReport,
        *present: str,
        named: requests.RecoverRequest | None = None,
        from_dump: tuple[str, ...] = (),
        from_backup: tuple[str, ...] = (),
        text: str = DEFINITION,
    ) -> tuple[Cloud, dict[str, Any]]:
        """What a run finds, and notes."""
        self.cloud = Cloud(inventory.Inventory(tuple(map(server, present))))
        looks = iter((findings, *self.later))
        self.monkeypatch.setattr(server_health, "examine", lambda *_: next(looks))
        self.monkeypatch.setattr(time, "sleep", self.slept.append)
        self.monkeypatch.setattr(server_health, "meet", self._meet)
        known = definition.loads(text)
        steps = plan.launch_plan(known) if named is None else plan.recover_plan(known)
        at = Run(
            definition=known,
            plan=steps,
            step=steps.by_id["find_lost"],
            id="run",
            key=jobs.StepKey("abc.find_lost", "0", "1"),
            wanted={"database": 1, "application": 2, "proxy": 1},
            lost=named,
            params={"from_dump": list(from_dump), "from_backup": list(from_backup)},
            told=self.cloud,
        )
        operator = recovery.FindLostOperator(task_id="find_lost")
        return self.cloud, operator.perform(cast("Any", {"ti": Instance(), "dag_run": DAG_RUN}), at)

    def take(self, _: str) -> backups.Stored:
        """The newest backup on the shelf."""
        if self.newest is None:
            raise backups.NoBackupError("s3://bookshop/backups/bookshop/rows/", "", [])
        return self.newest


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    store = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: store)
    found = Stage(monkeypatch, store)
    monkeypatch.setattr(lock_holder, "secure", lambda _, at: found.secured.append(at.deployment))
    monkeypatch.setattr(lock_holder, "ran", lambda _: found.ran)
    monkeypatch.setattr(Run, "shelf", lambda *_: types.SimpleNamespace(find=found.take))
    return found


WELL = server_health.HealthReport(well=tuple(map(server, SERVERS)))
"""All servers are there."""


def test_a_launch_with_nothing_to_do_skips_its_steps_but_the_last(stage: Stage) -> None:
    stage.monkeypatch.setattr(unchanged, "look", lambda _: unchanged.LaunchForecast(None))
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        stage.find(WELL, *SERVERS)
    every = {step.id for step in plan.launch_plan(KNOWN)}
    assert set(skipped.value.tasks) == every - {"turn", "find_lost", "finish_launch"}
    assert Instance.pushed["return_value"][xcom.UNCHANGED] is True


@pytest.mark.parametrize(
    "why",
    ["bookshop-proxy-1, balancer-front.start_proxy: its configuration changes", errors.GantryError("no key")],
)
def test_whatever_is_in_doubt_lets_the_steps_decide(
    stage: Stage, why: str | errors.GantryError, capsys: pytest.CaptureFixture[str]
) -> None:

    def look(_: object) -> unchanged.LaunchForecast:
        if isinstance(why, errors.GantryError):
            raise why
        return unchanged.LaunchForecast(why)

    stage.monkeypatch.setattr(unchanged, "look", look)
    _, report = stage.find(WELL, *SERVERS)
    assert {xcom.UNCHANGED, xcom.NEEDLESS}.isdisjoint(report)
    assert f"the steps that follow are needed: {why}" in capsys.readouterr().out


def test_a_launch_skips_the_steps_that_have_nothing_to_do(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    needless = frozenset({"tier-database.handshake", "tier-application.handshake"})
    forecast = unchanged.LaunchForecast("service-app.configure: the port changes", needless)
    stage.monkeypatch.setattr(unchanged, "look", lambda _: forecast)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        stage.find(WELL, *SERVERS)
    # In the order of the plan.
    in_order = [step.id for step in plan.launch_plan(KNOWN) if step.id in needless]
    assert list(skipped.value.tasks) == in_order
    assert Instance.pushed["return_value"][xcom.NEEDLESS] == in_order
    assert xcom.UNCHANGED not in Instance.pushed["return_value"]
    said = capsys.readouterr().out
    assert "the steps that follow are needed: service-app.configure: the port changes" in said
    assert f"nothing before them has: {', '.join(in_order)}" in said


def test_a_server_that_is_missing_or_was_not_reached_is_no_matter_for_a_look(stage: Stage) -> None:
    """The steps run then: nothing is asked of the others first."""
    stage.monkeypatch.setattr(unchanged, "look", lambda _: pytest.fail("asked"))
    stage.find(WELL, *list(SERVERS)[:-1])
    stage.find(server_health.HealthReport(well=WELL.well[:-1]), *SERVERS)
    busy = {names.ServerName("bookshop-proxy-1"): "too many connections"}
    stage.find(dataclasses.replace(WELL, well=WELL.well[:-1], busy=busy), *SERVERS)


def test_a_first_launch_finds_nothing_lost_and_nothing_to_restore(stage: Stage) -> None:
    cloud, report = stage.find(server_health.NOTHING)
    assert (cloud.told, report["slots"], list(stage.store)) == ([], {}, [data_history.COMPLETE])
    assert stage.secured == ["bookshop"]


def test_what_is_lost_is_noted_as_leaving_and_what_ails_is_noted_too(stage: Stage) -> None:
    findings = server_health.HealthReport(
        lost=(trouble("application-2", 0, ailing=LOOKS),), ailing=(trouble("proxy-1", 5),)
    )
    cloud, report = stage.find(findings, *SERVERS)
    why = "it does not answer (no route), since 2026-03-01 12:00:00 UTC"
    assert cloud.told == [
        ("ailing", "bookshop-proxy-1", NOW.isoformat()),
        ("lost", "bookshop-application-2", why),
    ]
    assert (report["servers"], report["slots"]) == (["bookshop-application-2"], {"application": [2]})


def test_what_is_well_again_is_forgotten_and_so_is_what_was_down(stage: Stage) -> None:
    well = (server("application-1"), server("application-2", ailing=LOOKS))
    cloud, _ = stage.find(server_health.HealthReport(well=well), *SERVERS)
    assert cloud.told == [("well", "bookshop-application-2")]


def test_each_look_is_noted_also_where_one_was_noted_before(stage: Stage) -> None:
    before, now = inventory.Ailing(NOW, NOW), inventory.Ailing(NOW, NOW + datetime.timedelta(minutes=3))
    up = server("proxy-1", ailing=before)
    found = server_health.UnhealthyServer(
        up, "it does not answer (no route)", now, NOW + datetime.timedelta(minutes=5)
    )
    same = dataclasses.replace(found, looks=before)
    cloud, _ = stage.find(server_health.HealthReport(ailing=(found,)), *SERVERS)
    assert cloud.told == [("ailing", "bookshop-proxy-1", now.since.isoformat())]
    # A look that may have seen the way alone says nothing new.
    cloud, _ = stage.find(server_health.HealthReport(ailing=(same,)), *SERVERS)
    assert cloud.told == []


def test_one_that_an_earlier_launch_has_found_silent_is_looked_at_until_it_is_lost(stage: Stage) -> None:
    """A launch each night, and no watch: the first fails in its handshake, and the second replaces the server."""
    last_night = inventory.Ailing(NOW - datetime.timedelta(days=1), NOW - datetime.timedelta(days=1))
    again = dataclasses.replace(trouble("application-2", 5, ailing=last_night), was_so_before=True)
    since = trouble("application-2", 5, ailing=LOOKS)
    stage.later = (server_health.HealthReport(ailing=(since,)), server_health.HealthReport(lost=(since,)))
    _, report = stage.find(server_health.HealthReport(ailing=(again,)), *SERVERS)
    assert stage.slept == [10, 10]
    assert report["servers"] == ["bookshop-application-2"]
    # Or until it is back.
    stage.later, stage.slept[:] = (server_health.NOTHING,), []
    _, report = stage.find(server_health.HealthReport(ailing=(again,)), *SERVERS)
    assert (stage.slept, report["servers"]) == ([10], [])


def test_the_first_launch_that_finds_one_silent_leaves_it_to_the_handshake(stage: Stage) -> None:
    _, report = stage.find(server_health.HealthReport(ailing=(trouble("application-2", 5),)), *SERVERS)
    assert (stage.slept, report["servers"]) == ([], [])


def test_a_lost_database_without_a_backup_is_refused_before_anything_is_noted_as_lost(stage: Stage) -> None:
    findings = server_health.HealthReport(
        lost=(
            trouble("application-2", 0, ailing=LOOKS),
            trouble("database-1", 0, ailing=LOOKS),
        )
    )
    stage.answers = {"i-database-1": ServerAnswer(Contact.SILENT, "no route")} | dict.fromkeys(
        ("i-application-1", "i-proxy-1"), ServerAnswer(Contact.ANSWERS)
    )
    with pytest.raises(data_renewal.DataLostError):
        stage.find(findings, *SERVERS)
    assert stage.cloud.told == []
    # It had its data, though nobody had noted that.
    assert stage.store == {"data:db:1": {"instance": "i-database-1", "renewed": False}}
    cloud, report = stage.find(findings, *SERVERS, from_dump=("db.catalog",))
    assert len(cloud.told) == len(report["servers"]) == 2
    # It has come back between the look and now.
    stage.answers["i-database-1"] = ServerAnswer(Contact.ANSWERS)
    with pytest.raises(data_loss_check.NotLostError):
        stage.find(findings, *SERVERS, from_dump=("db.catalog",))
    assert stage.cloud.told == [("well", "bookshop-database-1")]


def test_a_recovery_of_what_is_well_is_skipped_and_no_failure_in_the_history(stage: Stage) -> None:
    who = operation_lock.LockApplicant(names.Operation.RECOVER, "run", "2026-03-01T12:00:00+00:00")
    stage.monkeypatch.setattr(lock_holder, "asker", lambda *_: who)
    with pytest.raises(AirflowSkipException, match="no server of bookshop is lost"):
        stage.find(server_health.NOTHING, *SERVERS, named=requests.RecoverRequest())
    (record,) = run_records.load(stage.store[run_records.key("recover")])
    assert record.result is run_records.Result.SUCCESS
    # It has installed nothing, so the object store's versions are none of its own.
    assert (record.versions, record.versions_before, record.started) == ({}, {}, {})


def test_a_recovery_of_what_has_time_left_says_until_when(stage: Stage) -> None:
    with pytest.raises(
        replacement.NotYetLostError, match="counts as lost if a check from 2026-03-01 12:05:00 UTC on"
    ):
        stage.find(
            server_health.HealthReport(ailing=(trouble("proxy-1", 5),)),
            *SERVERS,
            named=requests.RecoverRequest(),
        )
    # It is remembered for the next one.
    assert stage.cloud.told == [("ailing", "bookshop-proxy-1", NOW.isoformat())]


def test_a_recovery_that_could_not_ask_does_not_say_that_nothing_is_lost(stage: Stage) -> None:
    unreached = {names.ServerName("bookshop-proxy-1"): "no SSH connection to jump"}
    with pytest.raises(replacement.NotAskedError, match="bookshop-proxy-1: no SSH connection to jump"):
        stage.find(server_health.HealthReport(unreached=unreached), *SERVERS, named=requests.RecoverRequest())


def test_a_recovery_goes_on_for_what_is_gone(stage: Stage) -> None:
    cloud, report = stage.find(
        server_health.NOTHING, "database-1", "application-1", "proxy-1", named=requests.RecoverRequest()
    )
    assert (cloud.told, report["servers"]) == ([], [])


def test_a_person_is_told_of_strangers() -> None:
    (line,) = lost_server_report.said(
        server_health.HealthReport(key_mismatches={names.ServerName("bookshop-proxy-1"): "another host key"})
    )
    assert line.startswith("bookshop-proxy-1: another host key. It is neither used nor replaced")


# --- what nothing is noted of --------------------------------------------------------------------------------

BACKED_UP = f"{DEFINITION}backups: {{of: {{rows: db.catalog}}, to: s3://bookshop/backups/}}\n"
OTHERS = ("application-1", "application-2", "proxy-1")


def terminated(over: str) -> list[Any]:
    record = run_records.Record("terminate", "run", "ada", "", "2026-01-01", run_records.Result.SUCCESS, over)
    return run_records.dump((record,))


def test_what_tells_that_data_was_loaded_are_tasks_of_a_launch() -> None:
    tasks = data_history.telling(KNOWN)
    assert tasks == ["finish_launch", "service-db.install_datasources"]
    assert set(tasks) <= set(plan.launch_plan(KNOWN).by_id)


def test_a_first_launch_is_asked_nothing(stage: Stage) -> None:
    _, report = stage.find(server_health.NOTHING, text=BACKED_UP)
    assert report["slots"] == {}
    # It failed before the database was started; other servers are there.
    stage.ran = True
    stage.find(server_health.NOTHING, *OTHERS, text=BACKED_UP)
    assert list(stage.store) == [data_history.COMPLETE]


@pytest.mark.parametrize("sign", ["servers", "runs", "backup"])
def test_a_database_that_is_gone_with_its_note_is_not_filled_from_the_dump(stage: Stage, sign: str) -> None:
    present = OTHERS if sign == "servers" else ()
    stage.ran = sign == "runs"
    stage.newest = STORED if sign == "backup" else None
    said = {
        "servers": r"the cloud has servers with it: bookshop-application-1 \(i-application-1\)",
        "runs": "runs of it have loaded data in this Airflow",
        "backup": f"there is a backup, {STORED.url}",
    }
    # However often it is tried: a refusal notes nothing that would answer the question the next time.
    for _ in range(2):
        with pytest.raises(data_renewal.UnknownDataError, match=said[sign]) as refused:
            stage.find(server_health.NOTHING, *present, text=BACKED_UP)
    assert "--from-backup db.catalog" in str(refused.value)
    assert "--from-dump db.catalog" in str(refused.value)
    assert (stage.cloud.told, stage.store) == ([], {})


def test_a_person_may_say_that_it_begins_from_its_backup_and_that_holds_if_the_run_fails(
    stage: Stage,
) -> None:
    stage.newest = STORED
    stage.find(server_health.NOTHING, *OTHERS, text=BACKED_UP, from_backup=("db.catalog",))
    # A server was started and not filled; the next run has not to be told again.
    memory = data_placement.DataLocations(stage.store, definition.loads(BACKED_UP))
    there = inventory.Inventory((server("database-1"),))
    (renewal,) = data_renewal.renewals(
        definition.loads(BACKED_UP),
        there,
        {},
        memory,
        lambda _: STORED,
        data_renewal.DataEvidence(past=data_renewal.DeploymentPast()),
    )
    assert renewal.backups == {"catalog": STORED}
    memory.end(names.ServiceName("db"), server("database-1"))
    assert not data_renewal.renewals(
        definition.loads(BACKED_UP),
        there,
        {},
        memory,
        lambda _: STORED,
        data_renewal.DataEvidence(past=data_renewal.DeploymentPast()),
    )


def test_or_from_its_dump_and_that_holds_as_well_until_it_says_otherwise(stage: Stage) -> None:
    stage.newest = STORED
    known = definition.loads(BACKED_UP)
    there = inventory.Inventory((server("database-1"),))
    memory = data_placement.DataLocations(stage.store, known)

    def restored(*from_backup: str) -> list[str]:
        answers = data_renewal.DataEvidence((), from_backup, data_renewal.DeploymentPast())
        (renewal,) = data_renewal.renewals(known, there, {}, memory, lambda _: STORED, answers)
        return list(renewal.backups)

    stage.find(server_health.NOTHING, *OTHERS, text=BACKED_UP, from_dump=("db.catalog",))
    assert data_history.COMPLETE in stage.store
    assert restored() == []
    stage.find(server_health.NOTHING, *OTHERS, "database-1", text=BACKED_UP)
    assert restored() == []
    assert restored("db.catalog") == ["catalog"]
    stage.find(server_health.NOTHING, *OTHERS, "database-1", text=BACKED_UP, from_backup=("db.catalog",))
    assert restored() == ["catalog"]


def test_but_not_from_both(stage: Stage) -> None:
    stage.newest = STORED
    with pytest.raises(
        data_renewal.ContradictionError, match=r"^db\.catalog cannot begin both from its newest backup and"
    ):
        stage.find(
            server_health.NOTHING,
            *OTHERS,
            text=BACKED_UP,
            from_dump=("db.catalog",),
            from_backup=("db.catalog",),
        )


def test_a_backup_that_there_is_none_of_cannot_be_chosen(stage: Stage) -> None:
    with pytest.raises(data_renewal.DataLostError, match="no backup at all"):
        stage.find(server_health.NOTHING, *OTHERS, text=BACKED_UP, from_backup=("db.catalog",))


def test_a_termination_on_record_has_given_up_what_is_on_the_shelf_and_nothing_newer(stage: Stage) -> None:
    stage.newest = STORED
    stage.ran = True
    stage.store[run_records.key("terminate")] = terminated("2026-03-01T00:00:00+00:00")
    stage.find(server_health.NOTHING, text=BACKED_UP)
    stage.store.clear()
    stage.store[run_records.key("terminate")] = terminated("2026-02-28T00:00:00+00:00")
    with pytest.raises(data_renewal.UnknownDataError):
        stage.find(server_health.NOTHING, text=BACKED_UP)


def test_without_notes_a_database_that_is_there_is_taken_for_the_one_with_the_data(stage: Stage) -> None:
    stage.ran = True
    stage.find(server_health.NOTHING, *SERVERS, text=BACKED_UP)
    assert stage.store["data:db:1"] == {"instance": "i-database-1", "renewed": False}
    assert data_history.COMPLETE in stage.store


def test_what_an_earlier_gantry_noted_when_a_launch_arrived_is_complete(stage: Stage) -> None:
    stage.ran = True
    stage.store[filled_slots.KEY] = {"application": [1, 2]}
    stage.find(server_health.NOTHING, *OTHERS, text=DEFINITION)
    assert data_history.COMPLETE in stage.store


def test_a_person_is_told_of_what_is_neither_lost_nor_well() -> None:
    name = names.ServerName("bookshop-proxy-1")
    for findings, words in (
        (
            server_health.HealthReport(key_mismatches={name: "another host key"}),
            "It is neither used nor replaced",
        ),
        (
            server_health.HealthReport(refusing={name: "refuses the user"}),
            "It exists, so it is not replaced",
        ),
        (
            server_health.HealthReport(busy={name: "closes it before the login"}),
            "that does not mean that it is lost",
        ),
        (
            server_health.HealthReport(unreached={name: "jump is down"}),
            "its state is unknown: jump is down",
        ),
        (
            server_health.HealthReport(ailing=(dataclasses.replace(trouble("proxy-1", 5), is_proven=False),)),
            "it does not count as lost: no other server shows that the network path works",
        ),
    ):
        (line,) = lost_server_report.said(findings)
        assert line.startswith(f"{name}: ")
        assert words in line
