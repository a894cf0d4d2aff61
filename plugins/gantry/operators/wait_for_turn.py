"""First task of each run: acquires the deployment's lock in the worker, or waits in the triggerer, which only reads."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Context

from gantry import errors, names, preflight
from gantry.credentials import masked_names
from gantry.operators import base
from gantry.reconcile import step_run
from gantry.runtime import failures, lock_holder, recent_starts, run_history, task_run, xcom
from gantry.triggers import turn


class TurnOperator(base.StepOperator):
    """Lets the run continue once no other operation of the deployment is running."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Acquire the lock, or defer to the triggerer to wait for it."""
        task_run.begin_life(context)
        run_history.open_record(context, run)
        if run.operation is names.Operation.LAUNCH:
            for line in masked_names.warnings(run.definition):
                self.log.warning("%s", line)
        return self._take(context, run)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ANN401 - XComs are JSON
        """Try again after the triggerer has seen that the other runs are done."""
        if failures.of_event(event):
            super().resume(context, event)
        try:
            return self._take(context, task_run.run_of(context))
        except errors.GantryError as error:
            base.fail(context, error)

    def _take(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        deployment = run.deployment
        asker = lock_holder.asker(context, run)
        busy = lock_holder.take(deployment, asker)
        report = xcom.result(context, [])
        if busy is not None:
            waits_for = lock_holder.told(deployment, busy)
            self.log.info("waiting: %s", waits_for)
            self.defer(
                trigger=turn.TurnTrigger(
                    deployment=deployment,
                    operation=asker.operation.value,
                    run=asker.run,
                    begun=asker.begun,
                    waits_for=waits_for,
                    report=report,
                    until=run.until,
                ),
                method_name="resume",
            )
        self.log.info("no other operation of %s is running: this run has the turn", deployment)
        lock_holder.secure(context, run)
        recent_starts.sum_up(run)
        self._look(run)
        return report

    def _look(self, run: step_run.StepRun) -> None:
        """Check the run's prerequisites before it changes anything. Raises NotReadyError.

        A termination starts regardless of the result: it removes whatever is left.
        """
        needs = preflight.of_definition(run.definition, run.plan)
        found = list(preflight.examine(run.definition, needs, run.wanted))
        for each in found:
            if each.standing is preflight.CheckOutcome.UNKNOWN or (each.is_wrong and run.is_termination):
                self.log.warning("%s", each)
        self.log.info("checked %d things that this run needs", len(found))
        if not run.is_termination:
            preflight.refuse(found, run.source)
