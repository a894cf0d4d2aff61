"""Database queries about runs: their tasks, the tasks' servers, and what is kept of a deployment."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import pydantic
import sqlalchemy as sa
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from gantry import errors, names, overview, status
from gantry.plan import Group, GroupKind, Plan, StepKind
from gantry.plan.steps import step_id
from gantry.state import keys as places
from gantry.status import labels

Dealt = Mapping[str, list[list[names.ServerName]]]
"""The servers of each instance of the mapped tasks, by the task that distributes a tier's servers to them."""

_DEALT = pydantic.TypeAdapter(list[list[names.ServerName]])
_SCALE_UP = StepKind.SCALE_UP.value
_SHOWS_SERVERS = sa.or_(
    TaskInstance.task_id.endswith(f".{StepKind.HANDSHAKE.value}", autoescape=True),
    TaskInstance.task_id == StepKind.REMOVE_NEW_SERVERS.value,
)
"""The task instances from which `status.greeted` reads which servers a run has left running."""


def instances(
    session: Session,
    plans: Mapping[overview.RunKey, Plan],
    earlier: Mapping[overview.RunKey, Plan] | None = None,
    *,
    task: str | None = None,
) -> dict[overview.RunKey, tuple[overview.TaskInstanceRow, ...]]:
    """Return the task instances of these runs, with their servers. Two queries for any number of runs.

    Args:
        session: the database session.
        plans: the plan of each run.
        earlier: the plans of more runs, of which only those instances are wanted that show which servers it has left.
        task: the instances of this task only; None for all.
    """
    every = {**(earlier or {}), **plans}
    if not every:
        return {}
    dealt = _dealt(session, every)
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
            _of(plans) if not earlier else sa.or_(_of(plans), sa.and_(_of(earlier), _SHOWS_SERVERS)),
            *([] if task is None else [TaskInstance.task_id == task]),
        )
        .order_by(TaskInstance.task_id, TaskInstance.map_index)
    )
    found: dict[overview.RunKey, list[overview.TaskInstanceRow]] = defaultdict(list)
    for row in rows:
        key = (row.dag_id, row.run_id)
        view = status.TaskView(
            task_id=row.task_id,
            map_index=row.map_index,
            state=status.TaskState.of(row.state),
            started=row.start_date,
            ended=row.end_date,
            servers=_servers(row, every[key], dealt.get(key, {})),
        )
        found[key].append(overview.TaskInstanceRow(view, row.label or "", row.try_number or 0))
    return {key: tuple(found[key]) for key in every}


def kept(
    session: Session, deployments: Collection[str], which: sa.ColumnElement[bool]
) -> dict[str, dict[str, Any]]:
    """Return the values of the selected keys, by deployment and key; and the record of the state itself. One query.

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
    return {
        name: places.merged(found.get(names.state(name), {}), found.get(names.asset(name), {}))
        for name in new.values()
    }


def ends(session: Session, runs: Collection[overview.RunKey]) -> dict[overview.RunKey, overview.RunEnd]:
    """Return the ends of these runs, without those that Airflow has forgotten. One query."""
    rows = session.execute(
        sa.select(DagRun.dag_id, DagRun.run_id, DagRun.state, DagRun.end_date).where(
            sa.tuple_(DagRun.dag_id, DagRun.run_id).in_(list(runs))
        )
    )
    return {(row.dag_id, row.run_id): overview.RunEnd(str(row.state), row.end_date) for row in rows}


def failures(session: Session, run: overview.RunKey) -> dict[tuple[str, int], tuple[errors.Failure, ...]]:
    """Return what stopped the latest try of a run's failed tasks, by task and map index. One query.

    A task that did not fail has none, nor has one that another error than ours has stopped.
    """
    rows = session.execute(
        sa.select(XComModel.task_id, XComModel.map_index, XComModel.value).where(
            XComModel.dag_id == run[0], XComModel.run_id == run[1], XComModel.key == errors.XCOM
        )
    )
    return {(task, map_index): errors.Failure.load_all(as_json(value)) for task, map_index, value in rows}


def _of(runs: Collection[overview.RunKey]) -> sa.ColumnElement[bool]:
    return sa.tuple_(TaskInstance.dag_id, TaskInstance.run_id).in_(list(runs))


def _dealt(session: Session, keys: Collection[overview.RunKey]) -> dict[overview.RunKey, Dealt]:
    rows = session.execute(
        sa.select(XComModel.dag_id, XComModel.run_id, XComModel.task_id, XComModel.value).where(
            sa.tuple_(XComModel.dag_id, XComModel.run_id).in_(list(keys)),
            XComModel.key == "return_value",
            XComModel.task_id.like(f"%.{_SCALE_UP}"),
        )
    )
    found: dict[overview.RunKey, dict[str, list[list[names.ServerName]]]] = defaultdict(dict)
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
