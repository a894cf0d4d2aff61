"""A task's log as people read it: the level of each line, and of which server and which script it speaks.

Drawn by `templates/parts/task_log.html.jinja`.
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
"""Lines that are shown, the last ones. Airflow's own page has them all."""

PAUSE = 2
"""Seconds between two looks at a log that grows."""

_LONGEST_PAUSE = 30
_SHARE = 5
"""Of so many seconds, reading a log takes one at most: of a long one, Airflow reads all each time."""

_MOST_SCRIPTS = 50

LAST_WORDS = datetime.timedelta(seconds=10)
"""Airflow knows how a task has ended a moment before the last lines of its log are written."""

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
"""Loggers of Airflow's own; operators have theirs below one of them."""


@dataclasses.dataclass(frozen=True)
class Event:
    """What Airflow's log reader gives: one message, and the errors at its end, outermost first."""

    text: str
    level: str = ""
    at: datetime.datetime | None = None
    errors: tuple[str, ...] = ()
    logger: str = ""


@dataclasses.dataclass(frozen=True)
class ShownLine:
    """One line.

    Attributes:
        server: whose it is, where the task drives several; else empty.
        script: the agent script that it is output of; empty where none runs.
        is_call: it tells that the script is called.
    """

    text: str
    level: str
    at: datetime.datetime | None
    server: str
    script: str
    is_call: bool


@dataclasses.dataclass(frozen=True)
class TaskLog:
    """A task instance's log, and what stands above it.

    Attributes:
        href: the same in Airflow's own pages.
        again: where what is new is asked for while the task works, or None when it is over.
        pause: seconds until then.
        left_out: how many lines before these are not shown.
        failures: what stopped it, as it said itself.
        logged: the error that its log ends with, or empty: that of a try before the latest, or of none of ours.
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
        """What a failed task ended with; empty if it did not."""
        return "\n".join(map(str, self.failures)) or self.logged

    @property
    def advice(self) -> tuple[str, ...]:
        """What to do about the failure, each once."""
        failures = self.failures or (errors.Failure.of(self.logged),)
        return tuple(dict.fromkeys(each.advice for each in failures if each.advice))


def pause(seconds: float) -> int:
    """Seconds until the next look, where this one has taken so many."""
    return min(max(PAUSE, math.ceil(_SHARE * seconds)), _LONGEST_PAUSE)


@dataclasses.dataclass(frozen=True)
class LogPosition:
    """How far a page has read a log.

    Attributes:
        token: Airflow's, which continues there; empty: nothing continues, and the end is read once more.
        scripts: what runs on each server, as the last lines said.
    """

    token: str
    scripts: Mapping[str, str]

    def dump(self) -> str:
        """As a part of an address."""
        last = dict(list(self.scripts.items())[-_MOST_SCRIPTS:])
        return base64.urlsafe_b64encode(json.dumps([self.token, last]).encode()).decode()

    @classmethod
    def load(cls, text: str) -> LogPosition | None:
        """From an address; None if it is none that a page has made."""
        try:
            token, scripts = json.loads(base64.urlsafe_b64decode(text.encode()))
            return cls(str(token), {str(server): str(script) for server, script in scripts.items()})
        except (ValueError, TypeError, AttributeError):
            return None


def is_over(task: status.TaskView, now: datetime.datetime) -> bool:
    """Whether nothing will be added to a task's log any more."""
    return task.state in _OVER and (task.ended is None or now - task.ended > LAST_WORDS)


def event(message: Mapping[str, object]) -> Event:
    """One message of Airflow's structured logs: `event`, and maybe `level`, `timestamp` and `error_detail`."""
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
    """The lines that a person reads: without where the log was found, and without what folds lines in Airflow.

    `scripts` says what runs on each server before them, and is changed to what runs after them.
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
    """The error that a failed task ended with, without the name of its class; empty if there is none.

    Others may stand behind it, such as a notifier's, and before it.
    """
    last = next((each for each in reversed(events) if each.text == log_marks.FAILED and each.errors), None)
    return "" if last is None else last.errors[0].partition(": ")[2].strip()


def _line(message: Event, scripts: dict[str, str]) -> ShownLine:
    """A line; `scripts` remembers what runs on each server."""
    in_batch = _SERVER.fullmatch(message.text)
    server, text = (in_batch["server"], in_batch["rest"]) if in_batch else ("", message.text)
    call = _CALL.match(text)
    if call:
        scripts[server] = call["script"]
    # Scripts speak in level info; what is said in another one is said of them. Airflow itself may speak, too.
    is_output = message.level in ("", "info") and not _AIRFLOWS.match(message.logger)
    script = scripts.get(server, "") if is_output else ""
    return ShownLine(text, message.level, message.at, server, script, is_call=call is not None)
