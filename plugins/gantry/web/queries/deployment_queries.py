"""Database queries about deployments: few, and as many for a thousand deployments as for three."""

from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Collection

import sqlalchemy as sa
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy.orm import Session

from gantry import names, status
from gantry.plan import KEEPS_STATE, OPERATIONS, READ_ONLY, UNTOUCHING, StepKind
from gantry.web.queries import model

_TAG, _LAUNCH = "gantry", names.Operation.LAUNCH.value
"""The tags of every launch DAG. They are ours; the others come from the definition."""

_NEWEST = 3
"""Number of runs per operation that determine a deployment's state. Older ones matter only if these did nothing."""

_LAST_STEPS = (StepKind.FINISH_LAUNCH.value, StepKind.FINISH_TERMINATION.value)
_ORDER = {operation: place for place, operation in enumerate(names.Operation)}
_NOT_YET = datetime.datetime.max.replace(tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class LaunchDag:
    """A deployment's launch DAG."""

    id: str
    description: str
    tags: tuple[str, ...]
    due: datetime.datetime | None
    is_paused: bool
    is_broken: bool


@dataclasses.dataclass(frozen=True)
class RunWithTasks:
    """A run, the states of its tasks, and when it began to work (far in the future if it has not yet)."""

    run: model.Run
    view: status.RunView
    worked: datetime.datetime
    version: object


@dataclasses.dataclass(frozen=True)
class Found:
    """A run, and the version of its DAG that it started with."""

    run: model.Run
    version: object


def dags(session: Session, only: Collection[str] | None = None) -> list[LaunchDag]:
    """Return the launch DAGs of all deployments, by name, without those whose loader is gone."""
    launches = sa.select(DagTag.dag_id).where(DagTag.name == _LAUNCH)
    ours = sa.select(DagTag.dag_id).where(DagTag.name == _TAG, DagTag.dag_id.in_(launches))
    wanted = [DagModel.dag_id.in_(ours), DagModel.is_stale.is_(False)]
    if only is not None:
        wanted.append(DagModel.dag_id.in_(only))
    rows = session.execute(
        sa.select(
            DagModel.dag_id,
            DagModel.description,
            DagModel.next_dagrun_create_after,
            DagModel.is_paused,
            DagModel.has_import_errors,
        )
        .where(*wanted)
        .order_by(DagModel.dag_id)
    ).all()
    tags: dict[str, list[str]] = defaultdict(list)
    tagged = sa.select(DagTag.dag_id, DagTag.name).where(
        DagTag.dag_id.in_(only if only is not None else ours)
    )
    for dag, tag in session.execute(tagged):
        if tag not in (_TAG, _LAUNCH):
            tags[dag].append(tag)
    return [
        LaunchDag(
            row.dag_id,
            _described(row.dag_id, row.description),
            tuple(sorted(tags[row.dag_id])),
            None if row.is_paused else row.next_dagrun_create_after,
            bool(row.is_paused),
            bool(row.has_import_errors),
        )
        for row in rows
    ]


def _described(dag: str, description: str | None) -> str:
    """Return the definition's description of a deployment; if it has none, a DAG has a generated one."""
    purpose = OPERATIONS[names.Operation.LAUNCH].describe(dag)
    return "" if description in (None, purpose) else str(description)


def operations(name: str, session: Session) -> dict[names.Operation, bool]:
    """Return the operations that a deployment has a DAG for, and whether that is paused."""
    wanted = {names.dag_id(name, each): each for each in names.Operation}
    rows = session.execute(
        sa.select(DagModel.dag_id, DagModel.is_paused).where(
            DagModel.dag_id.in_(wanted), DagModel.is_stale.is_(False)
        )
    )
    return {wanted[dag]: bool(is_paused) for dag, is_paused in rows}


@dataclasses.dataclass(frozen=True)
class Operable:
    """The DAG of an operation."""

    dag: str
    description: str
    is_paused: bool


def operable(name: str, operation: names.Operation, session: Session) -> Operable | None:
    """Return the DAG of an operation of a deployment; None if it does not exist, or is not ours."""
    ours = sa.select(DagTag.dag_id).where(DagTag.name == _TAG)
    row = session.execute(
        sa.select(DagModel.dag_id, DagModel.description, DagModel.is_paused).where(
            DagModel.dag_id == names.dag_id(name, operation),
            DagModel.is_stale.is_(False),
            DagModel.dag_id.in_(ours),
        )
    ).first()
    return None if row is None else Operable(row.dag_id, row.description or "", bool(row.is_paused))


@dataclasses.dataclass(frozen=True)
class Recent:
    """A deployment's newest runs.

    Attributes:
        past: the runs that determine its state, those that worked last first.
        last: the run that was requested last; read-only ones and backups only if there are no others.
    """

    past: tuple[RunWithTasks, ...] = ()
    last: model.Run | None = None

    @property
    def is_settled(self) -> bool:
        """Return whether older runs cannot affect the deployment's state.

        They cannot affect it beyond the newest decisive run. Runs that are not among these are older than that if each
        operation either has no others, or has one here that is as old.
        """
        places: dict[str, list[int]] = defaultdict(list)
        for place, each in enumerate(self.past):
            places[each.run.dag].append(place)
        beyond = len(self.past)
        decided = next((place for place, each in enumerate(self.past) if each.view.decides), beyond)
        return all(len(each) < _NEWEST or each[-1] >= decided for each in places.values())


NEVER = Recent()
"""The value for a deployment without runs."""


def recent(session: Session, only: Collection[str] | None = None) -> dict[str, Recent]:
    """Return each deployment's newest runs, by deployment. Three queries for any number of deployments.

    Args:
        session: the database session.
        only: these deployments; None for all.
    """
    runs = _ranked(only)
    rows = session.execute(sa.select(runs).where(runs.c.place <= _NEWEST)).all()
    arrived, taken = _milestones(session, runs)
    touched = _touched(session, runs)
    past: dict[str, list[RunWithTasks]] = defaultdict(list)
    last: dict[str, model.Run] = {}
    for row in rows:
        run = _run(row)
        if run is None:
            continue
        name = deployment(run.dag)
        if name not in last or _weight(last[name]) < _weight(run):
            last[name] = run
        if run.operation not in KEEPS_STATE:
            view = _view(run, has_arrived=run.key in arrived, has_touched=run.key in touched)
            past[name].append(RunWithTasks(run, view, _worked(run, taken), row.version))
    for each in past.values():
        # Of several that wait for their turn, always the same one is the first.
        each.sort(key=lambda past: _ORDER[past.run.operation])
        each.sort(key=lambda past: past.worked, reverse=True)
    return {name: Recent(tuple(past[name]), run) for name, run in last.items()}


@dataclasses.dataclass(frozen=True)
class Request:
    """The request of a run: when Airflow received it, its user's name in Airflow, and the reason."""

    queued: datetime.datetime | None = None
    user: str | None = None
    reason: str = ""


def requests(session: Session, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Request]:
    """Return the requests of these runs, by DAG and run. One query for any number of them."""
    rows = session.execute(
        sa.select(
            DagRun.dag_id, DagRun.run_id, DagRun.queued_at, DagRun.triggering_user_name, DagRun.conf
        ).where(sa.tuple_(DagRun.dag_id, DagRun.run_id).in_(keys))
    )
    return {(dag, run): Request(queued, user, _reason(conf)) for dag, run, queued, user, conf in rows}


def _reason(conf: object) -> str:
    return str(conf.get("reason") or "") if isinstance(conf, dict) else ""


def _weight(run: model.Run) -> tuple[bool, datetime.datetime]:
    """Return the relevance of a run for a one-line summary. A nightly backup must not hide the last launch."""
    return run.operation not in KEEPS_STATE, run.asked


def run(session: Session, dag: str, run_id: str) -> Found | None:
    """Return a run of an operation; None if it does not exist."""
    row = session.execute(
        sa.select(*_COLUMNS, DagRun.conf).where(DagRun.dag_id == dag, DagRun.run_id == run_id)
    ).first()
    found = None if row is None else _run(row)
    if row is None or found is None:
        return None
    return Found(dataclasses.replace(found, reason=_reason(row.conf)), row.version)


_COLUMNS = (
    DagRun.dag_id,
    DagRun.run_id,
    DagRun.state.label("state"),
    DagRun.run_type,
    DagRun.run_after,
    DagRun.start_date,
    DagRun.end_date,
    DagRun.triggering_user_name,
    DagRun.created_dag_version_id.label("version"),
)


def _ranked(only: Collection[str] | None) -> sa.Subquery:
    """Query the runs of all operations' DAGs, ranked within their DAG, newest first."""
    if only is None:
        chosen = DagRun.dag_id.in_(sa.select(DagTag.dag_id).where(DagTag.name == _TAG))
    else:
        chosen = DagRun.dag_id.in_([names.dag_id(name, each) for name in only for each in names.Operation])
    # They leave no trace, and there is one each minute.
    looks = [names.dag_id("", each) for each in READ_ONLY]
    return (
        sa.select(
            *_COLUMNS,
            sa.func.row_number()
            .over(partition_by=DagRun.dag_id, order_by=(DagRun.run_after.desc(), DagRun.id.desc()))
            .label("place"),
        )
        .where(chosen, *(~DagRun.dag_id.endswith(each, autoescape=True) for each in looks))
        .subquery()
    )


def _same_run(runs: sa.Subquery) -> sa.ColumnElement[bool]:
    return sa.and_(
        TaskInstance.dag_id == runs.c.dag_id, TaskInstance.run_id == runs.c.run_id, runs.c.place <= _NEWEST
    )


def _milestones(
    session: Session, runs: sa.Subquery
) -> tuple[set[tuple[str, str]], dict[tuple[str, str], tuple[str | None, datetime.datetime | None]]]:
    """Return the runs whose last step has succeeded, and the outcome of each run's wait for its turn."""
    rows = session.execute(
        sa.select(
            TaskInstance.dag_id,
            TaskInstance.run_id,
            TaskInstance.task_id,
            TaskInstance.state,
            TaskInstance.end_date,
        )
        .join(runs, _same_run(runs))
        .where(TaskInstance.task_id.in_((*_LAST_STEPS, StepKind.TURN.value)))
    )
    arrived = set()
    turns = {}
    for dag, run, task, state, ended in rows:
        if task == StepKind.TURN.value:
            turns[dag, run] = (state, ended)
        elif state == status.TaskState.SUCCESS.value:
            arrived.add((dag, run))
    return arrived, turns


def _touched(session: Session, runs: sa.Subquery) -> set[tuple[str, str]]:
    """Return the runs that have not succeeded (yet) and have begun to change something."""
    rows = session.execute(
        sa.select(TaskInstance.dag_id, TaskInstance.run_id)
        .join(runs, _same_run(runs))
        .where(
            runs.c.state != "success",
            TaskInstance.task_id.not_in([kind.value for kind in UNTOUCHING]),
            # Includes those of a task group: some of a termination's final backups are in one.
            *(~TaskInstance.task_id.endswith(f".{kind.value}", autoescape=True) for kind in UNTOUCHING),
            TaskInstance.state.is_not(None),
            TaskInstance.state.not_in(
                [each.value for each in status.UNTOUCHED if each is not status.TaskState.NONE]
            ),
        )
        .distinct()
    )
    return {(dag, run) for dag, run in rows}


def _view(run: model.Run, *, has_arrived: bool, has_touched: bool) -> status.RunView:
    """Reduce a run to the two facts that determine a deployment's state."""
    is_termination = run.operation is names.Operation.TERMINATE
    tasks = {}
    if has_arrived:
        last = StepKind.FINISH_TERMINATION if is_termination else StepKind.FINISH_LAUNCH
        tasks[last.value] = status.TaskState.SUCCESS
    elif has_touched:
        tasks[StepKind.SCALE_UP.value] = status.TaskState.RUNNING
    kind = status.RunKind.TERMINATION if is_termination else status.RunKind.LAUNCH
    return status.RunView(kind, run.is_over, tasks)


def _worked(
    run: model.Run, turns: dict[tuple[str, str], tuple[str | None, datetime.datetime | None]]
) -> datetime.datetime:
    """Return when a run began to work: since runs wait for their turn, the order differs from the requests' order."""
    state, ended = turns.get((run.dag, run.id), (None, None))
    if state == status.TaskState.SUCCESS.value and ended is not None:
        return ended
    is_waiting = (run.dag, run.id) in turns and not run.is_over
    return _NOT_YET if is_waiting else run.asked


def _run(row: sa.Row[tuple[object, ...]]) -> model.Run | None:
    """Convert a row to a run; None if its DAG is not an operation of this Gantry version."""
    operation = names.operation_of(row.dag_id)
    if operation is None:
        return None
    by = row.triggering_user_name or ("schedule" if row.run_type == "scheduled" else "")
    return model.Run(
        dag=row.dag_id,
        id=row.run_id,
        operation=operation,
        state=str(row.state),
        asked=row.run_after,
        started=row.start_date,
        ended=row.end_date,
        by=by,
    )


def deployment(dag: str) -> str:
    """Return the deployment that a DAG belongs to."""
    return dag.partition(".")[0]
