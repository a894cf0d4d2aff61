"""A task's log in Airflow's API: structured lines, in chunks, and the error at its end."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Sequence
from typing import Any

from gantry import log_marks

_PAUSE = "Pausing task as"
_BEGINNINGS = ("::group::Pre Execute", _PAUSE)
"""Lines before a task's work, and before a pause after which it continues."""

_END = "::group::Post Execute"
_END_IN_TRIGGERER = "trigger completed"
LAST_LINES = datetime.timedelta(seconds=5)
"""Time after a task's end during which its last lines may still be missing."""
LAST_LINES_OF_TRIGGERER = datetime.timedelta(seconds=20)
"""The same of a task that ended in a triggerer. That (Airflow 3.3.2) takes 4 KiB of the logs of all its triggers in
each round of its loop, which waits for the database: what many servers say at once comes late."""

_ENDED = ("success", "failed", "skipped")


@dataclasses.dataclass(frozen=True)
class ApiLogLine:
    """One line. `time` is an ISO text, or empty; `level` may be empty."""

    text: str
    level: str = ""
    time: str = ""

    @property
    def is_mark(self) -> bool:
        """Return whether it only folds other lines in the UI."""
        return self.text.startswith(log_marks.MARKS)

    def plain(self) -> str:
        """Return level and message."""
        return f"{self.level} {self.text}".strip()


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some lines, and the token for the next chunk; None if there is none."""

    lines: tuple[ApiLogLine, ...]
    token: str | None


def chunk(found: dict[str, Any]) -> Chunk:
    """Convert the API's answer."""
    lines: list[ApiLogLine] = []
    for each in found["content"]:
        if isinstance(each, str):
            lines.append(ApiLogLine(each))
            continue
        lines.append(
            ApiLogLine(
                str(each.get("event", "")), str(each.get("level") or ""), str(each.get("timestamp") or "")
            )
        )
        details = each.get("error_detail") or ()
        lines.extend(ApiLogLine(f"{detail.get('exc_type')}: {detail.get('exc_value')}") for detail in details)
    return Chunk(tuple(lines), found.get("continuation_token"))


def told(lines: Sequence[ApiLogLine]) -> list[ApiLogLine]:
    """Return the lines for readers: without the log's source, and without the UI's folding markers."""
    kept: list[ApiLogLine] = []
    inside = False
    for each in lines:
        if each.text.startswith(log_marks.SOURCES):
            inside = True
        if not inside and not each.is_mark:
            kept.append(each)
        if each.text.startswith(log_marks.END):
            inside = False
    return kept


def may_grow(
    lines: Sequence[ApiLogLine], state: str | None, ended: str | None, now: datetime.datetime
) -> bool:
    """Return whether the last lines of a finished task's log may still be missing.

    Airflow knows a task's final state slightly before its log is completely written. A process that was killed never
    completes it.

    Args:
        lines: the current log, from its beginning.
        state: the task instance's state.
        ended: when it ended, as an ISO text.
        now: the current time.
    """
    if state not in _ENDED or is_whole(lines):
        return False
    most = LAST_LINES_OF_TRIGGERER if is_in_triggerer(lines) else LAST_LINES
    return ended is not None and now - datetime.datetime.fromisoformat(ended) < most


def is_in_triggerer(lines: Sequence[ApiLogLine]) -> bool:
    """Return whether the last part of the work, as far as there are lines, is a triggerer's."""
    last = _last(lines)
    return last is not None and lines[last].text.startswith(_PAUSE)


def is_whole(lines: Sequence[ApiLogLine]) -> bool:
    """Return whether a log is complete, written by the worker or by the triggerer that ended the task."""
    last = _last(lines)
    if last is None:
        # Some tasks do nothing: no process ever begins their log.
        return True
    after = [each.text for each in lines[last + 1 :]]
    end = next((number for number, text in enumerate(after) if text.startswith(_END)), len(after))
    return any(text.startswith(log_marks.END) for text in after[end:]) or _END_IN_TRIGGERER in after


def _last(lines: Sequence[ApiLogLine]) -> int | None:
    """Return the index at which the last part of the work begins."""
    return max(
        (number for number, each in enumerate(lines) if each.text.startswith(_BEGINNINGS)), default=None
    )


def failure(lines: Sequence[ApiLogLine]) -> tuple[str, tuple[str, ...]]:
    """Return the error of a failed task (empty if there is none), and the lines before it."""
    at = next(
        (number for number in range(len(lines) - 1, -1, -1) if lines[number].text == log_marks.FAILED),
        len(lines),
    )
    after: list[str] = []
    for each in lines[at + 1 :]:
        if each.is_mark:
            break
        after.append(each.text)
    return "\n".join(after).strip(), tuple(each.plain() for each in told(lines[:at]))
