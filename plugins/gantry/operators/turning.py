"""Turns in Airflow: marks are in the state of the deployment's asset, and Airflow knows which runs are running."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pydantic
from airflow.sdk import Context

from gantry import errors, names
from gantry.operators import run as runs
from gantry.operators import turns
from gantry.plan.turn import BEFORE_WORK

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor


class NotItsTurnError(errors.GantryError):
    """A step of a run that was over and begins anew while another operation is at work."""

    def __init__(self, deployment: str, busy: turns.Busy) -> None:
        self.deployment = deployment
        self.busy = busy
        super().__init__(
            f"it is not this run's turn any more: {told(deployment, busy)}\n"
            f"Clear the task {_TURN!r} and what comes after it: the run then waits for its turn. "
            f"Or clear this task again when the other run is over."
        )


_TURN = "turn"
_MARK = pydantic.TypeAdapter(turns.Mark)
_KEY = "turn:{}"
"""An operation's mark among the states of the deployment's asset."""


def asker(context: Context, run: runs.Run) -> turns.Asker:
    """The run, as the others see it."""
    begun = context["dag_run"].start_date
    dag = context["ti"].dag_id
    operation = names.operation_of(dag)
    if operation is None:
        raise LookupError(f"{dag} is no operation's DAG")
    return turns.Asker(
        operation=operation,
        run=run.id,
        begun="" if begun is None else begun.isoformat(),
    )


def take(deployment: str, who: turns.Asker) -> turns.Busy | None:
    """Try once to take the turn; whom to wait for, or None. Blocks for some requests to Airflow."""
    return _answered(deployment, who, turns.ask(who, now()))


def keep(context: Context, run: runs.Run) -> None:
    """Let a step go on only if it is its run's turn. Raises NotItsTurnError.

    The wait for the turn comes first in every run, so this is a question only where a person has cleared a step of a
    run that was over.
    """
    if run.step.kind in BEFORE_WORK or not context["dag_run"].clear_number:
        return
    who = asker(context, run)
    if busy := _answered(run.deployment, who, turns.keep(who, now())):
        raise NotItsTurnError(run.deployment, busy)


def at_work(context: Context, run: runs.Run) -> turns.Busy | None:
    """The run of the deployment that is at work, if any. For one that takes no turn itself."""
    return _answered(run.definition.deployment, asker(context, run), turns.look())


def told(deployment: str, busy: turns.Busy) -> str:
    """Who is in the way, for a log."""
    dag = names.dag_id(deployment, busy.operation)
    since = datetime.datetime.fromisoformat(busy.mark.since)
    does = "is at work" if busy.mark.stage is turns.Stage.WORKS else "goes first and has been waiting"
    return f"{dag} {does} since {since:%Y-%m-%d %H:%M:%S} UTC, run {busy.mark.run}"


def now() -> str:
    """The time of day, as marks have it."""
    return datetime.datetime.now(tz=datetime.UTC).isoformat()


def _answered(deployment: str, who: turns.Asker, asking: turns.Asking) -> turns.Busy | None:
    """Answer all its requests."""
    marks = store(deployment)
    answer: turns.Answer = None
    while True:
        try:
            request = asking.send(answer)
        except StopIteration as end:
            found: turns.Busy | None = end.value
            return found
        answer = _answer(deployment, who, marks, request)


def _answer(
    deployment: str, who: turns.Asker, marks: AssetStateStoreAccessor, request: turns.Request
) -> turns.Answer:
    match request:
        case turns.Read(operation):
            kept = marks.get(_KEY.format(operation.value))
            return None if kept is None else _MARK.validate_python(kept)
        case turns.Write(mark):
            marks.set(_KEY.format(who.operation.value), _MARK.dump_python(mark, mode="json"))
            return None
        case turns.IsRunning(operation, run):
            return _is_running(names.dag_id(deployment, operation), run)


def _is_running(dag: str, run: str | None) -> bool:
    """Whether a run of a DAG is running, or any. A run that was deleted, or a DAG that is not there, is not."""
    # What the SDK has for sensors, in a worker and in the triggerer. Loaded by then in both.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    found = RuntimeTaskInstance.get_dr_count(dag, run_ids=None if run is None else [run], states=["running"])
    return found > 0


def store(deployment: str) -> AssetStateStoreAccessor:
    """The state of the deployment's asset. The context has it for tasks alone, and not in the triggerer."""
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor  # noqa: PLC0415 - not for DAG files

    return AssetStateStoreAccessor(name=names.asset(deployment))
