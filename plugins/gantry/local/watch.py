"""One run of a DAG, followed from outside: Airflow's task instances and the cloud's tags, as states and times."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import httpx

from gantry import inventory, names, plan
from gantry import status as states
from gantry.local import airflow_process, errors, rest

T = TypeVar("T")

_PAUSE = 0.8
_PATIENCE = 90.0
_ENDED = ("success", "failed")
_LOG_TAIL = 15
_FAILED = "Task failed with exception\n"
_GROUP = "info ::group::"


class AirflowLostError(errors.LocalCloudError):
    """Airflow stopped answering."""

    def __init__(self, airflow: airflow_process.Airflow, reason: str) -> None:
        self.reason = reason
        log_file = airflow.home / "standalone.log"
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-_LOG_TAIL:])
        super().__init__(f"Airflow does not answer any more: {reason}. The end of {log_file}:\n{tail}")


class RunFailedError(errors.LocalCloudError):
    """A run that did not succeed, with the failed tasks' own words."""

    def __init__(self, dag: str, failures: list[str]) -> None:
        self.dag = dag
        self.failures = failures
        super().__init__(f"the run of {dag} failed\n" + ("\n".join(failures) or "no task says why"))


class RunTooLongError(errors.LocalCloudError):
    """A run that does not come to an end."""

    def __init__(self, dag: str, seconds: float, waiting: list[str]) -> None:
        self.dag = dag
        super().__init__(
            f"the run of {dag} did not end within {seconds:g} s; unfinished: {', '.join(waiting)}"
        )


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the picture.

    Attributes:
        done, working: servers, without the deployment's name in front.
    """

    title: str
    progress: states.Progress
    span: states.Span
    done: tuple[str, ...]
    working: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is known at one moment of a run."""

    plan: plan.Plan
    tasks: tuple[states.TaskView, ...]
    found: inventory.Inventory
    status: states.DeploymentStatus
    times: states.Timeline
    run_state: str
    triggered: datetime.datetime

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.run_state in _ENDED

    def phases(self) -> list[Row]:
        """A row for each phase: the picture of a launch."""
        return [
            self._row(f"{each.phase.value} {each.phase.title}", each.progress, each.span, each.steps)
            for each in self.times.phases
        ]

    def steps(self) -> list[Row]:
        """A row for each step: the picture of a termination."""
        return [
            self._row(each.step.id, each.progress, each.span, (each,))
            for step in self.plan
            for phase in self.times.phases
            for each in phase.steps
            if each.step == step
        ]

    def scaling_event(self) -> float | None:
        """Seconds from the trigger to the first server that the run asked the cloud for."""
        started = [
            each.launched_at
            for each in self.found
            if each.launched_at >= self.triggered.replace(microsecond=0)
        ]
        return max((min(started) - self.triggered).total_seconds(), 0) if started else None

    def seconds(self) -> float | None:
        """From the trigger to the end of the last task, or None before that."""
        ended = self.times.span.ended
        return (ended - self.triggered).total_seconds() if ended else None

    def _row(
        self,
        title: str,
        progress: states.Progress,
        span: states.Span,
        steps: tuple[states.StepTime, ...],
    ) -> Row:
        if not progress.has_begun:
            # Airflow gives times also to tasks that it passes over.
            return Row(title, progress, states.Span(), (), ())
        inside = {each.step.id for each in steps}
        seen: dict[str, set[states.TaskState]] = {}
        for task in self.tasks:
            if task.task_id in inside and task.started is not None:
                for server in task.servers or self.plan.servers_of(self.plan.by_id[task.task_id]):
                    short = server.removeprefix(f"{self.plan.deployment}-")
                    seen.setdefault(short, set()).add(task.state)
        done = tuple(sorted(name for name, found in seen.items() if found == {states.TaskState.SUCCESS}))
        return Row(title, progress, span, done, tuple(sorted(set(seen) - set(done))))


class Watch:
    """Looks at one run again and again."""

    def __init__(
        self,
        airflow: airflow_process.Airflow,
        api: rest.Api,
        deployment: plan.Plan,
        servers: Callable[[], inventory.Inventory],
        *,
        previously_running: bool,
    ) -> None:
        self._airflow = airflow
        self._api = api
        self._plan = deployment
        self._servers = servers
        self._previously_running = previously_running

    def run(self, dag: str, show: Callable[[Moment], None], *, seconds: float = 600, **params: str) -> Moment:
        """Trigger a DAG and show it until it has succeeded; the last moment of it.

        Raises:
            RunFailedError: it failed.
            RunTooLongError: it did not end in time.
            AirflowLostError: nobody can say.
        """
        triggered = datetime.datetime.now(tz=datetime.UTC)
        deadline = time.monotonic() + seconds
        run = self._patiently(lambda: self._api.trigger(dag, **params), seconds=0)
        while True:
            moment = self._patiently(lambda: self._look(dag, run, triggered))
            show(moment)
            if moment.run_state == "failed":
                raise RunFailedError(dag, list(self._failures(dag, run)))
            if moment.ended:
                return moment
            if time.monotonic() > deadline:
                waiting = [key for key, each in moment.status.steps.items() if not each.is_done]
                raise RunTooLongError(dag, seconds, waiting)
            time.sleep(_PAUSE)

    def _patiently(self, call: Callable[[], T], seconds: float = _PATIENCE) -> T:
        """A busy machine's Airflow may be slow to answer; an Airflow that is gone is not waited for."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return call()
            except httpx.HTTPError as error:
                if time.monotonic() > deadline or not self._airflow.parts():
                    raise AirflowLostError(self._airflow, str(error) or type(error).__name__) from error
                time.sleep(_PAUSE)

    def _look(self, dag: str, run: str, triggered: datetime.datetime) -> Moment:
        # The state first: what the tasks say afterwards is then at least as new.
        run_state = self._api.run_state(dag, run)
        found = self._servers()
        known = {each.name for each in found} | {name for tier in self._plan.tiers for name in tier.names}
        tasks = tuple(_view(each, known) for each in self._api.instances(dag, run))
        return Moment(
            plan=self._plan,
            tasks=tasks,
            found=found,
            status=states.deployment_status(
                self._plan,
                tasks,
                found,
                run_ended=run_state in _ENDED,
                previously_running=self._previously_running,
            ),
            times=states.timeline(self._plan, tasks),
            run_state=run_state,
            triggered=triggered,
        )

    def _failures(self, dag: str, run: str) -> Iterator[str]:
        """Each failed task's error, and the end of its log."""
        for each in self._api.instances(dag, run):
            if each.state != "failed":
                continue
            log = self._api.log(dag, run, each.task_id, each.map_index, each.try_number)
            before, _, after = log.partition(_FAILED)
            error = after.partition(_GROUP)[0].strip() or "it did not say why"
            tail = "\n".join(f"  {line}" for line in before.splitlines()[-_LOG_TAIL:])
            where = f"{each.task_id} {each.label}".strip()
            yield f"task {where}: {error}\nthe end of its log before that:\n{tail}"


def _view(instance: rest.Instance, known: set[names.ServerName]) -> states.TaskView:
    label = names.ServerName(instance.label)
    return states.TaskView(
        task_id=instance.task_id,
        map_index=instance.map_index,
        state=states.TaskState.of(instance.state),
        started=_time(instance.started),
        ended=_time(instance.ended),
        # A batch is called by its first and last server; its step's tier is close enough for a picture.
        servers=(label,) if label in known else (),
    )


def _time(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
