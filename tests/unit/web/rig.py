"""An Airflow for the tests of pages: its application in this process, its database a file."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from airflow.api_fastapi import app as api
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.dag_processing.collection import update_dag_parsing_results_in_db
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils import db
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from fastapi.testclient import TestClient

from gantry import definition, errors, names
from gantry.dag.compile import operation_dag
from gantry.dag.operations import RECIPES
from gantry.definition import models
from gantry.state import (
    config_history,
    filled_slots,
    installed_versions,
    kept_failures,
    keys,
    run_records,
    store_record,
)

BUNDLE = "dags-folder"
NOW = datetime.datetime(2026, 11, 27, 8, 0, tzinfo=datetime.UTC)
EARLIER = NOW - datetime.timedelta(hours=1)
SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    # A changed definition is a new version at once.
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    "_AIRFLOW_PROCESS_CONTEXT": "server",
    "AIRFLOW__CORE__AUTH_MANAGER": (
        "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
    ),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ada:admin,vera:viewer,uma:user,otto:op",
    "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, which is long enough for its algorithm: 64 bytes",
    "AIRFLOW__API__SECRET_KEY": "another one",
}
ADMIN, VIEWER, USER, POWERLESS, NOBODY = "admin", "viewer", "user", "powerless", None
"""`POWERLESS` is logged in and may do nothing; `NOBODY` is not logged in."""
TABLES = (
    "hitl_detail", "task_instance", "xcom", "dag_run", "serialized_dag", "dag_code", "dag_version", "dag_tag",
    "asset_state_store", "task_outlet_asset_reference", "task_inlet_asset_reference", "asset_active",
    "asset_alias_asset", "asset_alias", "asset", "dag",
)  # fmt: skip


class Airflow:
    """An API server, as its users see it, and its database, as the scheduler writes it."""

    def __init__(self, client: TestClient, login: Callable[[str], str] | None = None) -> None:
        self.client = client
        self._login = login or token

    def headers(self, role: str | None) -> dict[str, str]:
        """What a logged-in user's program sends."""
        return {} if role is None else {"Authorization": f"Bearer {self._login(role)}"}

    def get(self, path: str, role: str | None = ADMIN, **more: Any) -> Any:
        """What a user of a role is answered (`NOBODY` is not logged in)."""
        return self.client.get(path, headers={**self.headers(role), **more.pop("headers", {})}, **more)

    def post(self, path: str, role: str | None = ADMIN, **more: Any) -> Any:
        """As `get`, for what changes something."""
        return self.client.post(path, headers={**self.headers(role), **more.pop("headers", {})}, **more)

    def deploy(self, text: str | Path) -> models.Definition:
        """Have Airflow read a definition, as its DAG processor does."""
        path = text if isinstance(text, Path) else Path(os.environ["AIRFLOW_HOME"]) / "definition.yaml"
        if isinstance(text, str):
            path.write_text(text)
        found = definition.load(path)
        keep(found)
        return found

    def run(
        self,
        dag: str,
        states: Mapping[str, str | None],
        *,
        state: str = "running",
        run: str = "manual__1",
        asked: datetime.datetime = NOW,
        dealt: Mapping[str, list[list[str]]] | None = None,
        conf: dict[str, Any] | None = None,
    ) -> str:
        """A run of a DAG whose tasks are in these states; those that are not named have not begun.

        Args:
            dealt: by tier, the servers of each instance of its mapped tasks.
        """
        with create_session() as session:
            serialized = SerializedDagModel.get_dag(dag, session=session)
            assert serialized is not None
            found = serialized.create_dagrun(
                run_id=run, logical_date=asked, data_interval=(asked, asked), run_after=asked,
                run_type=DagRunType.MANUAL, triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name="ada", state=DagRunState(state), start_date=asked, conf=conf or {},
                session=session,
            )  # fmt: skip
            if state in ("success", "failed"):
                found.end_date = asked + datetime.timedelta(seconds=40)
            session.flush()
            self._deal(session, serialized, found, dealt or {})
            for each in session.scalars(
                sa.select(TaskInstance).where(TaskInstance.run_id == run, TaskInstance.dag_id == dag)
            ):
                each.state = states.get(each.task_id)
                if each.state not in (None, "scheduled", "queued"):
                    each.start_date, each.try_number = asked, 1
                if each.state in ("success", "failed", "skipped"):
                    each.end_date = asked + datetime.timedelta(seconds=2)
        return run

    def failed(
        self, dag: str, task: str, *failures: errors.Failure, run: str = "manual__1", map_index: int = -1
    ) -> None:
        """What a failed task of a run has kept."""
        with create_session() as session:
            found = session.scalars(sa.select(DagRun).where(DagRun.dag_id == dag, DagRun.run_id == run)).one()
            session.add(
                XComModel(
                    dag_run_id=found.id, dag_id=dag, run_id=run, task_id=task, map_index=map_index, key=errors.XCOM,
                    value=[each.dump() for each in failures],
                )
            )  # fmt: skip

    def launched(
        self, dag: str, run: str = "manual__0", asked: datetime.datetime = NOW - datetime.timedelta(hours=1)
    ) -> str:
        """A run in which everything succeeded."""
        return self.run(dag, AllOf("success"), state="success", run=run, asked=asked)

    def record(self, name: str, *found: run_records.Record) -> None:
        """What is kept in the state of a deployment's asset."""
        with create_session() as session:
            asset = session.scalar(sa.select(AssetModel.id).where(AssetModel.name == names.state(name)))
            for operation in {each.operation for each in found}:
                kept = run_records.dump(tuple(each for each in found if each.operation == operation))
                session.merge(
                    AssetStateStoreModel(
                        asset_id=asset, key=run_records.key(operation), value=json.dumps(kept)
                    )
                )

    def installed(self, name: str, service: str, server: str, found: installed_versions.Installed) -> None:
        """What is noted of a service on a server."""
        key = installed_versions.PLACES.key(names.ServiceName(service), names.ServerName(server))
        self._note(name, key, installed_versions.dump(found))

    def kept_failures(
        self, name: str, task: kept_failures.TaskKey, run: str, *failures: errors.Failure
    ) -> None:
        """What a failed task of a launch has kept beside the record of its run."""
        tried = kept_failures.FailedTry(run, NOW.isoformat(), failures)
        self._note(name, kept_failures.key("launch", task), kept_failures.dump((tried,)))

    def handed(self, name: str, service: str, server: str, *found: config_history.ConfigDelivery) -> None:
        """The files that a service was handed on a server, the oldest first."""
        key = config_history.PLACES.key(names.ServiceName(service), names.ServerName(server))
        self._note(name, key, config_history.dump(found))

    def arrived(self, name: str, **slots: tuple[int, ...]) -> None:
        """The slots of each tier that a launch has filled."""
        self._note(name, filled_slots.KEY, filled_slots.dump(filled_slots.load(slots)))

    def operated_from(self, name: str, bundle: str) -> None:
        """The last operation worked with the definition in this DAG bundle."""
        self._note(name, keys.MOVED, store_record.dump(store_record.StoreRecord(NOW.isoformat(), bundle)))

    def _note(self, name: str, key: str, value: object) -> None:
        with create_session() as session:
            asset = session.scalar(sa.select(AssetModel.id).where(AssetModel.name == names.state(name)))
            session.merge(AssetStateStoreModel(asset_id=asset, key=key, value=json.dumps(value)))

    def clear(self) -> None:
        """Forget all deployments."""
        with create_session() as session:
            for table in TABLES:
                session.execute(sa.text(f"delete from {table}"))

    def _deal(self, session: Any, serialized: Any, run: DagRun, dealt: Mapping[str, list[list[str]]]) -> None:
        for tier, batches in dealt.items():
            session.add(
                XComModel(
                    dag_run_id=run.id, dag_id=run.dag_id, run_id=run.run_id, task_id=f"tier-{tier}.scale_up",
                    map_index=-1, key="return_value", value=batches,
                )
            )  # fmt: skip
            rows = session.scalars(
                sa.select(TaskInstance).where(
                    TaskInstance.dag_id == run.dag_id,
                    TaskInstance.run_id == run.run_id,
                    TaskInstance.map_index == -1,
                )
            ).all()
            for each in rows:
                task = serialized.get_task(each.task_id)
                group = next(iter(task.iter_mapped_task_groups()), None)
                if group is None or not group.group_id.endswith(f"on-{tier}"):
                    continue
                each.map_index = 0
                for index in range(1, len(batches)):
                    session.add(
                        TaskInstance(
                            task, run_id=run.run_id, map_index=index, dag_version_id=each.dag_version_id
                        )
                    )
        session.flush()


class AllOf(dict[str, str | None]):
    """Every task in one state."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self._state = state

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 - dict's
        return self._state


_serialized: dict[str, list[LazyDeserializedDAG]] = {}
"""The DAGs of definitions that have been kept before: Airflow validates all parameters of each task when it serializes
one, and that is most of what a test of a page takes."""


def keep(found: models.Definition) -> None:
    """Write a definition's DAGs to the database, as the DAG processor does."""
    text = found.model_dump_json()
    if text not in _serialized:
        _serialized[text] = _serialize(
            [operation_dag(found, each) for each, recipe in RECIPES.items() if recipe.needed(found)]
        )
    with create_session() as session:
        errors: dict[tuple[str, str], str] = {}
        update_dag_parsing_results_in_db(BUNDLE, None, _serialized[text], errors, None, set(), session)
        assert not errors, errors


def _serialize(dags: list[Any]) -> list[LazyDeserializedDAG]:
    """DAGs as a process of the DAG processor hands them to it."""
    for dag in dags:
        dag.fileloc, dag.relative_fileloc = __file__, "rig.py"
    return [LazyDeserializedDAG.from_dag(dag) for dag in dags]


def token(role: str) -> str:
    """A login of the simple auth manager."""
    name = {ADMIN: "ada", VIEWER: "vera", USER: "uma", POWERLESS: "paul"}[role]
    user = SimpleAuthManagerUser(username=name, role=None if role == POWERLESS else role)
    return str(api.get_auth_manager().generate_jwt(user))


@contextlib.contextmanager
def started() -> Iterator[Airflow]:
    """An API server on an empty database."""
    before = {key: os.environ.get(key) for key in SETTINGS}
    os.environ.update(SETTINGS)
    try:
        db.initdb()
        with create_session() as session:
            if session.get(DagBundleModel, BUNDLE) is None:
                session.add(DagBundleModel(name=BUNDLE))
        api.purge_cached_app()
        yield Airflow(TestClient(api.create_app("core")))
    finally:
        api.purge_cached_app()
        for key, value in before.items():
            os.environ.pop(key, None) if value is None else os.environ.update({key: value})
