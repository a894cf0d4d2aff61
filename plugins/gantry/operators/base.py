"""Base class of all Gantry operators: finds the step, translates errors, records when it worked on what."""

from __future__ import annotations

import time
from typing import Any, NoReturn

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from gantry import errors
from gantry.agent import fan_out
from gantry.credentials import connections
from gantry.reconcile import step_run
from gantry.runtime import dag_bundles, failures, lock_holder, recent_starts, task_run

_BACKFILL = "backfill"
"""Airflow's run type of a backfill."""


class BackfillError(errors.GantryError):
    """An operation was started by a backfill, whose runs would work in parallel on today's servers."""

    def __init__(self, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"{dag} cannot be backfilled: each run works on the servers as they are now, whatever its date, so nothing "
            f"was done; trigger {dag} instead"
        )


def refuse_backfill(context: Context) -> None:
    """Fail a backfill run's task; a run that a backfill took over remains one. Raises AirflowFailException."""
    dag_run = context["dag_run"]
    if dag_run.run_type == _BACKFILL:
        fail(context, BackfillError(dag_run.dag_id))


def fail(context: Context, error: errors.GantryError, *, retry: bool = False) -> NoReturn:
    """Fail the task: keep its failures as an XCom, and have Airflow retry only what may pass by itself.

    Args:
        context: the context of the task.
        error: the cause.
        retry: whether the definition wants every failure retried.

    Raises:
        AirflowFailException: a retry would hit the same cause.
        AirflowException: a retry may succeed.
    """
    failures.keep(context, error.failures)
    if error.transient or retry:
        raise AirflowException(str(error)) from None
    raise AirflowFailException(str(error)) from None


class StepOperator(BaseOperator):
    """Executes the plan's step whose id is the task's id."""

    ui_color = "#e8f1fb"

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - XComs are JSON
        """Execute the step; see `perform`."""
        refuse_backfill(context)
        run = recent_starts.aware(task_run.run_of(context))
        try:
            if run.until and time.time() > run.until:
                raise task_run.RunTimeUpError(run.id)
            dag_bundles.refuse_mixed(context, run)
            lock_holder.keep(context, run)
            failures.forget(context)
            return self.perform(context, run)
        except errors.GantryError as error:
            self._advise(error)
            fail(context, error, retry=_wants_retry(run, error))

    def resume(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ANN401 - XComs are JSON
        """Fail with the error from the triggerer. Successes do not resume here: the triggerer ends the task itself."""
        error = fan_out.StepFailedError(failures.of_event(event))
        run = task_run.run_of(context)
        # This process has read no secret yet, so masking knows none, and a failure ends with a script's output.
        connections.mask(connections.with_secrets(run.definition))
        self._advise(error)
        fail(context, error, retry=_wants_retry(run, error))

    def _advise(self, error: errors.GantryError) -> None:
        """Log the remedy first. The description of the error follows: with a script's output, it may be long."""
        for line in dict.fromkeys(each.advice for each in error.failures if each.advice):
            self.log.error("what to do: %s", line)

    def perform(self, context: Context, run: step_run.StepRun) -> Any:  # noqa: ANN401 - XComs are JSON
        """Execute the step. Raises GantryError."""
        raise NotImplementedError


def _wants_retry(run: step_run.StepRun, error: errors.GantryError) -> bool:
    """Return whether the definition asks for a retry of a failure on servers; other errors are not retried."""
    return isinstance(error, fan_out.StepFailedError) and run.definition.retries_every_failure(run.step.kind)
