"""The wait for the turn: it is taken by the worker, and waited for in the triggerer, which only reads."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import Context
from airflow.triggers.base import TriggerEvent

from gantry import errors, names
from gantry.operators import base, examination, hidden_names, history, triggers, turning, turns, xcom
from gantry.operators import run as runs

_PAUSE = 1.0
"""Seconds between two looks."""

_PATIENCE = 30.0
"""Seconds that a run waits at least for another run of its operation that has not taken the turn either."""


class SecondRunError(errors.GantryError):
    """Two runs of one operation, of which none can be told to be the first."""

    def __init__(self, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"another run of {dag} is running too, and neither has the turn: this one ends, and has touched nothing\n"
            f"Trigger {dag} again when the other run is over."
        )


class TurnOperator(base.StepOperator):
    """Lets the run go on when no other operation of the deployment is at work."""

    def perform(self, context: Context, run: runs.Run) -> xcom.Result:
        """Take the turn, or have the triggerer wait for it."""
        runs.begin_life(context)
        history.open_record(context, run)
        if names.operation_of(context["ti"].dag_id) is names.Operation.LAUNCH:
            for line in hidden_names.warnings(run.definition):
                self.log.warning("%s", line)
        return self._take(context, run)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:  # noqa: ANN401 - XComs are JSON
        """Try again, since the triggerer has seen that others are done."""
        if event["failures"]:
            super().resume(context, event)
        try:
            return self._take(context, runs.run_of(context))
        except errors.GantryError as error:
            base.raise_for_airflow(error)

    def _take(self, context: Context, run: runs.Run) -> xcom.Result:
        deployment = run.deployment
        asker = turning.asker(context, run)
        busy = turning.take(deployment, asker)
        report = xcom.result(context, [])
        if busy is not None:
            waits_for = turning.told(deployment, busy)
            self.log.info("waiting: %s", waits_for)
            self.defer(
                trigger=TurnTrigger(
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
        self.log.info("no other operation of %s is at work: it is this run's turn", deployment)
        turning.secure(context, run)
        self._look(run)
        return report

    def _look(self, run: runs.Run) -> None:
        """Look at what the run needs, before it touches anything. Raises NotReadyError.

        A termination begins whatever is said: it takes down what there is, with what is left of it.
        """
        needs = examination.of_definition(run.definition, run.plan)
        found = list(examination.examine(run.definition, needs, run.wanted))
        for each in found:
            if each.standing is examination.Standing.UNKNOWN or (each.is_wrong and run.is_termination):
                self.log.warning("%s", each)
        self.log.info("looked at %d things that this run needs", len(found))
        if not run.is_termination:
            examination.refuse(found, run.source)


class TurnTrigger(triggers.StepTrigger):
    """Waits until a run can try again to take its turn. `waits_for` is what the log says already."""

    def __init__(
        self,
        *,
        deployment: str,
        operation: str,
        run: str,
        begun: str,
        waits_for: str,
        report: dict[str, Any],
        until: float = 0.0,
    ) -> None:
        super().__init__(report)
        self._until = until
        self._deployment = deployment
        self._asker = turns.Asker(names.Operation(operation), run, begun)
        self._waits_for = waits_for

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The trigger's class and keywords."""
        return (
            "gantry.operators.turn.TurnTrigger",
            {
                "deployment": self._deployment,
                "operation": self._asker.operation.value,
                "run": self._asker.run,
                "begun": self._asker.begun,
                "waits_for": self._waits_for,
                "report": self._report,
                # A triggerer of an older Gantry knows nothing of it.
                **({"until": self._until} if self._until else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; the worker that comes next takes the turn, or waits on."""
        try:
            failures = await self._failures()
        except errors.GantryError as error:
            failures = [(str(error), error.passing)]
        yield TriggerEvent({"failures": failures})  # type: ignore[no-untyped-call] # Airflow's own signature

    async def _failures(self) -> list[tuple[str, bool]]:
        told = self._waits_for
        undecided_since: float | None = None
        while True:
            # Also before the first look: Airflow shall have heard by then that the worker's process has ended.
            await asyncio.sleep(_PAUSE)
            busy = await asyncio.to_thread(turning.look_again, self._deployment, self._asker)
            if busy is None:
                return []
            if self._until and time.time() > self._until:
                raise base.RunTimeUpError(self._asker.run)
            waits_for = turning.told(self._deployment, busy)
            if waits_for != told:
                self.log.info("waiting: %s", waits_for)
                told = waits_for
            if busy.mark is not None:
                undecided_since = None
                continue
            undecided_since = undecided_since or time.monotonic()
            if time.monotonic() - undecided_since > patience(self._asker.run):
                raise SecondRunError(names.dag_id(self._deployment, busy.operation))


def patience(run: str) -> float:
    """Seconds, of another length for each run: then one gives way, and the other sees that it is alone."""
    return _PATIENCE + zlib.crc32(run.encode()) % 61
