"""Follows one run of a deployment through Airflow's API until it is over."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from gantry import errors, inventory, overview, plan
from gantry import status as states
from gantry.cli.queries import rest_source, run_snapshot
from gantry.rest import client, logs

T = TypeVar("T")
Show = Callable[[run_snapshot.Moment], None]

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
        told = "\n".join(each.told() for each in tasks) or "no task says why"
        super().__init__(f"the run of {dag} failed\n{told}{f'{chr(10)}see {link}' if link else ''}")


class RunTooLongError(errors.GantryError):
    """The run did not end in time."""

    def __init__(self, dag: str, seconds: float, waiting: list[str], link: str = "") -> None:
        self.dag = dag
        super().__init__(
            f"the run of {dag} did not end within {seconds:g} s, and goes on; unfinished: {', '.join(waiting)}"
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
        return f"task {where}: {self.error or 'it did not say why'}" + (
            f"\nthe end of its log before that:\n{before}" if before else ""
        )


class RunFollower:
    """Polls the runs of one DAG of a deployment.

    Args:
        deployment: the deployment's name.
        steps: the plan of the DAG, if the definition is at hand.
        servers: queries the cloud, if possible.
        before: the deployment's state before the run.
        lives: returns whether it makes sense to continue asking an Airflow that does not answer.
    """

    def __init__(
        self,
        api: client.AirflowApi,
        deployment: str,
        steps: plan.Plan | None,
        servers: Callable[[], inventory.Inventory | None] = lambda: None,
        *,
        before: states.Before,
        lives: Callable[[], object] = lambda: True,
    ) -> None:
        self._api = api
        self._deployment = deployment
        self._plan = steps
        self._servers = servers
        self._before = before
        self._lives = lives
        self._order: tuple[str, ...] = ()

    def trigger(self, dag: str, conf: client.Json) -> client.ApiDagRun:
        """Start a run."""
        return self._api.start(dag, conf)

    def follow(
        self, run: client.ApiDagRun, show: Show, *, seconds: float | None = None
    ) -> run_snapshot.Moment:
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
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            began = time.monotonic()
            moment = self.look(run)
            took = time.monotonic() - began
            show(moment)
            if moment.run.state == "failed":
                raise RunFailedError(run.dag, tuple(self.failures(moment)), self._api.link(run.dag, run.id))
            if moment.ended:
                return moment
            if deadline is not None and time.monotonic() > deadline:
                link = self._api.link(run.dag, run.id)
                raise RunTooLongError(run.dag, seconds or 0, moment.unfinished(), link)
            time.sleep(min(max(_PAUSE, _SHARE * took), _LONGEST_PAUSE))

    def look(self, run: client.ApiDagRun) -> run_snapshot.Moment:
        """Return the current snapshot of a run."""
        return self._patiently(lambda: self._look(run))

    def failures(self, moment: run_snapshot.Moment) -> Iterator[TaskFailure]:
        """Yield each failed task's error, and the end of its log."""
        run = moment.run
        for each in self._api.instances(run.dag, run.id):
            if each.state == "failed":
                logged, before = logs.failure(self._log(run, each))
                failures = self._api.failures(run.dag, run.id, each)
                error = "\n".join(map(str, failures)) or logged
                where = "" if each.label.isdecimal() else each.label
                yield TaskFailure(each.task_id, where, error, before[-_LOG_TAIL:], failures)

    def _log(self, run: client.ApiDagRun, instance: client.ApiTaskInstance) -> tuple[logs.ApiLogLine, ...]:
        """Return the complete log of a finished task."""
        while True:
            lines = self._api.log_chunk(run.dag, run.id, instance).lines
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

    def _look(self, run: client.ApiDagRun) -> run_snapshot.Moment:
        # The state first: then the tasks' states are at least as new.
        now = self._api.run(run.dag, run.id)
        found = self._servers()
        tasks = tuple(rest_source.task_row(each).view for each in self._api.instances(run.dag, run.id))
        moment = run_snapshot.Moment(self._deployment, now, (), tasks, found)
        seen = self._seen(moment)
        return dataclasses.replace(moment, seen=seen, order=self._in_order(moment, seen))

    def _seen(self, moment: run_snapshot.Moment) -> run_snapshot.PlannedRun | None:
        steps = self._plan
        if steps is None or not set(steps.by_id) <= {each.task_id for each in moment.tasks}:
            # The definition at hand is not the one that Airflow runs.
            return None
        run = rest_source.as_run(moment.run)
        status = overview.run_states(steps, run, moment.tasks, moment.found, self._before, {})
        return run_snapshot.PlannedRun(steps, status, states.timeline(steps, moment.tasks))

    def _in_order(self, moment: run_snapshot.Moment, seen: run_snapshot.PlannedRun | None) -> tuple[str, ...]:
        if seen is not None:
            return tuple(step.id for step in seen.plan)
        if not self._order:
            self._order = run_snapshot.in_order(self._api.downstream(moment.run.dag))
        known = {each.task_id for each in moment.tasks}
        return (*(each for each in self._order if each in known), *sorted(known - set(self._order)))
