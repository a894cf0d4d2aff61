"""The step that finds lost servers: what it notes, what it refuses, and when there is nothing to do."""

from __future__ import annotations

import dataclasses
import datetime
import types
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from tests.unit.agent.world import DEFINITION, SERVERS, World
from tests.unit.operators.world import Instance, Run, Store

from gantry import definition, inventory, names, plan
from gantry.agent import jobs
from gantry.operators import data, lost, recovering, replacing, run, turning, turns
from gantry.status import records

KNOWN = definition.loads(DEFINITION)
DAG_RUN = types.SimpleNamespace(triggering_user_name="ada", run_type="manual")
NOW = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@dataclasses.dataclass
class Cloud:
    """A cloud that remembers what it was told, in the order of the calls."""

    found: inventory.Inventory
    told: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

    def find(self) -> inventory.Inventory:
        return self.found

    def give_up(self, server: inventory.Server, why: str) -> None:
        self.told.append(("lost", server.name, why))

    def note_ailing(self, servers: list[inventory.Server], since: datetime.datetime) -> None:
        self.told.append(("ailing", *(each.name for each in servers), since.isoformat()))

    def note_well(self, servers: list[inventory.Server]) -> None:
        self.told.append(("well", *(each.name for each in servers)))


def server(short: str, **facts: Any) -> inventory.Server:
    found = World().server(short)
    return dataclasses.replace(
        found, state=inventory.InstanceState.RUNNING, host_key="ssh-ed25519 AAAA", **facts
    )


def trouble(short: str, due: float, **facts: Any) -> lost.Trouble:
    """Counts as lost in so many minutes."""
    when = NOW + datetime.timedelta(minutes=due)
    return lost.Trouble(server(short, **facts), "it does not answer (no route)", NOW, when, is_silent=True)


@dataclasses.dataclass
class Stage:
    """A deployment whose servers are in some state."""

    monkeypatch: pytest.MonkeyPatch
    store: Store

    def find(
        self,
        findings: lost.Findings,
        *present: str,
        named: run.Named | None = None,
        from_dump: tuple[str, ...] = (),
    ) -> tuple[Cloud, dict[str, Any]]:
        """What a run finds, and notes."""
        self.cloud = Cloud(inventory.Inventory(tuple(map(server, present))))
        self.monkeypatch.setattr(lost, "examine", lambda *_: findings)
        steps = plan.launch_plan(KNOWN) if named is None else plan.recover_plan(KNOWN)
        at = Run(
            definition=KNOWN,
            plan=steps,
            step=steps.by_id["find_lost"],
            id="run",
            key=jobs.StepKey("abc.find_lost", "0", "1"),
            wanted={"database": 1, "application": 2, "proxy": 1},
            redeploy=frozenset(),
            converge=frozenset(),
            reason="",
            lost=named,
            from_dump=frozenset(from_dump),
            told=self.cloud,
        )
        operator = recovering.FindLostOperator(task_id="find_lost")
        return self.cloud, operator.perform(cast("Any", {"ti": Instance(), "dag_run": DAG_RUN}), at)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    store = Store()
    monkeypatch.setattr(turning, "store", lambda _: store)
    return Stage(monkeypatch, store)


def test_a_first_launch_finds_nothing_lost_and_nothing_to_restore(stage: Stage) -> None:
    cloud, report = stage.find(lost.NOTHING)
    assert (cloud.told, report["slots"], stage.store) == ([], {}, {})


def test_what_is_lost_is_noted_as_leaving_and_what_ails_is_noted_too(stage: Stage) -> None:
    findings = lost.Findings(
        lost=(trouble("application-2", 0, ailing_since=NOW),), ailing=(trouble("proxy-1", 5),)
    )
    cloud, report = stage.find(findings, *SERVERS)
    why = "it does not answer (no route), since 2026-03-01 12:00:00 UTC"
    assert cloud.told == [
        ("ailing", "bookshop-proxy-1", NOW.isoformat()),
        ("lost", "bookshop-application-2", why),
    ]
    assert (report["servers"], report["slots"]) == (["bookshop-application-2"], {"application": [2]})


def test_what_is_well_again_is_forgotten(stage: Stage) -> None:
    well = (server("application-1"), server("application-2", ailing_since=NOW))
    cloud, _ = stage.find(lost.Findings(well=well), *SERVERS)
    assert cloud.told == [("well", "bookshop-application-2")]


def test_a_lost_database_without_a_backup_is_refused_before_anything_is_noted_as_lost(stage: Stage) -> None:
    findings = lost.Findings(
        lost=(
            trouble("application-2", 0, ailing_since=NOW),
            trouble("database-1", 0, ailing_since=NOW),
        )
    )
    with pytest.raises(data.DataLostError):
        stage.find(findings, *SERVERS)
    assert stage.cloud.told == []
    # It had its data, though nobody had noted that.
    assert stage.store == {"data:db:1": {"instance": "i-database-1", "renewed": False}}
    cloud, report = stage.find(findings, *SERVERS, from_dump=("db.catalog",))
    assert len(cloud.told) == len(report["servers"]) == 2


def test_a_recovery_of_what_is_well_is_skipped_and_no_failure_in_the_history(stage: Stage) -> None:
    who = turns.Asker(names.Operation.RECOVER, "run", "2026-03-01T12:00:00+00:00")
    stage.monkeypatch.setattr(turning, "asker", lambda *_: who)
    with pytest.raises(AirflowSkipException, match="no server of bookshop is lost"):
        stage.find(lost.NOTHING, *SERVERS, named=run.Named())
    (record,) = records.load(stage.store[records.key("recover")])
    assert record.result is records.Result.SUCCESS
    # It has installed nothing, so the object store's versions are none of its own.
    assert (record.versions, record.versions_before, record.started) == ({}, {}, {})


def test_a_recovery_of_what_has_time_left_says_until_when(stage: Stage) -> None:
    with pytest.raises(replacing.NotYetLostError, match="counts as lost from 2026-03-01 12:05:00 UTC on"):
        stage.find(lost.Findings(ailing=(trouble("proxy-1", 5),)), *SERVERS, named=run.Named())
    # It is remembered for the next one.
    assert stage.cloud.told == [("ailing", "bookshop-proxy-1", NOW.isoformat())]


def test_a_recovery_goes_on_for_what_is_gone(stage: Stage) -> None:
    cloud, report = stage.find(lost.NOTHING, "database-1", "application-1", "proxy-1", named=run.Named())
    assert (cloud.told, report["servers"]) == ([], [])


def test_a_person_is_told_of_strangers() -> None:
    (line,) = recovering.said(
        lost.Findings(strangers={names.ServerName("bookshop-proxy-1"): "another host key"})
    )
    assert line.startswith(
        "bookshop-proxy-1: another host key. It is neither taken for the server nor replaced"
    )
