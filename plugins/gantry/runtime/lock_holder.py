"""Turns in Airflow: marks are among what is kept of the deployment, and Airflow knows which runs are running."""

from __future__ import annotations

import datetime
import time

import pydantic
from airflow.sdk import Context

from gantry import errors, names
from gantry.definition import models
from gantry.plan import BEFORE_WORK, LAUNCHING, StepKind, operation_of
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import data_history, step_run
from gantry.runtime import asset_state
from gantry.state import operation_lock


class NotItsTurnError(errors.GantryError):
    """A step of a run that was over and starts over while another operation is at work."""

    def __init__(self, deployment: str, busy: operation_lock.LockedBy) -> None:
        self.deployment = deployment
        self.busy = busy
        super().__init__(
            f"it is not this run's turn any more: {told(deployment, busy)}\n"
            f"Clear the task {_TURN!r} and what comes after it: the run then waits for its turn. "
            f"Or clear this task again when the other run is over."
        )


class TurnTooSlowError(errors.GantryError):
    """A process that stood still while it asked for the turn: what it has seen may be long past."""

    transient = True

    def __init__(self, deployment: str, seconds: float) -> None:
        self.deployment = deployment
        super().__init__(
            f"asking for the turn of {deployment} took {seconds:.0f} s, so nothing was written\n"
            f"The task is tried again. Look at what kept this worker, or Airflow's API server, from working."
        )


_TURN = "turn"
_LONGEST = 20.0
"""Seconds from the first question to the last word about the turn. Airflow gives a worker up later than that."""
_MARK = pydantic.TypeAdapter(operation_lock.LockMark)


def asker(context: Context, run: step_run.StepRun) -> operation_lock.LockApplicant:
    """The run, as the others see it."""
    begun = context["dag_run"].start_date
    dag = context["ti"].dag_id
    return operation_lock.LockApplicant(
        operation=operation_of(dag),
        run=run.id,
        begun="" if begun is None else begun.isoformat(),
    )


def take(deployment: str, who: operation_lock.LockApplicant) -> operation_lock.LockedBy | None:
    """Try once to take the turn; whom to wait for, or None. Blocks for some requests to Airflow."""
    return _answered(deployment, who, operation_lock.ask(who, now()))


def look_again(deployment: str, who: operation_lock.LockApplicant) -> operation_lock.LockedBy | None:
    """Whom a run still has to wait for, or None if it is time to try again. Writes nothing.

    So two triggerers may follow the same run, one of which was frozen, and neither takes down what the other wrote.
    """
    return _answered(deployment, who, operation_lock.ask(who, now()), writes=False)


def keep(context: Context, run: step_run.StepRun) -> None:
    """Let a step go on only if it is its run's turn. Raises NotItsTurnError.

    The wait for the turn comes first in every run, so this is a question only where a person has cleared a step of a
    run that was over; and directly behind that wait: until it has succeeded once for a deployment, Airflow may have
    deleted the mark (see `keeping`).
    """
    is_first = step_id(DEPLOYMENT, StepKind.TURN) in run.step.upstream
    if run.step.kind in BEFORE_WORK or not (is_first or context["dag_run"].clear_number):
        return
    who = asker(context, run)
    if busy := _answered(run.deployment, who, operation_lock.keep(who, now())):
        raise NotItsTurnError(run.deployment, busy)


def at_work(context: Context, run: step_run.StepRun) -> operation_lock.LockedBy | None:
    """The run of the deployment that is at work, if any. For one that takes no turn itself."""
    return _answered(run.definition.deployment, asker(context, run), operation_lock.look())


def told(deployment: str, busy: operation_lock.LockedBy) -> str:
    """Who is in the way, for a log."""
    dag = names.dag_id(deployment, busy.operation)
    if busy.mark is None:
        return f"another run of {dag} is running, and has not taken the turn either"
    since = datetime.datetime.fromisoformat(busy.mark.since)
    does = (
        "is at work"
        if busy.mark.stage is operation_lock.LockStage.WORKS
        else "goes first and has been waiting"
    )
    return f"{dag} {does} since {since:%Y-%m-%d %H:%M:%S} UTC, run {busy.mark.run}"


def now() -> str:
    """The time of day, as marks have it."""
    return datetime.datetime.now(tz=datetime.UTC).isoformat()


def _answered(
    deployment: str, who: operation_lock.LockApplicant, asking: operation_lock.Asking, *, writes: bool = True
) -> operation_lock.LockedBy | None:
    """Answer all its requests, or, where it must not write, those before it wants to. Raises TurnTooSlowError."""
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
            # All of them first: then this run is among those that were counted, if it is running still.
            return _running(dag) == 1 and _running(dag, run) == 1


def _running(dag: str, run: str | None = None) -> int:
    """How many runs of a DAG are running, or whether this one is. None of a DAG that is not there."""
    # What the SDK has for sensors, in a worker and in the triggerer. Loaded by then in both.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    runs_asked = None if run is None else [run]
    found: int = RuntimeTaskInstance.get_dr_count(dag, run_ids=runs_asked, states=["running"])
    return found


def store(deployment: str) -> asset_state.DeploymentStore:
    """What is kept of a deployment."""
    return asset_state.store(deployment)


def secure(context: Context, run: step_run.StepRun) -> None:
    """See to it that what is kept of the deployment stays. Only for a run that has its turn.

    What an earlier Gantry has kept is moved, and Airflow has a reason to keep it when the DAGs are gone.
    """
    if run.definition.deployment == run.deployment:
        # A drill's definition knows a part of the deployment, under other names.
        store(run.deployment).move(run.definition)
    for name in dict.fromkeys((run.deployment, run.definition.deployment)):
        asset_state.secure(context, names.state(name))


def ran(definition: models.Definition) -> bool:
    """Whether a run has ever loaded data, as far as Airflow remembers runs."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    tasks = data_history.telling(definition)
    return any(
        RuntimeTaskInstance.get_ti_count(
            names.dag_id(definition.deployment, each), task_ids=tasks, states=["success"]
        )
        > 0
        for each in LAUNCHING
    )
