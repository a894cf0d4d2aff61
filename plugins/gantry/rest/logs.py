"""A task's log as Airflow's API gives it: structured lines, chunk by chunk, and the error at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

_FAILED = "Task failed with exception"
_GROUP = "::group::"
_MARKS = (_GROUP, "::endgroup::")
_SOURCES = "::group::Log message source details"


@dataclasses.dataclass(frozen=True)
class Line:
    """One line. `time` is an ISO text, or empty; `level` may be empty."""

    text: str
    level: str = ""
    time: str = ""

    @property
    def is_mark(self) -> bool:
        """Whether it says nothing itself: it folds other lines in the UI."""
        return self.text.startswith(_MARKS)

    def plain(self) -> str:
        """Level and message."""
        return f"{self.level} {self.text}".strip()


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Some lines, and the token that gets what comes after them; None where nothing will."""

    lines: tuple[Line, ...]
    token: str | None


def chunk(found: dict[str, Any]) -> Chunk:
    """What the API answered."""
    lines: list[Line] = []
    for each in found["content"]:
        if isinstance(each, str):
            lines.append(Line(each))
            continue
        lines.append(
            Line(str(each.get("event", "")), str(each.get("level") or ""), str(each.get("timestamp") or ""))
        )
        details = each.get("error_detail") or ()
        lines.extend(Line(f"{detail.get('exc_type')}: {detail.get('exc_value')}") for detail in details)
    return Chunk(tuple(lines), found.get("continuation_token"))


def told(lines: Sequence[Line]) -> list[Line]:
    """The lines that a person reads: without where the log was found, and what folds lines in the UI."""
    kept: list[Line] = []
    inside = False
    for each in lines:
        if each.text.startswith(_SOURCES):
            inside = True
        if not inside and not each.is_mark:
            kept.append(each)
        if each.text.startswith("::endgroup::"):
            inside = False
    return kept


def failure(lines: Sequence[Line]) -> tuple[str, tuple[str, ...]]:
    """The error that a failed task ended with (empty if it did not say), and the lines before it."""
    at = next(
        (number for number in range(len(lines) - 1, -1, -1) if lines[number].text == _FAILED), len(lines)
    )
    after: list[str] = []
    for each in lines[at + 1 :]:
        if each.is_mark:
            break
        after.append(each.text)
    return "\n".join(after).strip(), tuple(each.plain() for each in told(lines[:at]))
