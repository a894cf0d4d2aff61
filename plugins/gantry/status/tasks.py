"""Airflow's task instances as plain data, and the progress of steps derived from them."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Iterator, Mapping

from gantry import names
from gantry.plan import Phase, Plan, Step, StepKind


class TaskState(enum.StrEnum):
    """A task instance's state, with Airflow's values."""

    NONE = "none"
    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    DEFERRED = "deferred"
    SUCCESS = "success"
    FAILED = "failed"
    UPSTREAM_FAILED = "upstream_failed"
    SKIPPED = "skipped"
    UP_FOR_RETRY = "up_for_retry"
    UP_FOR_RESCHEDULE = "up_for_reschedule"
    RESTARTING = "restarting"
    REMOVED = "removed"
    AWAITING_INPUT = "awaiting_input"

    @classmethod
    def of(cls, word: str | None) -> TaskState:
        """Convert Airflow's value to a state: None is `none`.

        An unknown value of a later Airflow counts as `none` too: a page that shows too little is better than none.
        """
        return next((state for state in cls if state == word), cls.NONE)


@dataclasses.dataclass(frozen=True)
class TaskView:
    """One task instance of a run.

    Attributes:
        task_id: the id of the step that it executes.
        map_index: its number among the instances of a mapped task, or -1.
        started, ended: times of its latest try.
        servers: the servers that it works on. Empty means that they are not known (yet), or that it works on all
            servers of its step's tier.
    """

    task_id: str
    map_index: int = -1
    state: TaskState = TaskState.NONE
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    servers: tuple[names.ServerName, ...] = ()


class Progress(enum.StrEnum):
    """The progress of a step or a phase."""

    NOT_APPLICABLE = "not applicable"
    WAITING = "waiting"
    IN_PROGRESS = "in progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LEFT_OUT = "left out"
    """Airflow skipped it, for example because a person refused an approval."""

    @property
    def has_begun(self) -> bool:
        """Return whether work was started, however it ended."""
        return self in (Progress.IN_PROGRESS, Progress.SUCCEEDED, Progress.FAILED)

    @property
    def is_done(self) -> bool:
        """Return whether downstream steps need not wait for it."""
        return self in (Progress.SUCCEEDED, Progress.NOT_APPLICABLE)


_PROGRESS = {
    TaskState.NONE: Progress.WAITING,
    TaskState.SCHEDULED: Progress.WAITING,
    TaskState.QUEUED: Progress.WAITING,
    TaskState.UPSTREAM_FAILED: Progress.WAITING,
    TaskState.RUNNING: Progress.IN_PROGRESS,
    TaskState.DEFERRED: Progress.IN_PROGRESS,
    TaskState.UP_FOR_RETRY: Progress.IN_PROGRESS,
    TaskState.UP_FOR_RESCHEDULE: Progress.IN_PROGRESS,
    TaskState.RESTARTING: Progress.IN_PROGRESS,
    TaskState.AWAITING_INPUT: Progress.IN_PROGRESS,
    TaskState.SUCCESS: Progress.SUCCEEDED,
    TaskState.FAILED: Progress.FAILED,
    TaskState.SKIPPED: Progress.LEFT_OUT,
}


class Steps:
    """The progress of the steps of a run's plan. Tasks that are not steps, and removed ones, are ignored.

    Attributes:
        needless: the steps that the run has skipped, since it has asked all servers and they have nothing to do.
    """

    def __init__(self, plan: Plan, tasks: Iterable[TaskView]) -> None:
        self._plan = plan
        found: dict[str, list[TaskView]] = {step.id: [] for step in plan}
        for task in tasks:
            if task.task_id in found and task.state is not TaskState.REMOVED:
                found[task.task_id].append(task)
        self._tasks: Mapping[str, tuple[TaskView, ...]] = {
            step: tuple(sorted(tasks, key=lambda each: each.map_index)) for step, tasks in found.items()
        }
        self._progress = {step.id: _of_step(step, self._tasks[step.id]) for step in plan}
        if any(self._tasks.values()):
            # Airflow creates all tasks at once: a run without these is older than they are.
            self._progress |= {
                step.id: Progress.NOT_APPLICABLE
                for step in plan
                if step.kind in (StepKind.TURN, StepKind.FIND_LOST) and not self._tasks[step.id]
            }
        self.needless = frozenset(self._skipped())
        self._progress.update(dict.fromkeys(self.needless, Progress.NOT_APPLICABLE))
        # A run that is older than a step of the plan has no task for it, and continued without.
        for step in plan:
            if self._progress[step.id].has_begun:
                unknown = (each for each in step.upstream if not self._tasks[each])
                self._progress.update(dict.fromkeys(unknown, Progress.NOT_APPLICABLE))

    def _skipped(self) -> Iterator[str]:
        """Yield the steps that `find_lost` has skipped: nothing before them has done any work."""
        finish = [step.id for step in self._plan if step.kind is StepKind.FINISH_LAUNCH]
        if any(self._progress[each] is Progress.LEFT_OUT for each in finish):
            # A run that a person ends, or its time limit: Airflow skips all that is not over.
            return
        quiet: set[str] = set()
        for step in self._plan:
            if step.kind is StepKind.FIND_LOST and self._progress[step.id] is Progress.SUCCEEDED:
                quiet.add(step.id)
            elif step.upstream and quiet.issuperset(step.upstream):
                if self._progress[step.id] is Progress.LEFT_OUT:
                    yield step.id
                elif step.kind is not StepKind.SCALE_UP and step.skipped is None:
                    continue
                quiet.add(step.id)

    def tasks(self, step: str) -> tuple[TaskView, ...]:
        """Return a step's task instances, by map index."""
        return self._tasks[step]

    def progress(self, step: str) -> Progress:
        """Return a step's progress on all its servers together."""
        return self._progress[step]

    def progress_on(self, step: str, server: names.ServerName) -> Progress:
        """Return a step's progress on one server, from the instances that name the server.

        If none names it, from those whose servers are not known.
        """
        if step in self.needless:
            return Progress.NOT_APPLICABLE
        tasks = self._tasks[step]
        own = [task for task in tasks if server in task.servers]
        return _of_step(self._plan.by_id[step], own or [task for task in tasks if not task.servers])

    def phases(self) -> dict[Phase, Progress]:
        """Return the progress of each phase that has steps in the plan, by number."""
        return {
            phase: together(self._progress[step.id] for step in self._plan if step.phase is phase)
            for phase in sorted({step.phase for step in self._plan})
        }

    def by_id(self) -> dict[str, Progress]:
        """Return the progress of every step, in the plan's order."""
        return dict(self._progress)


def together(parts: Iterable[Progress]) -> Progress:
    """Combine the progress of several parts. If any failed, the whole has failed, even while others work."""
    each = [part for part in parts if part is not Progress.NOT_APPLICABLE]
    if not each:
        return Progress.NOT_APPLICABLE
    if len(set(each)) == 1:
        return each[0]
    if Progress.FAILED in each:
        return Progress.FAILED
    if not {Progress.WAITING, Progress.IN_PROGRESS}.intersection(each):
        return Progress.LEFT_OUT
    return Progress.IN_PROGRESS if any(part.has_begun for part in each) else Progress.WAITING


def progress(tasks: Iterable[TaskView]) -> Progress:
    """Return the progress of a task, from its instances; waiting if there are none yet."""
    parts = [_PROGRESS[task.state] for task in tasks if task.state is not TaskState.REMOVED]
    return together(parts) if parts else Progress.WAITING


def _of_step(step: Step, tasks: Iterable[TaskView]) -> Progress:
    if step.skipped is not None:
        return Progress.NOT_APPLICABLE
    return progress(tasks)
