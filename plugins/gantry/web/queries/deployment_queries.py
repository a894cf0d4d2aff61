"""Database queries about deployments: few, and as many for a thousand deployments as for three."""

from __future__ import annotations

import dataclasses
import datetime
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from airflow.models.dag import DagModel, DagTag
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from sqlalchemy.orm import Session

from gantry import names, overview, plan, status
from gantry.plan import KEEPS_STATE, READ_ONLY, UNTOUCHING, StepKind
from gantry.requests import ReasonedRequest

_TAG, _LAUNCH = "gantry", names.Operation.LAUNCH.value
"""The tags of every launch DAG."""

_NEWEST = 3
"""Number of runs per operation that determine a deployment's state. Older ones matter only if these did nothing."""

_MOST = 50
"""Number of runs per operation that are read of a deployment whose newest ones did nothing."""

_LAST_STEPS = (StepKind.FINISH_LAUNCH.value, StepKind.FINISH_TERMINATION.value)
_ORDER = {operation: place for place, operation in enumerate(names.Operation)}


@dataclasses.dataclass(frozen=True)
class Found:
    """A run, and the version of its DAG that it started with."""

    run: overview.Run
    version: object


def dags(session: Session, only: Collection[str] | None = None) -> list[overview.LaunchDag]:
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
            DagModel.bundle_name,
        )
        .where(*wanted)
        .order_by(DagModel.dag_id)
    ).all()
    tags: dict[str, list[str]] = defaultdict(list)
    tagged = sa.select(DagTag.dag_id, DagTag.name).where(
        DagTag.dag_id.in_(only if only is not None else ours)
    )
    for dag, tag in session.execute(tagged):
        tags[dag].append(tag)
    return [
        overview.LaunchDag.of(
            row.dag_id,
            row.description,
            tags[row.dag_id],
            row.next_dagrun_create_after,
            is_paused=bool(row.is_paused),
            is_broken=bool(row.has_import_errors),
            bundle=row.bundle_name,
        )
        for row in rows
    ]


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
        versions: the version of its DAG that each run started with.
        depth: the number of runs per operation that were read at most.
    """

    past: tuple[overview.PastRun, ...] = ()
    last: overview.Run | None = None
    versions: Mapping[overview.RunKey, object] = dataclasses.field(default_factory=dict)
    depth: int = _NEWEST

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
        return all(len(each) < self.depth or each[-1] >= decided for each in places.values())


NEVER = Recent()
"""The value for a deployment without runs."""


def recent(session: Session, only: Collection[str] | None = None) -> dict[str, Recent]:
    """Return each deployment's newest runs, by deployment.

    Three queries for any number of deployments, and three more if the newest runs of some did nothing.

    Args:
        session: the database session.
        only: these deployments, with the reasons of their runs; None for all.
    """
    found = _recent(session, only, _NEWEST)
    unsettled = [name for name, each in found.items() if not each.is_settled]
    return found | _recent(session, unsettled, _MOST) if unsettled else found


def _recent(session: Session, only: Collection[str] | None, depth: int) -> dict[str, Recent]:
    runs = _ranked(only, depth)
    wanted: sa.Select[Any] = sa.select(runs)
    if only is not None:
        # The form's parameters may be many: a list of all deployments does without.
        wanted = sa.select(runs, DagRun.conf).join(
            DagRun, sa.and_(DagRun.dag_id == runs.c.dag_id, DagRun.run_id == runs.c.run_id)
        )
    rows = session.execute(wanted).all()
    arrived, taken = _milestones(session, runs)
    touched = _touched(session, runs)
    past: dict[str, list[overview.PastRun]] = defaultdict(list)
    last: dict[str, overview.Run] = {}
    versions: dict[str, dict[overview.RunKey, object]] = defaultdict(dict)
    for row in rows:
        run = _run(row)
        if run is None:
            continue
        name = deployment(run.dag)
        if name not in last or overview.weight(last[name]) < overview.weight(run):
            last[name] = run
        if run.operation not in KEEPS_STATE:
            view = _view(run, has_arrived=run.key in arrived, has_touched=run.key in touched)
            past[name].append(overview.PastRun(run, view, overview.worked(run, taken.get(run.key, ()))))
            versions[name][run.key] = row.version
    for each in past.values():
        # Of several that wait for their turn, always the same one is the first.
        each.sort(key=lambda past: _ORDER[plan.operation_of(past.run.dag)])
        each.sort(key=lambda past: past.worked, reverse=True)
    return {name: Recent(tuple(past[name]), run, versions[name], depth) for name, run in last.items()}


@dataclasses.dataclass(frozen=True)
class Request:
    """The request of a run: when Airflow received it, and the reason."""

    queued: datetime.datetime | None = None
    reason: str = ""


def requests(session: Session, keys: Collection[overview.RunKey]) -> dict[overview.RunKey, Request]:
    """Return the requests of these runs. One query for any number of them."""
    rows = session.execute(
        sa.select(DagRun.dag_id, DagRun.run_id, DagRun.queued_at, DagRun.conf).where(
            sa.tuple_(DagRun.dag_id, DagRun.run_id).in_(keys)
        )
    )
    return {(dag, run): Request(queued, _reason(conf)) for dag, run, queued, conf in rows}


def _reason(conf: object) -> str:
    return ReasonedRequest.read(conf).reason if isinstance(conf, dict) else ""


def run(session: Session, dag: str, run_id: str) -> Found | None:
    """Return a run of an operation; None if it does not exist."""
    row = session.execute(
        sa.select(*_COLUMNS, DagRun.conf).where(DagRun.dag_id == dag, DagRun.run_id == run_id)
    ).first()
    found = None if row is None else _run(row)
    if row is None or found is None:
        return None
    return Found(found, row.version)


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


def _ranked(only: Collection[str] | None, depth: int) -> sa.Subquery:
    """Query the newest runs of all operations' DAGs."""
    if only is None:
        chosen = DagRun.dag_id.in_(sa.select(DagTag.dag_id).where(DagTag.name == _TAG))
    else:
        chosen = DagRun.dag_id.in_([names.dag_id(name, each) for name in only for each in names.Operation])
    # They leave no trace, and there is one each minute.
    looks = [names.dag_id("", each) for each in READ_ONLY]
    ranked = (
        sa.select(
            *_COLUMNS,
            sa.func.row_number()
            .over(partition_by=DagRun.dag_id, order_by=(DagRun.run_after.desc(), DagRun.id.desc()))
            .label("place"),
        )
        .where(chosen, *(~DagRun.dag_id.endswith(each, autoescape=True) for each in looks))
        .subquery()
    )
    return sa.select(ranked).where(ranked.c.place <= depth).subquery()


def _same_run(runs: sa.Subquery) -> sa.ColumnElement[bool]:
    return sa.and_(TaskInstance.dag_id == runs.c.dag_id, TaskInstance.run_id == runs.c.run_id)


def _milestones(
    session: Session, runs: sa.Subquery
) -> tuple[set[overview.RunKey], dict[overview.RunKey, list[status.TaskView]]]:
    """Return the runs whose last step has succeeded, and each run's task that waits for its turn."""
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
            turns[dag, run] = [status.TaskView(task, state=status.TaskState.of(state), ended=ended)]
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


def _view(run: overview.Run, *, has_arrived: bool, has_touched: bool) -> status.RunView:
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


def _run(row: sa.Row[Any]) -> overview.Run | None:
    """Convert a row to a run; None if its DAG is not an operation of this Gantry version."""
    if names.operation_of(row.dag_id) is None:
        return None
    return overview.Run(
        dag=row.dag_id,
        id=row.run_id,
        state=str(row.state),
        asked=row.run_after,
        started=row.start_date,
        ended=row.end_date,
        user=row.triggering_user_name,
        is_scheduled=row.run_type == "scheduled",
        reason=_reason(getattr(row, "conf", None)),
    )


def deployment(dag: str) -> str:
    """Return the deployment that a DAG belongs to."""
    return dag.partition(".")[0]
