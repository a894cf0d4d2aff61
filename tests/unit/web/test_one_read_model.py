"""Pages and terminal show the same of the same facts: both sources read one real Airflow, by SQL and by its API."""

from __future__ import annotations

import dataclasses
import datetime
import json
import pathlib

import pytest
import sqlalchemy as sa
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

from gantry import definition, errors, inventory, overview, plan, status
from gantry.cli.output import run_rows
from gantry.cli.queries import asset_state, rest_source, run_follower
from gantry.definition import stored
from gantry.state import installed_versions, run_records
from gantry.status import labels
from gantry.web.http import access
from gantry.web.queries import (
    cloud_facts,
    deployment_details,
    deployment_queries,
    serialized_definitions,
    sql_source,
)
from gantry.web.views import api_models
from tests import recordings
from tests.unit.web import rig
from tests.unit.web.test_deployment import FOUND
from tests.unit.web.test_status_command import Caller

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
RECORDING = pathlib.Path(__file__).parents[1] / "status" / "recorded_launch.json"
MINUTE = datetime.timedelta(minutes=1)
FAILED = {"turn": "success", "tier-database.scale_up": "failed"}


class BothSources:
    """One Airflow, looked at from both sides."""

    def __init__(
        self, office: rig.Airflow, monkeypatch: pytest.MonkeyPatch, text: str | pathlib.Path = BOOKSHOP
    ) -> None:
        self.office = office
        # A DAG carries its definition without the parts that only tasks need.
        self._definition = stored.load(stored.dump(office.deploy(text)))
        self._api = Caller(office, monkeypatch).api

    def same(self, found: inventory.Inventory | None = None) -> overview.DeploymentOverview:
        """What both say, after a look that it is the same."""
        with create_session() as session:
            (source,) = sql_source.completed(
                sql_source.every(session, ["bookshop"]),
                session,
                serialized_definitions.Definitions(),
                with_records=True,
                with_versions=True,
            )
            by_sql = overview.deployment(source, found)
            row = overview.row(source)
        by_rest = overview.deployment(rest_source.RestSource(self._api, "bookshop", self._definition), found)
        assert differences(shown(by_sql), shown(by_rest)) == {}
        assert row == by_sql.row == overview.row(rest_source.RestSource(self._api, "bookshop"))
        return by_sql

    def same_run(
        self, run: str, found: inventory.Inventory | None = None, dag: str = "bookshop"
    ) -> overview.RunSnapshot:
        """What both say of one run, after a look that it is the same: as data, as pages' JSON, as a terminal's."""
        with create_session() as session:
            known = serialized_definitions.Definitions()
            row = deployment_queries.run(session, dag, run)
            assert row is not None
            own = known.of_version(dag, row.version, session)
            assert own is not None
            by_sql = overview.run_snapshot(sql_source.of_run(row.run, own, session, known), row.run, found)
        follower = run_follower.RunFollower(self._api, "bookshop", self._definition, lambda: found)
        by_rest = follower.look((dag, run))
        assert differences(begun(by_sql), begun(by_rest), "run") == {}
        details = [api_models.RunDetail.of(each, ()) for each in (by_sql, by_rest)]
        assert details[0] == details[1]
        if by_sql.states is not None:
            assert run_rows.as_json(by_sql) == run_rows.as_json(by_rest)
        return by_sql

    def same_failures(self, run: str) -> tuple[overview.FailedTask, ...]:
        """What both say of the failed tasks of a launch."""
        visitor = access.Visitor(SimpleAuthManagerUser(username="ada", role=rig.ADMIN))
        known, cloud = serialized_definitions.Definitions(), cloud_facts.CloudReader()
        with create_session() as session:
            found = deployment_details.run("bookshop", run, session, known, cloud, visitor)
            by_sql = deployment_details.failed_tasks(found, session, visitor)
        state = asset_state.state_of(self._api, "bookshop")
        (record,) = (each for each in state.records() if each.run == run)
        assert by_sql == rest_source.failed_tasks(self._api, "bookshop", record, state.kept)
        return by_sql


def begun(found: overview.RunSnapshot) -> overview.RunSnapshot:
    """Without the task instances that have not begun: the API does not say yet what they will work on."""
    there = tuple(each for each in found.instances if each.view.started is not None)
    return dataclasses.replace(found, instances=there)


def shown(found: overview.DeploymentOverview) -> overview.DeploymentOverview:
    """All of it but the task instances that have not begun: the API does not say yet what they will work on."""
    if found.snapshot is None:
        return found
    return dataclasses.replace(found, snapshot=begun(found.snapshot))


def differences(one: object, other: object, where: str = "overview") -> dict[str, tuple[object, object]]:
    """The smallest parts of two models that are not equal, by place."""
    if one == other:
        return {}
    if not dataclasses.is_dataclass(one) or type(one) is not type(other):
        return {where: (one, other)}
    return {
        place: found
        for field in dataclasses.fields(one)
        for place, found in differences(
            getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}"
        ).items()
    }


@pytest.fixture
def both(office: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> BothSources:
    return BothSources(office, monkeypatch)


def recorded(office: rig.Airflow, moment: recordings.Moment, run: str = "manual__1") -> None:
    """A launch whose tasks are as they were recorded at one moment."""
    launch = plan.launch_plan(definition.load(BOOKSHOP))
    dealt = {str(each.tier): [[str(name)] for name in each.names] for each in launch.tiers}
    # Batches are dealt when the servers have been asked for.
    asked = {each.task_id for each in moment.tasks if each.state is status.TaskState.SUCCESS}
    dealt = {tier: batches for tier, batches in dealt.items() if f"tier-{tier}.scale_up" in asked}
    state = "success" if moment.run_ended else "running"
    office.run("bookshop", {}, state=state, run=run, asked=moment.tasks[0].started or rig.NOW, dealt=dealt)
    views = {(each.task_id, each.map_index): each for each in moment.tasks}
    with create_session() as session:
        for row in session.scalars(sa.select(TaskInstance).where(TaskInstance.run_id == run)):
            view = views.get((row.task_id, row.map_index)) or views.get((row.task_id, -1))
            if view is None and moment.run_ended:
                # A step that is newer than the recording.
                view = status.TaskView(row.task_id, state=status.TaskState.SUCCESS)
            if view is None or view.state is status.TaskState.NONE:
                continue
            row.state, row.start_date, row.end_date = view.state.value, view.started, view.ended
            row.try_number = 1 if view.started else 0
            tier = str(launch.by_id[row.task_id].tier)
            if row.map_index >= 0 and view.started is not None and tier in dealt:
                row._rendered_map_index = labels.label(dealt[tier][row.map_index])


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("with_cloud", [False, True])
def test_a_launch_at_each_moment(both: BothSources, share: float, *, with_cloud: bool) -> None:
    moments = recordings.read(json.loads(RECORDING.read_text()))
    moment = moments[round(share * (len(moments) - 1))]
    recorded(both.office, moment)
    found = both.same(moment.inventory if with_cloud else None)
    assert found.state is (
        plan.DeploymentState.RUNNING if moment.run_ended else plan.DeploymentState.LAUNCHING
    )
    assert found.run is not None
    assert (found.run.by, found.progress is None) == ("ada", moment.run_ended)
    run = both.same_run("manual__1", moment.inventory if with_cloud else None)
    assert run.states is not None
    assert (run.states.state, run.has_arrived) == (found.state, moment.run_ended)


@pytest.mark.parametrize("found", [None, FOUND, inventory.Inventory(())])
def test_before_the_first_launch(both: BothSources, found: inventory.Inventory | None) -> None:
    seen = both.same(found)
    assert (seen.state, seen.run, seen.history) == (plan.DeploymentState.STOPPED, None, ())
    assert [each.name for each in seen.servers] == [each.name for each in found or ()]


def test_a_failed_redeploy_with_everything_that_is_kept(both: BothSources) -> None:
    both.office.launched("bookshop")
    both.office.run("bookshop", FAILED, state="failed", conf={"reason": "sale"})
    both.office.arrived("bookshop", application=(1, 2, 3))
    both.office.installed(
        "bookshop", "app", "bookshop-application-1",
        installed_versions.Installed("abcdef", "i-application", "launch", "manual__0", rig.NOW.isoformat()),
    )  # fmt: skip
    both.office.record(
        "bookshop",
        run_records.Record(
            "launch", "manual__0", "ada", "", rig.EARLIER.isoformat(), run_records.Result.SUCCESS,
            rig.NOW.isoformat(), versions={"app": "abcdef"},
        ),
        run_records.Record("launch", "manual__1", "ada", "sale", rig.NOW.isoformat()),
        run_records.Record("launch", "deleted", "ada", "", rig.NOW.isoformat()),
    )  # fmt: skip
    for found in (None, FOUND):
        seen = both.same(found)
        assert (seen.state, seen.failed_at) == (plan.DeploymentState.MAINTENANCE, plan.Phase.SCALE_UP)
        run = both.same_run("manual__1", found)
        assert run.states is not None
        assert (run.states.state, run.states.failed) == (seen.state, seen.failed_at)
        assert both.same_run("manual__0", found).has_arrived
        assert seen.run is not None
        assert seen.run.reason == "sale"
        assert {str(each.name): each.version for each in seen.services}["app"] == "abcdef"
        assert {each.run: each.over is None for each in seen.history or ()} == {
            "manual__0": False,
            "manual__1": False,
            "deleted": True,
        }


def test_what_stopped_a_run_while_airflow_has_it_and_afterwards(both: BothSources) -> None:
    failure = errors.Failure("db-1: it failed", "no disk left", "Buy a disk.", "db-1", "startService", 7)
    both.office.run("bookshop", FAILED, state="failed")
    both.office.failed("bookshop", "tier-database.scale_up", failure)
    both.office.kept_failures("bookshop", ("tier-database.scale_up", -1), "manual__1", failure)
    both.office.record("bookshop", run_records.Record("launch", "manual__1", "ada", "", rig.NOW.isoformat()))
    for forgotten in ([], [XComModel], [TaskInstance, DagRun]):
        with create_session() as session:
            for each in forgotten:
                session.execute(sa.delete(each))
        (task,) = both.same_failures("manual__1")
        assert (task.key, task.failures) == (("tier-database.scale_up", -1), (failure,))
    assert both.office.get("/gantry/dags/bookshop/runs/manual__1").status_code == 200


def test_servers_that_an_earlier_launch_has_left(both: BothSources) -> None:
    greeted = {"turn": "success", "tier-database.scale_up": "success", "tier-database.handshake": "success"}
    both.office.run(
        "bookshop", greeted | {"tier-application.scale_up": "failed"}, state="failed", run="manual__0",
        asked=rig.EARLIER, dealt={"database": [["bookshop-database-1"]]},
    )  # fmt: skip
    with create_session() as session:
        session.execute(
            sa.update(TaskInstance)
            .where(TaskInstance.task_id == "tier-database.handshake")
            .values(_rendered_map_index="bookshop-database-1")
        )
    both.office.run("bookshop", {"turn": "success", "tier-application.scale_up": "failed"}, state="failed")
    seen = both.same()
    assert [(each.name, each.agent) for each in seen.servers] == [
        ("bookshop-database-1", plan.AgentState.RUNNING)
    ]


def test_runs_that_wait_and_a_backup(both: BothSources) -> None:
    both.office.launched("bookshop")
    both.office.run("bookshop.terminate", {"turn": "deferred"}, run="manual__t", asked=rig.NOW)
    both.office.run("bookshop.scale", {}, state="queued", run="manual__s", asked=rig.NOW - MINUTE)
    with create_session() as session:
        for run in session.scalars(sa.select(DagRun).where(DagRun.run_id == "manual__t")):
            run.run_type, run.triggering_user_name = "scheduled", None
    seen = both.same()
    assert seen.run is not None
    assert (seen.run.id, seen.has_begun) == ("manual__s", False)
    assert seen.row.last is not None
    assert (seen.row.last.id, seen.row.last.by) == ("manual__t", "schedule")
    waiting = both.same_run("manual__t", dag="bookshop.terminate")
    assert waiting.states is not None
    assert (waiting.awaits_turn, waiting.states.state) == (True, plan.DeploymentState.RUNNING)


def test_a_run_that_leaves_the_state_alone_has_none(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = "backups: {of: {rows: db.catalog}, to: s3://shop/backups/}"
    both = BothSources(office, monkeypatch, f"{BOOKSHOP.read_text()}\n{backups}\n")
    office.run("bookshop.backup", {"turn": "success", "backup-rows.back_up": "running"}, run="manual__b")
    assert both.same_run("manual__b", dag="bookshop.backup").states is None


def test_a_termination(both: BothSources) -> None:
    both.office.launched("bookshop")
    tasks = {"turn": "success", "ask_servers": "success", "tier-proxy.terminate_servers": "running"}
    both.office.run("bookshop.terminate", tasks)
    for found in (None, FOUND):
        assert both.same(found).state is plan.DeploymentState.STOPPING
        run = both.same_run("manual__1", found, "bookshop.terminate")
        assert run.states is not None
        assert run.states.state is plan.DeploymentState.STOPPING


def test_runs_far_back(both: BothSources) -> None:
    both.office.launched("bookshop")
    for number in range(1, 6):
        asked = rig.NOW + number * MINUTE
        refused = {"turn": "success", "approve": "failed"}
        both.office.run("bookshop", refused, state="failed", run=f"manual__{number}", asked=asked)
    seen = both.same()
    assert (seen.state, seen.row.is_settled) == (plan.DeploymentState.RUNNING, True)
    assert seen.run is not None
    assert seen.run.id == "manual__0"


def test_a_schedule_a_description_and_tags(both: BothSources) -> None:
    with create_session() as session:
        dag = session.get_one(DagModel, "bookshop")
        dag.next_dagrun_create_after, dag.description = rig.NOW, "Books"
    row = both.same().row
    assert (row.dag.due, row.dag.description, row.dag.is_paused) == (None, "Books", True)
    with create_session() as session:
        session.get_one(DagModel, "bookshop").is_paused = False
    assert both.same().row.dag.due == rig.NOW


def test_who_may_not_read_assets_sees_no_records(both: BothSources, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Caller(both.office, monkeypatch, rig.POWERLESS).api
    assert rest_source.RestSource(api, "bookshop").kept() is None
