"""A task's log for readers: the level of each line, its server and its script.

Rendered by `templates/parts/task_log.html.jinja`.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from gantry import errors, log_marks, status

MOST_LINES = 1000
"""Number of lines shown, from the end. Airflow's own page has all of them."""

PAUSE = 2
"""Seconds between two reads of a growing log."""

_LONGEST_PAUSE = 30
_SHARE = 5
"""Reading a log takes at most one in so many seconds: of a long one, Airflow reads all each time."""

_MOST_SCRIPTS = 50

LAST_WORDS = datetime.timedelta(seconds=10)
"""Airflow knows a task's final state slightly before the last lines of its log are written."""

_OVER = (
    status.TaskState.SUCCESS,
    status.TaskState.FAILED,
    status.TaskState.SKIPPED,
    status.TaskState.UPSTREAM_FAILED,
    status.TaskState.REMOVED,
)
_SERVER = re.compile(r"\[(?P<server>[a-zA-Z0-9._*-]{1,63})\] (?P<rest>.*)", re.DOTALL)
_CALL = re.compile(r"\$ (?P<script>\S+)")
_AIRFLOWS = re.compile(r"task$|airflow\.(?!task\.operators\b)")
"""Airflow's own loggers; operators have theirs below one of them."""


@dataclasses.dataclass(frozen=True)
class Event:
    """One message of Airflow's log reader, and the errors at its end, outermost first."""

    text: str
    level: str = ""
    at: datetime.datetime | None = None
    errors: tuple[str, ...] = ()
    logger: str = ""


@dataclasses.dataclass(frozen=True)
class ShownLine:
    """One line.

    Attributes:
        server: the line's server if the task drives several; else empty.
        script: the agent script whose output it is; empty if none runs.
        is_call: whether it reports the call of the script.
    """

    text: str
    level: str
    at: datetime.datetime | None
    server: str
    script: str
    is_call: bool


@dataclasses.dataclass(frozen=True)
class TaskLog:
    """A task instance's log and its header.

    Attributes:
        href: the same log in Airflow's own pages.
        again: URL for new lines while the task works, or None when it is over.
        pause: seconds until then.
        left_out: the number of lines before these that are not shown.
        failures: the failures of the latest try.
        logged: the error at the end of its log, or empty. Shown where there are no `failures`: for an earlier try, or
            an error that is not Gantry's.
    """

    title: str
    servers: str
    state: status.TaskState
    try_number: int
    took: datetime.timedelta | None
    href: str
    again: str | None
    lines: tuple[ShownLine, ...]
    left_out: int
    failures: tuple[errors.Failure, ...]
    logged: str
    pause: int = PAUSE

    @property
    def failure(self) -> str:
        """The error of a failed task; empty if it did not fail."""
        return "\n".join(map(str, self.failures)) or self.logged

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about the failure, each advice once."""
        failures = self.failures or (errors.Failure.of(self.logged),)
        return tuple(dict.fromkeys(each.advice for each in failures if each.advice))


def pause(seconds: float) -> int:
    """Return the seconds until the next read, given the duration of this one."""
    return min(max(PAUSE, math.ceil(_SHARE * seconds)), _LONGEST_PAUSE)


@dataclasses.dataclass(frozen=True)
class LogPosition:
    """The position up to which a page has read a log.

    Attributes:
        token: Airflow's token that continues there; empty: it is not possible to continue, and the end is read again.
        scripts: the running script on each server, according to the last lines.
    """

    token: str
    scripts: Mapping[str, str]

    def dump(self) -> str:
        """Encode for a URL."""
        last = dict(list(self.scripts.items())[-_MOST_SCRIPTS:])
        return base64.urlsafe_b64encode(json.dumps([self.token, last]).encode()).decode()

    @classmethod
    def load(cls, text: str) -> LogPosition | None:
        """Decode from a URL; None if it was not created by a page."""
        try:
            token, scripts = json.loads(base64.urlsafe_b64decode(text.encode()))
            return cls(str(token), {str(server): str(script) for server, script in scripts.items()})
        except (ValueError, TypeError, AttributeError):
            return None


def is_over(task: status.TaskView, now: datetime.datetime) -> bool:
    """Return whether nothing will be added to a task's log any more."""
    return task.state in _OVER and (task.ended is None or now - task.ended > LAST_WORDS)


def event(message: Mapping[str, object]) -> Event:
    """Convert a message of Airflow's structured logs: `event`, and maybe `level`, `timestamp` and `error_detail`."""
    at = message.get("timestamp")
    details = message.get("error_detail")
    return Event(
        text=str(message.get("event", "")),
        level=str(message.get("level") or "").lower(),
        at=at
        if isinstance(at, datetime.datetime)
        else datetime.datetime.fromisoformat(at)
        if isinstance(at, str) and at
        else None,
        logger=str(message.get("logger") or ""),
        errors=tuple(
            f"{each.get('exc_type')}: {each.get('exc_value')}"
            for each in (details if isinstance(details, Sequence) else ())
            if isinstance(each, Mapping)
        ),
    )


def lines(events: Iterable[Event], scripts: dict[str, str] | None = None) -> tuple[ShownLine, ...]:
    """Return the lines for readers: without the log's source, and without Airflow's folding markers.

    `scripts` has the running script on each server before them, and is updated to the state after them.
    """
    found: list[ShownLine] = []
    scripts = {} if scripts is None else scripts
    inside = False
    for each in events:
        inside = inside or each.text.startswith(log_marks.SOURCES)
        if not inside and not each.text.startswith(log_marks.MARKS):
            found.append(_line(each, scripts))
            found.extend(ShownLine(error, "error", each.at, "", "", is_call=False) for error in each.errors)
        if each.text.startswith(log_marks.END):
            inside = False
    return tuple(found)


def failure(events: Sequence[Event]) -> str:
    """Return the error that a failed task ended with, without its class name; empty if there is none.

    Other errors may come after it, such as a notifier's, and before it.
    """
    last = next((each for each in reversed(events) if each.text == log_marks.FAILED and each.errors), None)
    return "" if last is None else last.errors[0].partition(": ")[2].strip()


def _line(message: Event, scripts: dict[str, str]) -> ShownLine:
    """Convert a line; `scripts` tracks the running script on each server."""
    in_batch = _SERVER.fullmatch(message.text)
    server, text = (in_batch["server"], in_batch["rest"]) if in_batch else ("", message.text)
    call = _CALL.match(text)
    if call:
        scripts[server] = call["script"]
    # Scripts log at level info; lines at another level are about them. Airflow itself may log, too.
    is_output = message.level in ("", "info") and not _AIRFLOWS.match(message.logger)
    script = scripts.get(server, "") if is_output else ""
    return ShownLine(text, message.level, message.at, server, script, is_call=call is not None)
