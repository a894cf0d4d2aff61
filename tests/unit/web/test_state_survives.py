"""What is kept of a deployment outlives its DAGs: Airflow's own functions on a real metadata database."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pendulum
import pytest
import sqlalchemy as sa
from airflow.api.common.delete_dag import delete_dag
from airflow.api_fastapi.execution_api.datamodels.asset import AssetProfile
from airflow.dag_processing.manager import DagFileInfo, DagFileProcessorManager
from airflow.jobs.job import Job
from airflow.jobs.scheduler_job_runner import SchedulerJobRunner
from airflow.models.asset import AssetActive, AssetModel, remove_references_to_deleted_dags
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dag import DagModel
from airflow.models.taskinstance import TaskInstance
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.context import OutletEventAccessors
from airflow.utils.db_cleanup import run_cleanup
from airflow.utils.session import create_session

from gantry import definition, inventory, names, plan
from gantry.dag.compile import operation_dag
from gantry.dag.operations import RECIPES
from gantry.preview.data_loss import StoredFacts
from gantry.reconcile import data_history, data_placement, data_renewal
from gantry.rest import client, login
from gantry.runtime import asset_state
from tests.unit.reconcile.test_data_placement import BACKED_UP, DB, STORED
from tests.unit.web import rig

TEXT = BACKED_UP
KNOWN = definition.loads(TEXT)
SHOP = KNOWN.deployment
FIRST = names.Slot(1)
FILE = DagFileInfo(rel_path=pathlib.Path("rig.py"), bundle_name=rig.BUNDLE)


def take_turn(office: rig.Airflow, operation: names.Operation, task: str) -> None:
    """The task succeeds in a worker, which tells Airflow what it has updated in the words of Airflow's task runner."""
    dag = operation_dag(KNOWN, operation)
    office.run(dag.dag_id, {task: "success"})
    events = OutletEventAccessors()
    asset_state.secure(cast("Any", {"outlet_events": events}), names.state(SHOP))
    with create_session() as session:
        instance = session.scalar(
            sa.select(TaskInstance).where(TaskInstance.dag_id == dag.dag_id, TaskInstance.task_id == task)
        )
        assert instance is not None
        TaskInstance.register_asset_changes_in_db(
            instance,
            [
                AssetProfile(**each.model_dump())
                for each in task_runner._build_asset_profiles(dag.get_task(task).outlets)
            ],
            list(task_runner._serialize_outlet_events(events)),
            session=session,
        )


def processor() -> DagFileProcessorManager:
    return DagFileProcessorManager(max_runs=1)


def a_typo_for_long() -> None:
    """The file is read again and again, and gives no DAG."""
    manager = processor()
    with create_session() as session:
        parsed = session.scalar(sa.select(DagModel.last_parsed_time).where(DagModel.dag_id == SHOP))
        assert parsed is not None
        manager.deactivate_stale_dags(
            {FILE: parsed + timedelta(seconds=manager.stale_dag_threshold + 90)}, session=session
        )
        # As soon as any other file is removed.
        remove_references_to_deleted_dags(session)


def refresh(present: set[DagFileInfo]) -> None:
    """The processor looks into the folder. What it marks as stale at one look loses its references at the next."""
    for _ in range(2):
        processor().deactivate_deleted_dags(rig.BUNDLE, present)


def a_removed_loader() -> None:
    """The folder holds other files."""
    other = DagFileInfo(rel_path=pathlib.Path("other.py"), bundle_name=rig.BUNDLE, bundle_path=pathlib.Path())
    refresh({other})


def an_empty_folder() -> None:
    """The volume is not mounted."""
    refresh(set())


def deleted_dags() -> None:
    """A person deletes the DAGs in the UI."""
    an_empty_folder()
    with create_session() as session:
        for dag in session.scalars(sa.select(DagModel.dag_id)).all():
            delete_dag(dag, session=session)


def cleaned() -> None:
    """`airflow db clean` with all tables, long after the DAGs are gone."""
    an_empty_folder()
    with create_session() as session:
        run_cleanup(
            clean_before_timestamp=pendulum.now("UTC").add(years=1),
            confirm=False,
            skip_archive=True,
            error_on_cleanup_failure=True,
            session=session,
        )


def schedule() -> None:
    """What the scheduler does every minute."""
    with create_session() as session:
        job = Job()  # type: ignore[no-untyped-call] # Airflow's own signature
        SchedulerJobRunner(job, executors=[])._update_asset_orphanage(session=session)


def kept(asset: str) -> dict[str, Any]:
    with create_session() as session:
        rows = session.execute(
            sa.select(AssetStateStoreModel.key, AssetStateStoreModel.value)
            .join(AssetModel, AssetModel.id == AssetStateStoreModel.asset_id)
            .where(AssetModel.name == asset)
        )
        return {key: json.loads(value) for key, value in rows}


def renewals(found: dict[str, Any]) -> data_renewal.Renewals:
    """What a launch would do whose servers are all gone, as far as it goes by what is kept."""
    store = StoredFacts(found)
    nobody = inventory.Inventory(())
    answers = data_renewal.DataEvidence(past=data_history.of(store, nobody, lambda: True))
    missing = {KNOWN.services[DB].tier: [FIRST]}
    return data_renewal.renewals(
        KNOWN, nobody, missing, data_placement.DataLocations(store, KNOWN), lambda _: STORED, answers
    )


def is_active(asset: str) -> bool:
    with create_session() as session:
        return session.scalar(sa.select(AssetActive.name).where(AssetActive.name == asset)) is not None


@pytest.mark.parametrize(
    ("calamity", "operation", "task"),
    [
        (a_typo_for_long, names.Operation.LAUNCH, "turn"),
        (a_removed_loader, names.Operation.LAUNCH, "turn"),
        (an_empty_folder, names.Operation.LAUNCH, "turn"),
        (deleted_dags, names.Operation.TERMINATE, "turn"),
        (cleaned, names.Operation.LAUNCH, "find_lost"),
    ],
)
def test_what_is_kept_is_still_there(
    office: rig.Airflow, calamity: Callable[[], None], operation: names.Operation, task: str
) -> None:
    office.deploy(TEXT)
    schedule()
    # The first reading of the file is enough to write there.
    assert is_active(names.state(SHOP))
    take_turn(office, operation, task)
    office._note(SHOP, data_history.COMPLETE, "2026-11-27T08:00:00+00:00")
    office._note(SHOP, data_placement.key(DB, FIRST), {"instance": "i-1", "renewed": False})
    calamity()
    schedule()
    schedule()
    # The asset of the deployment itself is none that Airflow keeps: nothing may be written there.
    assert not is_active(names.asset(SHOP))
    found = kept(names.state(SHOP))
    assert list(found) == [data_history.COMPLETE, "data:db:1"]
    # A launch whose database is gone restores it, and asks nobody.
    (renewal,) = renewals(found)
    assert (renewal.slots, list(renewal.backups.values())) == ((1,), [STORED])
    # Who is at work goes on writing, and who reads is answered.
    assert is_active(names.state(SHOP))


def test_where_nothing_is_left_a_launch_whose_database_is_gone_asks(office: rig.Airflow) -> None:
    office.deploy(TEXT)
    take_turn(office, names.Operation.LAUNCH, "turn")
    with pytest.raises(data_renewal.UnknownDataError):
        renewals(kept(names.state(SHOP)))


def test_no_dag_that_waits_for_the_deployment_hears_of_it(office: rig.Airflow) -> None:
    office.deploy(TEXT)
    take_turn(office, names.Operation.LAUNCH, "turn")
    with create_session() as session:
        events = session.execute(
            sa.text("select asset.name from asset_event join asset on asset.id = asset_event.asset_id")
        )
        assert [name for (name,) in events] == [names.state(SHOP)]


def test_each_operation_that_has_a_turn_keeps_the_asset(office: rig.Airflow) -> None:
    found = office.deploy(TEXT)
    for operation, recipe in RECIPES.items():
        if plan.OPERATIONS[operation].read_only or not recipe.needed(found):
            continue
        turn = operation_dag(found, operation).get_task("turn")
        assert [each.name for each in turn.inlets] == [names.state(SHOP)]
        assert [(type(each).__name__, each.name) for each in turn.outlets] == [
            ("AssetAlias", names.state(SHOP))
        ]


@pytest.mark.parametrize("state", ["success", "failed"])
def test_airflows_api_tells_whether_data_was_ever_loaded(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    office.deploy(TEXT)
    office.run("bookshop", {"service-db.install_datasources": state}, state="failed")
    api = client.AirflowApi(login.AirflowLogin("http://airflow"))
    monkeypatch.setattr(
        api, "call", lambda method, path, json: office.client.request(
            method, f"/api/v2{path}", json=json, headers=office.headers(rig.VIEWER)
        ).raise_for_status().json()
    )  # fmt: skip
    dags = [names.dag_id(SHOP, each) for each in plan.LAUNCHING]
    assert api.has_succeeded(dags, data_history.telling(KNOWN)) is (state == "success")
