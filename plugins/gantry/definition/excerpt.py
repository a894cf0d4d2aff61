"""Excerpt of a file: the invalid line, with a caret below the error; safe for any terminal or browser."""

from __future__ import annotations

import re
import unicodedata

from gantry import terminal

WIDEST = 100
"""Maximum columns shown of a line. Omitted parts are replaced by an ellipsis."""

_BEFORE = 60
"""Columns kept before the caret if a line has to be cut."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""Line breaks according to libyaml."""

_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def lines(text: str) -> list[str]:
    """Return the lines of a text as YAML counts them."""
    return _BREAK.split(text)


def excerpt(line: str, number: int, column: int, width: int) -> str:
    """Return two lines: the numbered line, and carets below `width` characters from `column` (counted from 1) on."""
    at = min(column - 1, len(line))
    # Characters far to the left or right are never processed: a line may be a megabyte long.
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
    """Return a text on one line, without terminal control characters."""
    return text if text.isascii() and text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    if character == "\t":
        return " "
    return terminal.STAND_IN if terminal.is_harmful(character) else character


def _columns(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
