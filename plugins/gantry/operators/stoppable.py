"""Handling of terminated task processes, and of the scripts that they follow on servers.

Airflow calls `on_kill` in three cases: a person marked or cleared the task, the worker shuts down, or the API server
did not answer three heartbeats. Only in the first case must the scripts be stopped. So Airflow is asked for the state
of the task instance; if that fails, the scripts continue, and the next try resumes following them.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowTaskTimeout

from gantry import errors, names
from gantry.operators import base
from gantry.runtime import task_verdict

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_ANSWER = 2.5
"""Seconds to wait for Airflow's answer. A later answer still counts while the process lives."""

_UNTIL_KILLED = 4.0
"""Seconds after which unfinished work is reported. After five, Airflow kills the process."""


class StoppedError(errors.GantryError):
    """The process had to end although its task was to continue."""

    transient = True

    def __init__(self) -> None:
        super().__init__(
            "this worker's process was stopped (a shutdown, or Airflow's API server did not answer)\n"
            "The scripts on the servers keep running, and the next try of this task follows them."
        )


class TaskEndedError(errors.GantryError):
    """The task was ended by a person, or its run is over."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{why}: what it had running on servers was ended\nClear the task to continue.")


class StoppableOperator(base.StepOperator):
    """A step that follows scripts on servers in the worker, and handles the termination of its process."""

    _instance: task_verdict.TaskInstanceIdentity | None = None
    _out_of_time = False
    _loop: asyncio.AbstractEventLoop | None = None
    _work: asyncio.Task[Any] | None = None
    _stopped = False
    _why: str | None = None
    _killer: threading.Thread | None = None

    def execute(self, context: Context) -> Any:  # noqa: ANN401 - XComs are JSON
        """Execute the step, and remember its task instance."""
        self._instance = context["ti"]
        try:
            return super().execute(context)
        except AirflowTaskTimeout:
            # Airflow calls `on_kill` next.
            self._out_of_time = True
            raise

    async def end(self, unconfirmed: set[names.ServerName]) -> None:
        """Kill the jobs on servers. `unconfirmed` receives the servers on which they may still run."""
        raise NotImplementedError

    def follow(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Run a coroutine; return False if the process had to end before it was done. Raises TaskEndedError."""

        async def stoppable() -> None:
            self._loop, self._work = asyncio.get_running_loop(), asyncio.current_task()
            if self._stopped:
                raise asyncio.CancelledError
            await work()

        try:
            asyncio.run(stoppable())
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            if self._killer is not None:
                # Airflow's answer may have arrived late, or may still be under way.
                self._killer.join(_UNTIL_KILLED)
            if self._why is not None:
                raise TaskEndedError(self._why) from None
            return False
        finally:
            self._work = None
        return True

    def on_kill(self) -> None:
        """Start nothing new; kill the remote processes only if a person or an expired time limit requires it."""
        # Airflow calls this from a signal handler, in the middle of this thread's own event loop.
        self._stopped = True
        began = time.monotonic()
        answered = threading.Event()
        unconfirmed: set[names.ServerName] = set()
        killer = threading.Thread(target=self._judge, args=(answered, unconfirmed, self.log), daemon=True)
        self._killer = killer
        killer.start()
        answered.wait(_ANSWER)
        if self._why is None:
            self.log.warning("this process has to end; the scripts on the servers keep running")
        else:
            self.log.warning("%s: ending what runs on the servers", self._why)
            killer.join(max(_UNTIL_KILLED - (time.monotonic() - began), 0))
            if killer.is_alive():
                self.log.warning(
                    "not confirmed yet: %s. A script that was not reached is ended by its server's agent after its "
                    "timeout; a new try of this task finds it",
                    ", ".join(sorted(unconfirmed)) or "none",
                )
                killer.join()
        if self._loop is not None and self._work is not None:
            self._loop.call_soon_threadsafe(self._work.cancel)

    def _judge(self, answered: threading.Event, unconfirmed: set[names.ServerName], log: Logger) -> None:
        try:
            self._why = self._verdict()
        except Exception as error:  # noqa: BLE001 - whatever it is: Airflow cannot be asked
            log.warning("Airflow does not report the state of this task: %s", error)
        try:
            if self._why is not None:
                if answered.is_set():
                    log.warning("%s: ending what runs on the servers", self._why)
                answered.set()
                asyncio.run(self.end(unconfirmed))
        finally:
            answered.set()

    def _verdict(self) -> str | None:
        if self._out_of_time:
            return "the task's execution_timeout has passed"
        return (
            None if self._instance is None else task_verdict.verdict(self._instance, task_verdict.IN_WORKER)
        )
