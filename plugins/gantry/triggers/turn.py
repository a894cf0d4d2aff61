"""Trigger that waits for a run's turn without a worker: it only reads."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from gantry import errors, names
from gantry.runtime import failures, lock_holder, task_run, triggerer_log
from gantry.state import operation_lock
from gantry.triggers import server_work

_PAUSE = 1.0
"""Seconds between two checks."""

_PATIENCE = 30.0
"""Minimum seconds that a run waits for another run of its operation that has not taken the lock either."""


class SecondRunError(errors.GantryError):
    """Two runs of one operation wait, and it is undecidable which one is first."""

    def __init__(self, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"another run of {dag} is running too, and neither has the turn: this one ends, and has changed nothing\n"
            f"Trigger {dag} again when the other run has ended."
        )


class TurnTrigger(server_work.StepTrigger):
    """Waits until a run can try again to take its turn. `waits_for` has already been logged."""

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
        self._asker = operation_lock.LockApplicant(names.Operation(operation), run, begun)
        self._waits_for = waits_for

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the trigger's class and keywords."""
        return (
            "gantry.triggers.turn.TurnTrigger",
            {
                "deployment": self._deployment,
                "operation": self._asker.operation.value,
                "run": self._asker.run,
                "begun": self._asker.begun,
                "waits_for": self._waits_for,
                "report": self._report,
                # A triggerer of an older Gantry does not know this.
                **({"until": self._until} if self._until else {}),
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait; the next worker takes the turn, or waits on."""
        try:
            found = await self._failures()
        except errors.GantryError as error:
            found = list(error.failures)
        await triggerer_log.written()
        yield TriggerEvent(failures.event(found))  # type: ignore[no-untyped-call] # Airflow's own signature

    async def _failures(self) -> list[errors.Failure]:
        told = self._waits_for
        undecided_since: float | None = None
        while True:
            # Also before the first check: by then, Airflow should know that the worker's process has ended.
            await asyncio.sleep(_PAUSE)
            busy = await asyncio.to_thread(lock_holder.look_again, self._deployment, self._asker)
            if busy is None:
                return []
            if self._until and time.time() > self._until:
                raise task_run.RunTimeUpError(self._asker.run)
            waits_for = lock_holder.told(self._deployment, busy)
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
    """Return the seconds to wait, different for each run: then one yields, and the other sees that it is alone."""
    return _PATIENCE + zlib.crc32(run.encode()) % 61
