"""What every Gantry operator does alike: know its step, word its errors, report when it worked on what."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from gantry import errors
from gantry.agent import fan_out
from gantry.credentials import connections
from gantry.reconcile import step_run
from gantry.runtime import failures, lock_holder, recent_starts, task_run

_BACKFILL = "backfill"
"""Airflow's type of a run."""


class BackfillError(errors.GantryError):
    """A backfill of an operation: its runs would work beside each other, on the servers of today."""

    def __init__(self, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"{dag} cannot be backfilled: each run works on the servers as they are now, whatever its date, so nothing "
            f"was done; trigger {dag} instead"
        )


def refuse_backfill(context: Context) -> None:
    """Fail a task of a backfill's run; a run that a backfill has taken over stays one. Raises AirflowFailException."""
    dag_run = context["dag_run"]
    if dag_run.run_type == _BACKFILL:
        fail(context, BackfillError(dag_run.dag_id))


def fail(context: Context, error: errors.GantryError, *, retry: bool = False) -> NoReturn:
    """Fail the task in Airflow's terms: what cannot pass by itself is not tried again. Its failures stay as an XCom.

    Args:
        context: the task's.
        error: the cause.
        retry: the definition wants every failure tried again.

    Raises:
        AirflowFailException: a retry would meet the same cause.
        AirflowException: a retry may succeed.
    """
    failures.keep(context, error.failures)
    if error.transient or retry:
        raise AirflowException(str(error)) from None
    raise AirflowFailException(str(error)) from None


class StepOperator(BaseOperator):
    """A task that carries out the plan's step of the same id."""

    ui_color = "#e8f1fb"

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - XComs are JSON
        """Carry the step out; see `perform`."""
        refuse_backfill(context)
        run = recent_starts.aware(task_run.run_of(context))
        try:
            if run.until and time.time() > run.until:
                raise task_run.RunTimeUpError(run.id)
            lock_holder.keep(context, run)
            return self.perform(context, run)
        except errors.GantryError as error:
            self._advise(error)
            fail(context, error, retry=_wants_retry(run, error))

    def resume(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ANN401 - XComs are JSON
        """Fail with what the triggerer met. Success never comes here: the triggerer ends the task itself."""
        error = fan_out.StepFailedError(failures.of_event(event))
        run = task_run.run_of(context)
        # This process has read no secret yet, and a failure ends with what a script has printed.
        connections.mask(connections.with_secrets(run.definition))
        self._advise(error)
        fail(context, error, retry=_wants_retry(run, error))

    def _advise(self, error: errors.GantryError) -> None:
        """Say first what to do. What has happened follows: it may be long, with all that a script has printed."""
        for line in dict.fromkeys(each.advice for each in error.failures if each.advice):
            self.log.error("what to do: %s", line)

    def perform(self, context: Context, run: step_run.StepRun) -> Any:  # noqa: ANN401 - XComs are JSON
        """What the step does. Raises GantryError."""
        raise NotImplementedError


def _wants_retry(run: step_run.StepRun, error: errors.GantryError) -> bool:
    """Whether a failure on servers is tried again because the definition says so; other mistakes stay mistakes."""
    return isinstance(error, fan_out.StepFailedError) and run.definition.retries_every_failure(run.step.kind)
