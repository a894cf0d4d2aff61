"""Deployment lock in Airflow: marks are stored in the deployment's state; Airflow knows which runs are running."""

from __future__ import annotations

import datetime
import time

import pydantic
from airflow.sdk import Context

from gantry import errors, names
from gantry.definition import models
from gantry.plan import BEFORE_WORK, LAUNCHING, StepKind
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import data_history, step_run
from gantry.runtime import asset_state, dag_bundles
from gantry.state import operation_lock


class NotItsTurnError(errors.GantryError):
    """A step of a finished run was restarted while another operation is running."""

    def __init__(self, deployment: str, busy: operation_lock.LockedBy) -> None:
        self.deployment = deployment
        self.busy = busy
        super().__init__(
            f"this run no longer has its turn: {told(deployment, busy)}\n"
            f"Clear the task {_TURN!r} and what comes after it: the run then waits for its turn. "
            f"Or clear this task again when the other run has ended."
        )


class TurnTooSlowError(errors.GantryError):
    """The process stalled while it acquired the lock: what it has read may be outdated."""

    transient = True

    def __init__(self, deployment: str, seconds: float) -> None:
        self.deployment = deployment
        super().__init__(
            f"asking for the turn of {deployment} took {seconds:.0f} s, so nothing was written\n"
            f"The task is tried again. Check what delayed this worker or Airflow's API server."
        )


_TURN = "turn"
_LONGEST = 20.0
"""Maximum seconds between the first read and the last write of the lock. Airflow gives up a worker later than that."""
_MARK = pydantic.TypeAdapter(operation_lock.LockMark)


def asker(context: Context, run: step_run.StepRun) -> operation_lock.LockApplicant:
    """Return the run as a lock applicant, as other runs see it."""
    begun = context["dag_run"].start_date
    return operation_lock.LockApplicant(
        operation=run.operation,
        run=run.id,
        begun="" if begun is None else begun.isoformat(),
    )


def take(deployment: str, who: operation_lock.LockApplicant) -> operation_lock.LockedBy | None:
    """Try once to acquire the lock; return the blocking run, or None. Blocks for some requests to Airflow."""
    return _answered(deployment, who, operation_lock.ask(who, now()))


def look_again(deployment: str, who: operation_lock.LockApplicant) -> operation_lock.LockedBy | None:
    """Return the run that still blocks this one, or None if it is time to try again. Only reads.

    So two triggerers may follow the same run, one of them stalled, without overwriting each other's marks.
    """
    return _answered(deployment, who, operation_lock.ask(who, now()), writes=False)


def keep(context: Context, run: step_run.StepRun) -> None:
    """Let a step continue only if its run holds the lock. Raises NotItsTurnError.

    The wait for the lock comes first in every run, so this check matters only if a person has cleared a step of a
    finished run; and directly after that wait: until it has succeeded once for a deployment, Airflow may have deleted
    the mark (see `gantry.runtime.asset_state`).
    """
    is_first = step_id(DEPLOYMENT, StepKind.TURN) in run.step.upstream
    if run.step.kind in BEFORE_WORK or not (is_first or context["dag_run"].clear_number):
        return
    who = asker(context, run)
    if busy := _answered(run.deployment, who, operation_lock.keep(who, now())):
        raise NotItsTurnError(run.deployment, busy)


def at_work(context: Context, run: step_run.StepRun) -> operation_lock.LockedBy | None:
    """Return the deployment's running operation, if any. For a run that does not take the lock itself."""
    return _answered(run.definition.deployment, asker(context, run), operation_lock.look())


def told(deployment: str, busy: operation_lock.LockedBy) -> str:
    """Describe the blocking run, for a log."""
    dag = names.dag_id(deployment, busy.operation)
    if busy.mark is None:
        return f"another run of {dag} is running, and does not have the turn either"
    since = datetime.datetime.fromisoformat(busy.mark.since)
    does = (
        "has been running"
        if busy.mark.stage is operation_lock.LockStage.WORKS
        else "is first in line and has been waiting"
    )
    return f"{dag} {does} since {since:%Y-%m-%d %H:%M:%S} UTC, run {busy.mark.run}"


def now() -> str:
    """Return the current time in the format of lock marks."""
    return datetime.datetime.now(tz=datetime.UTC).isoformat()


def _answered(
    deployment: str, who: operation_lock.LockApplicant, asking: operation_lock.Asking, *, writes: bool = True
) -> operation_lock.LockedBy | None:
    """Serve all requests of the protocol; without `writes`, only those before its first write.

    Raises TurnTooSlowError.
    """
    marks = store(deployment)
    began = time.monotonic()
    answer: operation_lock.Answer = None
    while True:
        try:
            request = asking.send(answer)
        except StopIteration as end:
            found: operation_lock.LockedBy | None = end.value
            return found
        if isinstance(request, operation_lock.Write):
            if not writes:
                return None
            if (seconds := time.monotonic() - began) > _LONGEST:
                raise TurnTooSlowError(deployment, seconds)
        answer = _answer(deployment, who, marks, request)


def _answer(
    deployment: str,
    who: operation_lock.LockApplicant,
    marks: asset_state.DeploymentStore,
    request: operation_lock.Request,
) -> operation_lock.Answer:
    match request:
        case operation_lock.Read(operation):
            kept = marks.get(asset_state.TURN.format(operation.value))
            return None if kept is None else _MARK.validate_python(kept)
        case operation_lock.Write(mark):
            marks.set(asset_state.TURN.format(who.operation.value), _MARK.dump_python(mark, mode="json"))
            return None
        case operation_lock.IsRunning(operation, run):
            return _running(names.dag_id(deployment, operation), run) > 0
        case operation_lock.IsAlone(operation, run):
            dag = names.dag_id(deployment, operation)
            # All of them first: then this run is among those that were counted, if it is still running.
            return _running(dag) == 1 and _running(dag, run) == 1


def _running(dag: str, run: str | None = None) -> int:
    """Return how many runs of a DAG are running, or whether this one is; 0 for a missing DAG."""
    # The SDK's function for sensors, in worker and triggerer. Already loaded in both by then.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    runs_asked = None if run is None else [run]
    found: int = RuntimeTaskInstance.get_dr_count(dag, run_ids=runs_asked, states=["running"])
    return found


def store(deployment: str) -> asset_state.DeploymentStore:
    """Return the deployment's store."""
    return asset_state.store(deployment)


def secure(context: Context, run: step_run.StepRun) -> None:
    """Make sure that the deployment's state persists. Only for the run that holds the lock.

    Migrates the state of an older Gantry, and makes Airflow keep the state when the DAGs are gone. Raises
    OtherBundleError if the deployment is operated from another DAG bundle than the run's.
    """
    kept = store(run.deployment)
    own = dag_bundles.of(context)
    dag_bundles.refuse_other(run, kept.record(), own)
    if run.definition.deployment == run.deployment:
        # A drill's definition describes a part of the deployment under other names.
        kept.move(run.definition)
        if own:
            kept.operated_from(own)
    for name in dict.fromkeys((run.deployment, run.definition.deployment)):
        asset_state.secure(context, names.state(name))


def ran(definition: models.Definition) -> bool:
    """Return whether a run has ever loaded data, as far as Airflow's history of runs goes."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    tasks = data_history.telling(definition)
    return any(
        RuntimeTaskInstance.get_ti_count(
            names.dag_id(definition.deployment, each), task_ids=tasks, states=["success"]
        )
        > 0
        for each in LAUNCHING
    )
