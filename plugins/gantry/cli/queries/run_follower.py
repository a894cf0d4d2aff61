"""Follows one run of a deployment through Airflow's API until it is over."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from gantry import errors, inventory, overview
from gantry.cli.queries import rest_source
from gantry.definition import models
from gantry.rest import client, logs

T = TypeVar("T")
Show = Callable[[overview.RunSnapshot], None]

PATIENCE = 90.0
"""Seconds that an Airflow may be unavailable before the command gives up."""

_PAUSE = 0.8
_SHARE = 2
"""Pause as a multiple of how long Airflow took to answer: a busy one has more to do than to be looked at."""

_LONGEST_PAUSE = 5.0
_LAST_LINES_PAUSE = 0.2
_LOG_TAIL = 15


class RunFailedError(errors.GantryError):
    """The run did not succeed; contains the failed tasks' own errors."""

    def __init__(self, dag: str, tasks: tuple[TaskFailure, ...], link: str = "") -> None:
        self.dag = dag
        self.tasks = tasks
        told = "\n".join(each.told() for each in tasks) or "no task reports a reason"
        super().__init__(f"the run of {dag} failed\n{told}{f'{chr(10)}see {link}' if link else ''}")


class RunTooLongError(errors.GantryError):
    """The run did not end in time."""

    def __init__(self, dag: str, seconds: float, waiting: list[str], link: str = "") -> None:
        self.dag = dag
        super().__init__(
            f"the run of {dag} did not end within {seconds:g} s and continues; unfinished: {', '.join(waiting)}"
            + (f"\nsee {link}" if link else "")
        )


@dataclasses.dataclass(frozen=True)
class TaskFailure:
    """A failed task instance: its error, the end of its log before that, and the error as data where there is such."""

    task: str
    server: str
    error: str
    tail: tuple[str, ...] = ()
    failures: tuple[errors.Failure, ...] = ()

    def told(self) -> str:
        """Format for people."""
        where = f"{self.task} {self.server}".strip()
        before = "\n".join(f"  {line}" for line in self.tail)
        return f"task {where}: {self.error or 'no reason is known'}" + (
            f"\nthe end of its log before that:\n{before}" if before else ""
        )


class RunFollower:
    """Polls the runs of one DAG of a deployment.

    A poll asks for what may have changed: the run and its task instances, two requests. What happened before the run is
    read with its first snapshot, and again only if it then had to wait for another operation to end. Until it does, its
    snapshots have the state that the deployment had before both.

    Args:
        deployment: the deployment's name.
        definition: the definition, if it is at hand.
        servers: queries the cloud, if possible.
        lives: returns whether it makes sense to continue asking an Airflow that does not answer.
    """

    def __init__(
        self,
        api: client.AirflowApi,
        deployment: str,
        definition: models.Definition | None,
        servers: Callable[[], inventory.Inventory | None] = lambda: None,
        *,
        lives: Callable[[], object] = lambda: True,
    ) -> None:
        self._api = api
        self._deployment = deployment
        self._definition = definition
        self._servers = servers
        self._lives = lives
        self._source = self._new_source()
        self._waits = False

    def trigger(self, dag: str, conf: client.Json) -> overview.RunKey:
        """Start a run."""
        return dag, self._api.start(dag, conf).id

    def follow(
        self, run: overview.RunKey, show: Show, *, seconds: float | None = None
    ) -> overview.RunSnapshot:
        """Show a run until it has succeeded; return its last snapshot.

        Args:
            run: the run to follow.
            show: called with each snapshot.
            seconds: the maximum duration.

        Raises:
            RunFailedError: it failed.
            RunTooLongError: it did not end in time.
            RestError: Airflow is unavailable for too long; a short unavailability is tolerated.
        """
        dag, link = run[0], self._api.link(*run)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            began = time.monotonic()
            found = self.look(run)
            took = time.monotonic() - began
            show(found)
            if found.run.state == "failed":
                raise RunFailedError(dag, tuple(self.failures(found)), link)
            if found.run.is_over:
                return found
            if deadline is not None and time.monotonic() > deadline:
                raise RunTooLongError(dag, seconds or 0, list(found.unfinished), link)
            time.sleep(min(max(_PAUSE, _SHARE * took), _LONGEST_PAUSE))

    def look(self, run: overview.RunKey) -> overview.RunSnapshot:
        """Return the current snapshot of a run."""
        return self._patiently(lambda: self._look(run))

    def failures(self, found: overview.RunSnapshot) -> Iterator[TaskFailure]:
        """Yield each failed task's error, and the end of its log."""
        run = found.run.key
        for each in self._api.instances(*run):
            if each.state == "failed":
                logged, before = logs.failure(self._log(run, each))
                failures = self._api.failures(*run, each.task_id, each.map_index) or ()
                error = "\n".join(map(str, failures)) or logged
                where = "" if each.label.isdecimal() else each.label
                yield TaskFailure(each.task_id, where, error, before[-_LOG_TAIL:], failures)

    def _log(self, run: overview.RunKey, instance: client.ApiTaskInstance) -> tuple[logs.ApiLogLine, ...]:
        """Return the complete log of a finished task."""
        while True:
            lines = self._api.log_chunk(*run, instance).lines
            now = datetime.datetime.now(tz=datetime.UTC)
            if not logs.may_grow(lines, instance.state, instance.ended, now):
                return lines
            time.sleep(_LAST_LINES_PAUSE)

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call with retries: Airflow may be slow on a busy machine; a terminated Airflow is not retried."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return call()
            except errors.GantryError as error:
                if not error.transient or time.monotonic() > deadline or not self._lives():
                    raise
                time.sleep(_PAUSE)

    def _look(self, key: overview.RunKey) -> overview.RunSnapshot:
        # The state first: then the tasks' states are at least as new.
        run = rest_source.as_run(self._api.run(*key))
        found = self._servers()
        self._source.forget_tasks(run)
        snapshot = overview.run_snapshot(self._source, run, found)
        if self._waits and snapshot.has_turn:
            # The run that it waited for may have changed the deployment.
            self._source = self._new_source()
            snapshot = overview.run_snapshot(self._source, run, found)
        self._waits = not snapshot.has_turn and self._source.has_rivals(run)
        return snapshot

    def _new_source(self) -> rest_source.RestSource:
        return rest_source.RestSource(self._api, self._deployment, self._definition, exact=True)
