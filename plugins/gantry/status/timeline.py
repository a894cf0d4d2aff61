"""Start and end of each phase and step of a run, and its critical path."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Iterable

from gantry.plan import Phase, Plan, Step
from gantry.status.tasks import Progress, Steps, TaskView

_NOTHING = datetime.timedelta(0)
_ENDED = (Progress.SUCCEEDED, Progress.FAILED, Progress.LEFT_OUT)


@dataclasses.dataclass(frozen=True)
class Span:
    """A time span. `ended` is None while it lasts, both are None before it begins."""

    started: datetime.datetime | None = None
    ended: datetime.datetime | None = None

    @property
    def duration(self) -> datetime.timedelta | None:
        """Return the duration, or None while there is no end."""
        return self.ended - self.started if self.started and self.ended else None


@dataclasses.dataclass(frozen=True)
class StepTime:
    """When a step's first task began and its last one ended (of the latest tries)."""

    step: Step
    progress: Progress
    span: Span


@dataclasses.dataclass(frozen=True)
class PhaseTime:
    """When a phase's first step began and its last one ended."""

    phase: Phase
    progress: Progress
    span: Span
    steps: tuple[StepTime, ...]


@dataclasses.dataclass(frozen=True)
class CriticalStep:
    """One step of the critical path, and the idle time between the step before it and it."""

    step: Step
    span: Span
    waited: datetime.timedelta


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The times of a run.

    Attributes:
        phases: the phases with steps in the plan, by number.
        critical_path: the steps that determined the end of the run (or its progress so far), first to last.
    """

    span: Span
    phases: tuple[PhaseTime, ...]
    critical_path: tuple[CriticalStep, ...]

    @property
    def waited(self) -> datetime.timedelta:
        """Return the time on the critical path in which no step worked: the cost of the scheduler and the queue."""
        return sum((link.waited for link in self.critical_path), _NOTHING)

    def phase(self, phase: Phase) -> PhaseTime | None:
        """Return one phase's times, or None if the plan has no step in it."""
        return next((each for each in self.phases if each.phase is phase), None)


def timeline(plan: Plan, tasks: Iterable[TaskView]) -> Timeline:
    """Return the times of a run. Tasks that are not steps of the plan, and removed ones, are ignored."""
    steps = Steps(plan, tasks)
    times = {step.id: _step_time(step, steps) for step in plan}
    phases = []
    for phase, progress in steps.phases().items():
        found = tuple(times[step.id] for step in plan if step.phase is phase)
        span = _together([each.span for each in found], is_open=progress not in _ENDED)
        phases.append(PhaseTime(phase, progress, span, found))
    every = [each.span for each in times.values()]
    is_open = any(each.progress in (Progress.WAITING, Progress.IN_PROGRESS) for each in times.values())
    return Timeline(_together(every, is_open=is_open), tuple(phases), _critical_path(plan, times))


def _step_time(step: Step, steps: Steps) -> StepTime:
    progress = steps.progress(step.id)
    if progress is Progress.NOT_APPLICABLE:
        # Its task is empty; its short duration counts as waiting time of the step after it.
        return StepTime(step, progress, Span())
    spans = [Span(task.started, task.ended) for task in steps.tasks(step.id)]
    return StepTime(step, progress, _together(spans, is_open=progress not in _ENDED))


def _together(spans: list[Span], *, is_open: bool) -> Span:
    starts = [span.started for span in spans if span.started]
    ends = [span.ended for span in spans if span.ended]
    return Span(min(starts, default=None), None if is_open else max(ends, default=None))


def _critical_path(plan: Plan, times: dict[str, StepTime]) -> tuple[CriticalStep, ...]:
    """Walk back from the step that ended last, each time to the upstream step that ended last."""

    @functools.cache
    def timed_before(step: str) -> tuple[str, ...]:
        """Return the timed steps before it, looking through steps without times."""
        found: list[str] = []
        for before in plan.by_id[step].upstream:
            found.extend([before] if times[before].span.duration is not None else timed_before(before))
        return tuple(found)

    def last(steps: Iterable[str]) -> str | None:
        ended = {step: end for step in steps if (end := times[step].span.ended) is not None}
        return max(ended, key=ended.__getitem__, default=None)

    path: list[CriticalStep] = []
    at = last(step for step in times if times[step].span.duration is not None)
    while at is not None:
        before = last(timed_before(at))
        span = times[at].span
        waited = _NOTHING
        if before is not None and span.started and (ended := times[before].span.ended):
            # A cleared step can have ended after its downstream steps.
            waited = max(span.started - ended, _NOTHING)
        path.append(CriticalStep(plan.by_id[at], span, waited))
        at = before
    return tuple(reversed(path))
