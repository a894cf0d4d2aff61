"""Airflow's task instances as plain facts, and what they say about a step's progress."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Mapping

from gantry import names
from gantry.plan import Phase, Plan, Step, StepKind


class TaskState(enum.StrEnum):
    """A task instance's state, in Airflow's own words."""

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
        """The state that Airflow's word means: None is `none`.

        A word of a later Airflow counts as `none` too: a page that shows too little is better than none.
        """
        return next((state for state in cls if state == word), cls.NONE)


@dataclasses.dataclass(frozen=True)
class TaskView:
    """One task instance of a run.

    Attributes:
        task_id: the id of the step that it performs.
        map_index: its number among the instances of a mapped task, or -1.
        started, ended: of its latest try.
        servers: the servers that it works on. Empty means that they are not known (yet), or that it works on
            all servers of its step's tier.
    """

    task_id: str
    map_index: int = -1
    state: TaskState = TaskState.NONE
    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None
    servers: tuple[names.ServerName, ...] = ()


class Progress(enum.StrEnum):
    """How far a step (or a phase) has come."""

    NOT_APPLICABLE = "not applicable"
    WAITING = "waiting"
    IN_PROGRESS = "in progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LEFT_OUT = "left out"
    """Airflow skipped it, for example because a person refused an approval."""

    @property
    def has_begun(self) -> bool:
        """Whether work was started, however it ended."""
        return self in (Progress.IN_PROGRESS, Progress.SUCCEEDED, Progress.FAILED)

    @property
    def is_done(self) -> bool:
        """Whether what comes after need not wait for it."""
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
    """The progress of a plan's steps, of one run. Tasks that are not steps, and removed ones, don't count."""

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
            # Airflow makes all tasks at once: a run without these is older than they are.
            self._progress |= {
                step.id: Progress.NOT_APPLICABLE
                for step in plan
                if step.kind in (StepKind.TURN, StepKind.FIND_LOST) and not self._tasks[step.id]
            }
        # A run that is older than a step of the plan has no task of it, and went on without.
        for step in plan:
            if self._progress[step.id].has_begun:
                unknown = (each for each in step.upstream if not self._tasks[each])
                self._progress.update(dict.fromkeys(unknown, Progress.NOT_APPLICABLE))

    def tasks(self, step: str) -> tuple[TaskView, ...]:
        """A step's task instances, by map index."""
        return self._tasks[step]

    def progress(self, step: str) -> Progress:
        """How far a step has come on all its servers together."""
        return self._progress[step]

    def progress_on(self, step: str, server: names.ServerName) -> Progress:
        """How far a step has come on one server: what the instances that name the server say.

        Where none names it, those whose servers are not known speak for it.
        """
        tasks = self._tasks[step]
        own = [task for task in tasks if server in task.servers]
        return _of_step(self._plan.by_id[step], own or [task for task in tasks if not task.servers])

    def phases(self) -> dict[Phase, Progress]:
        """The progress of each phase that the plan has steps in, by number."""
        return {
            phase: together(self._progress[step.id] for step in self._plan if step.phase is phase)
            for phase in sorted({step.phase for step in self._plan})
        }

    def by_id(self) -> dict[str, Progress]:
        """The progress of every step, in the plan's order."""
        return dict(self._progress)


def together(parts: Iterable[Progress]) -> Progress:
    """The progress of a whole, from its parts. A failure anywhere makes it failed, also while others work."""
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
    """The progress of a task, from its instances; waiting where there are none yet."""
    parts = [_PROGRESS[task.state] for task in tasks if task.state is not TaskState.REMOVED]
    return together(parts) if parts else Progress.WAITING


def _of_step(step: Step, tasks: Iterable[TaskView]) -> Progress:
    if step.skipped is not None:
        return Progress.NOT_APPLICABLE
    return progress(tasks)
