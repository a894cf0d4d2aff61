"""The offending line of a file, with a caret below what is wrong; harmless in any terminal or browser."""

from __future__ import annotations

import re
import unicodedata

from gantry import terminal

WIDEST = 100
"""Columns of a line that are shown. What is cut away becomes an ellipsis."""

_BEFORE = 60
"""Columns that are kept before the caret where a line has to be cut."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What libyaml counts as the end of a line."""

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def lines(text: str) -> list[str]:
    """The lines of a text as YAML counts them."""
    return _BREAK.split(text)


def excerpt(line: str, number: int, column: int, width: int) -> str:
    """Two lines: the numbered line, and carets below `width` characters from `column` (counted from 1) on."""
    at = min(column - 1, len(line))
    # Characters far to the left or right are never looked at: a line may be a megabyte long.
    start = max(0, at - _BEFORE) if len(line) > WIDEST else 0
    end = min(len(line), start + WIDEST)
    before, marked, after = (
        harmless(part)
        for part in (line[start:at], line[at : min(at + max(width, 1), end)], line[at + max(width, 1) : end])
    )
    if start:
        before = f"{_ELLIPSIS}{before}"
    if end < len(line):
        after = f"{after}{_ELLIPSIS}"
    gutter = " " * len(str(number))
    carets = f"{' ' * _columns(before)}{'^' * max(_columns(marked), 1)}"
    return f"   {number} | {before}{marked}{after}".rstrip() + f"\n   {gutter} | {carets}"


def harmless(text: str) -> str:
    """A text on one line, with nothing in it that a terminal would obey."""
    return text if text.isascii() and text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    if character == "\t":
        return " "
    return terminal.STAND_IN if terminal.is_harmful(character) else character


def _columns(text: str) -> int:
    """How many columns a text takes in a terminal."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
