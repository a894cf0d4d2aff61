"""Database queries about runs: their tasks, the tasks' servers, and the stored records of forgotten runs."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pydantic
import sqlalchemy as sa
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from gantry import errors, names, status
from gantry.plan import Group, GroupKind, Plan, StepKind
from gantry.plan.steps import step_id
from gantry.state import keys as places
from gantry.state import run_records
from gantry.status import labels
from gantry.web.queries import model

Key = tuple[str, str]
"""A run: its DAG's id and its own."""

Dealt = Mapping[str, list[list[names.ServerName]]]
"""The servers of each instance of the mapped tasks, by the task that distributes a tier's servers to them."""

_DEALT = pydantic.TypeAdapter(list[list[names.ServerName]])
_SCALE_UP = StepKind.SCALE_UP.value


def instances(
    session: Session, plans: Mapping[Key, Plan], task: str | None = None
) -> dict[Key, tuple[model.TaskInstanceRow, ...]]:
    """Return the task instances of these runs, with their servers. Two queries for any number of runs.

    Args:
        session: the database session.
        plans: the plan of each run.
        task: the instances of this task only; None for all.
    """
    if not plans:
        return {}
    dealt = _dealt(session, plans)
    # Its property of that name cannot be used in a query.
    label = TaskInstance.__table__.c.rendered_map_index
    rows = session.execute(
        sa.select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            TaskInstance.map_index,
            TaskInstance.state,
            TaskInstance.start_date,
            TaskInstance.end_date,
            TaskInstance.try_number,
            label.label("label"),
        )
        .where(
            sa.tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(list(plans)),
            *([] if task is None else [TaskInstance.task_id == task]),
        )
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
    )
    found: dict[Key, list[model.TaskInstanceRow]] = defaultdict(list)
    for row in rows:
        key = (row.dag_id, row.run_id)
        view = status.TaskView(
            task_id=row.task_id,
            map_index=row.map_index,
            state=status.TaskState.of(row.state),
            started=row.start_date,
            ended=row.end_date,
            servers=_servers(row, plans[key], dealt.get(key, {})),
        )
        found[key].append(model.TaskInstanceRow(view, row.label or "", row.try_number or 0))
    return {key: tuple(found[key]) for key in plans}


def history(session: Session, deployments: Collection[str]) -> dict[str, tuple[run_records.Record, ...]]:
    """Return the records of these deployments' runs, newest first. One query."""
    keys = [run_records.key(each.value) for each in names.Operation]
    found: dict[str, list[run_records.Record]] = defaultdict(list)
    for name, value in noted(session, deployments, keys):
        found[name].extend(run_records.load(value))
    return {
        name: tuple(sorted(each, key=lambda record: record.began, reverse=True))
        for name, each in found.items()
    }


def noted(session: Session, deployments: Collection[str], keys: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the values of these keys with their deployments. One query."""
    found = kept(session, deployments, AssetStateStoreModel.key.in_(keys))
    yield from ((name, value) for name, each in found.items() for value in each.values())


def kept(
    session: Session, deployments: Collection[str], which: sa.ColumnElement[bool]
) -> dict[str, dict[str, Any]]:
    """Return the values of the selected keys, by deployment and key. One query.

    Until the migration, values stored by an older Gantry are found too; see `gantry.runtime.asset_state`.
    """
    new = {names.state(name): name for name in deployments}
    old = {names.asset(name): name for name in deployments}
    rows = session.execute(
        sa.select(AssetModel.name, AssetStateStoreModel.key, AssetStateStoreModel.value)
        .join(AssetModel, AssetModel.id == AssetStateStoreModel.asset_id)
        .where(AssetModel.name.in_([*new, *old]), sa.or_(which, AssetStateStoreModel.key == places.MOVED))
    )
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for asset, key, value in rows:
        found[asset][key] = as_json(value)
    merged = {
        name: places.merged(found.get(names.state(name), {}), found.get(names.asset(name), {}))
        for name in new.values()
    }
    return {
        name: {key: value for key, value in each.items() if key != places.MOVED}
        for name, each in merged.items()
    }


def settled(
    session: Session, name: str, found: Collection[run_records.Record]
) -> tuple[run_records.Record, ...]:
    """Return a deployment's records, completing open ones from the runs themselves. One query."""
    dags = {each.value: names.dag_id(name, each) for each in names.Operation}
    found = [each for each in found if each.operation in dags]
    open_ = {(dags[each.operation], each.run) for each in found if each.result is run_records.Result.RUNNING}
    if not open_:
        return tuple(found)
    rows = session.execute(
        sa.select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.end_date).where(
            sa.tuple_(DagRun.dag_id, DagRun.run_id).in_(list(open_))
        )
    )
    ends = {(row.dag_id, row.run_id): (str(row.state), row.end_date) for row in rows}
    return tuple(_settled(each, ends.get((dags[each.operation], each.run))) for each in found)


def _settled(
    record: run_records.Record, end: tuple[str, datetime.datetime | None] | None
) -> run_records.Record:
    state, over = end or (None, None)
    return run_records.settled(record, state, None if over is None else over.isoformat())


def versions(found: Collection[run_records.Record]) -> dict[str, str]:
    """Return the version of each service that was installed by the newest run with versions."""
    return next((dict(each.versions) for each in found if each.versions), {})


def failures(session: Session, run: Key, task: str, map_index: int) -> tuple[errors.Failure, ...]:
    """What stopped the latest try of a task instance; nothing where it did not fail, or not by an error of ours."""
    found = session.scalar(
        sa.select(XComModel.value).where(
            XComModel.dag_id == run[0],
            XComModel.run_id == run[1],
            XComModel.task_id == task,
            XComModel.map_index == map_index,
            XComModel.key == errors.XCOM,
        )
    )
    return errors.Failure.load_all(as_json(found))


def _dealt(session: Session, keys: Collection[Key]) -> dict[Key, Dealt]:
    rows = session.execute(
        sa.select(XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.value).where(
            sa.tuple_(XComModel.dag_id, XComModel.run_id).in_(list(keys)),
            XComModel.key == "return_value",
            XComModel.task_id.like(f"%.{_SCALE_UP}"),
        )
    )
    found: dict[Key, dict[str, list[list[names.ServerName]]]] = defaultdict(dict)
    for dag, run, task, value in rows:
        try:
            found[dag, run][task] = _DEALT.validate_python(as_json(value))
        except pydantic.ValidationError:
            # A later Gantry uses another format.
            continue
    return dict(found)


def _servers(row: sa.Row[Any], plan: Plan, dealt: Dealt) -> tuple[names.ServerName, ...]:
    """Return the servers that an instance works on, as distributed to it; else from its label."""
    step = plan.by_id.get(row.task_id)
    if step is None or row.map_index < 0:
        return ()
    if step.tier is not None and step.per_server:
        batches = dealt.get(step_id(Group(GroupKind.TIER, step.tier), StepKind.SCALE_UP), [])
        if row.map_index < len(batches):
            return tuple(batches[row.map_index])
    return labels.servers(row.label or "")


def as_json(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Parse a JSON value, which Airflow may have encoded once more as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None
