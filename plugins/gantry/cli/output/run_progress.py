"""Progress of a run: a live table on a terminal, otherwise a line for each change."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gantry import durations, overview, status
from gantry.cli.output import run_rows
from gantry.cli.queries import run_follower

_MOST_NAMES = 8
_WORDS = {
    status.Progress.NOT_APPLICABLE: ("nothing to do", "dim"),
    status.Progress.WAITING: ("waiting", "dim"),
    status.Progress.IN_PROGRESS: ("working", "yellow"),
    status.Progress.SUCCEEDED: ("done", "green"),
    status.Progress.FAILED: ("failed", "bold red"),
    status.Progress.LEFT_OUT: ("left out", "magenta"),
}


@contextmanager
def shown(console: Console) -> Iterator[run_follower.Show]:
    """Yield a function that shows each snapshot of a run."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        yield lambda found: live.update(table(found))


def where_the_time_went(found: overview.RunSnapshot) -> Iterator[str]:
    """Yield the lines after a run."""
    if found.seconds() is None:
        return
    event = found.scaling_event()
    if event is not None:
        yield f"scaling event {event:.1f} s after the trigger"
    times_ = found.timeline
    if times_ is not None:
        path = " → ".join(
            f"{link.step.id} {durations.text(link.span.duration) or '-'}" for link in times_.critical_path
        )
        yield f"critical path: {path}; between these steps {durations.text(times_.waited)}"


def times(found: overview.RunSnapshot) -> Iterator[str]:
    """Yield the rows' times as plain lines: when each began after the trigger, and how long it took."""
    for row in run_rows.rows(found):
        if row.span.started is None:
            yield f"  {row.title:<36} {_WORDS[row.progress][0]}"
        else:
            took = durations.text(row.span.duration) or "-"
            yield f"  {row.title:<36} at {_since(found, row.span):>10}   took {took:>10}"


class _Lines:
    """Prints what has changed since the last snapshot."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def show(self, found: overview.RunSnapshot) -> None:
        at = (datetime.datetime.now(tz=datetime.UTC) - found.run.asked).total_seconds()
        state = found.run.state if found.states is None else found.states.state
        fact = f"{state} {found.awaits_approval} {found.awaits_turn}"
        self._say("deployment", f"{at:5.1f} s  deployment {run_rows.headline(found)}", fact)
        for row in run_rows.rows(found):
            if row.progress is status.Progress.WAITING:
                continue
            word = _WORDS[row.progress][0]
            servers = " ".join(_concerned(row))
            line = f"{at:5.1f} s  {row.title:<36} {word:<13} {servers}".rstrip()
            self._say(row.title, line, word)

    def _say(self, about: str, line: str, fact: str) -> None:
        if self._said.get(about) != fact:
            self._said[about] = fact
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def table(found: overview.RunSnapshot) -> Group:
    """Return a run's snapshot as a table: a row for each phase, step or task."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("task" if found.states is None else "phase", "state", "servers"):
        drawn.add_column(title)
    for title in ("began", "took"):
        drawn.add_column(title, justify="right", no_wrap=True)
    for row in run_rows.rows(found):
        word, style = _WORDS[row.progress]
        drawn.add_row(
            Text(row.title, "dim" if style == "dim" else ""),
            Text(word, style),
            _servers(row),
            _since(found, row.span),
            _duration(row.span),
        )
    return Group(Text(run_rows.headline(found), "bold"), drawn)


def _servers(row: run_rows.SnapshotRow) -> Text:
    text = Text()
    names = [
        *((name, "bold red") for name in row.failed),
        *((name, "green") for name in row.done),
        *((name, "yellow") for name in row.working),
    ]
    for name, style in names[:_MOST_NAMES]:
        text.append(f"{name} ", style)
    if len(names) > _MOST_NAMES:
        text.append(f"and {len(names) - _MOST_NAMES} more", "dim")
    return text


def _concerned(row: run_rows.SnapshotRow) -> tuple[str, ...]:
    """Return the servers that a row's state is about: only failed ones if some have failed."""
    if row.progress is status.Progress.FAILED:
        return row.failed
    return row.working if row.progress is status.Progress.IN_PROGRESS else row.done


def _since(found: overview.RunSnapshot, span: status.Span) -> str:
    return durations.text(span.started - found.run.asked) if span.started else ""


def _duration(span: status.Span) -> str:
    if span.started is None:
        return ""
    return durations.text((span.ended or datetime.datetime.now(tz=datetime.UTC)) - span.started)
