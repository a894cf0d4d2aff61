"""The wait for the turn: at once in the worker where nobody else is at work, else in the triggerer."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.sdk import Context

from gantry import names
from gantry.operators import base, history, triggers, turning, turns
from gantry.operators import run as runs

_PAUSE = 1.0
"""Seconds between two looks."""


class TurnOperator(base.StepOperator):
    """Lets the run go on when no other operation of the deployment is at work."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Take the turn, or have the triggerer wait for it."""
        history.open_record(context, run)
        deployment = run.deployment
        asker = turning.asker(context, run)
        busy = turning.take(deployment, asker)
        report = base.result(context, [])
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
                ),
                method_name="resume",
            )
        self.log.info("no other operation of %s is at work: it is this run's turn", deployment)
        return report


class TurnTrigger(triggers.StepTrigger):
    """Waits until it is a run's turn, and ends the task. `waits_for` is what the log says already."""

    def __init__(
        self, *, deployment: str, operation: str, run: str, begun: str, waits_for: str, report: dict[str, Any]
    ) -> None:
        super().__init__(report)
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
            },
        )

    async def _failures(self) -> list[tuple[str, bool]]:
        told = self._waits_for
        while busy := await asyncio.to_thread(turning.take, self._deployment, self._asker):
            waits_for = turning.told(self._deployment, busy)
            if waits_for != told:
                self.log.info("waiting: %s", waits_for)
                told = waits_for
            await asyncio.sleep(_PAUSE)
        self.log.info("no other operation of %s is at work: it is this run's turn", self._deployment)
        return []
