"""Timeline of a run: a bar for each step, and the steps on the critical path.

Rendered by `templates/parts/timeline.html.jinja`.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator

from gantry import durations, status
from gantry.web.views import state_badges, step_titles

_SECOND = datetime.timedelta(seconds=1)
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Possible seconds between two marks of the axis."""

_MOST_MARKS = 5
_PERCENT = 100


@dataclasses.dataclass(frozen=True)
class AxisMark:
    """A mark of the axis, `at` that many percent of the width."""

    at: float
    text: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """A step.

    Attributes:
        start, width: in percent of the whole.
        waited: percent before it in which no step on the critical path worked; 0 off that path.
        label: the full description.
    """

    key: str
    title: str
    look: state_badges.Badge
    start: float
    width: float
    took: str
    is_critical: bool
    waited: float
    label: str


@dataclasses.dataclass(frozen=True)
class TimelinePhase:
    """A phase that has work, and its started steps in the order of their starts."""

    number: int
    title: str
    look: state_badges.Badge
    start: float
    width: float
    took: str
    bars: tuple[Bar, ...]
    waiting: int


@dataclasses.dataclass(frozen=True)
class Gantt:
    """The whole run.

    Attributes:
        waited: time on that path in which no step worked.
    """

    took: str
    marks: tuple[AxisMark, ...]
    stages: tuple[TimelinePhase, ...]
    waited: str


def gantt(times: status.Timeline, now: datetime.datetime) -> Gantt | None:
    """Return a run's timeline up to `now`, or None before its first step has begun."""
    began = times.span.started
    if began is None:
        return None
    scale = _Scale(began, max((times.span.ended or _reached(times, now)) - began, _SECOND))
    critical = {link.step.id: link for link in times.critical_path}
    return Gantt(
        took=durations.text(scale.length, exact=times.span.ended is not None),
        marks=tuple(_marks(scale)),
        stages=tuple(
            _stage(each, scale, critical)
            for each in times.phases
            if each.progress is not status.Progress.NOT_APPLICABLE
        ),
        waited=durations.text(times.waited),
    )


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Conversion from times to percent."""

    began: datetime.datetime
    length: datetime.timedelta

    def at(self, moment: datetime.datetime) -> float:
        return round(min(max((moment - self.began) / self.length, 0.0), 1.0) * _PERCENT, 2)

    def place(self, span: status.Span) -> tuple[float, float]:
        """Return the start and the width of a time span; an open one ends now."""
        if span.started is None:
            return 0.0, 0.0
        start = self.at(span.started)
        return start, round(self.at(span.ended or self.began + self.length) - start, 2)

    def took(self, span: status.Span) -> str:
        if span.started is None or span.ended is not None:
            return durations.text(span.duration)
        return durations.text(self.began + self.length - span.started, exact=False)


def _reached(times: status.Timeline, now: datetime.datetime) -> datetime.datetime:
    """Return the end of the visible time: a failed run has steps that will never end."""
    steps = [step for phase in times.phases for step in phase.steps]
    if any(step.progress is status.Progress.IN_PROGRESS for step in steps):
        return now
    return max((step.span.ended for step in steps if step.span.ended is not None), default=now)


def _stage(phase: status.PhaseTime, scale: _Scale, critical: dict[str, status.CriticalStep]) -> TimelinePhase:
    # Airflow also sets times for tasks that it does not even try.
    begun = [each for each in phase.steps if each.span.started is not None and each.progress.has_begun]
    span = phase.span if begun else status.Span()
    start, width = scale.place(span)
    begun.sort(key=lambda each: each.span.started or scale.began)
    waiting = sum(each.progress is status.Progress.WAITING for each in phase.steps)
    return TimelinePhase(
        number=phase.phase.value,
        title=phase.phase.title,
        look=state_badges.look(phase.progress),
        start=start,
        width=width,
        took=scale.took(span),
        bars=tuple(_bar(each, scale, critical.get(each.step.id)) for each in begun),
        waiting=waiting,
    )


def _bar(step: status.StepTime, scale: _Scale, link: status.CriticalStep | None) -> Bar:
    start, width = scale.place(step.span)
    look = state_badges.look(step.progress)
    took = scale.took(step.span)
    waited = 0.0
    words_ = [f"{step_titles.whole(step.step)}: {look.word}", took]
    if link is not None:
        words_.append("on the critical path")
        waited = round(min(link.waited / scale.length * _PERCENT, start), 2)
        if link.waited >= _SECOND:
            words_.append(f"after {durations.text(link.waited)} in which nothing worked")
    return Bar(
        key=step.step.id,
        title=step_titles.whole(step.step),
        look=look,
        start=start,
        width=width,
        took=took,
        is_critical=link is not None,
        waited=waited,
        label=", ".join(words_),
    )


def _marks(scale: _Scale) -> Iterator[AxisMark]:
    seconds = scale.length.total_seconds()
    apart = next((each for each in _STEPS if seconds / each <= _MOST_MARKS), _STEPS[-1])
    at = 0
    while at <= seconds:
        yield AxisMark(round(at / seconds * _PERCENT, 2), _clock(at))
        at += apart


def _clock(seconds: int) -> str:
    """Format seconds: `0:05`, `12:30`, `1:02:30`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
