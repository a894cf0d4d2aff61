"""Console output and exit codes of all commands."""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rich import console
from rich.measure import Measurement
from rich.segment import Segment, Segments

from gantry import terminal

if TYPE_CHECKING:
    import pydantic
    from rich.table import Table

SUCCESS = 0
FAILURE = 1
"""The input was wrong, or the command failed."""
CHANGES = 2
"""`gantry plan` found something to do."""
USAGE = 64
"""An unknown option, a missing argument: nothing was tried."""
INTERRUPTED = 130

_WIDEST = 10_000

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""Terminal sequences that set colours, move the cursor, or set the window's title."""

_LEFT_ALONE = "\n\t"


def harmless(text: str) -> str:
    """Return a text without terminal control: sequences are removed, other control characters become a middle dot."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        terminal.STAND_IN if terminal.is_harmful(each) and each not in _LEFT_ALONE else each
        for each in _SEQUENCE.sub("", text)
    )


class _Console(console.Console):
    """Many texts come from elsewhere: from files, logs, servers. None of them may control the terminal."""

    def render(
        self, renderable: console.RenderableType, options: console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield Rich's output, piece by piece; the pieces that move its own cursor are marked as such."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(harmless(piece.text), piece.style)


# Lines are neither wrapped nor converted to emoji (`:x:`), so that they can be searched for and copied.
out = _Console(soft_wrap=True, highlight=False, emoji=False)
err = _Console(soft_wrap=True, highlight=False, emoji=False, stderr=True)


def say(line: str = "") -> None:
    """Print a line of plain text on standard output."""
    out.print(line, markup=False)


def code(line: str, comment: str = "") -> None:
    """Print a line of a file on standard output, followed by a comment."""
    out.print(line, markup=False, end="")
    if comment:
        out.print(f"{'  ' if line else ''}# {comment}", markup=False, style="dim", end="")
    out.print()


def remark(line: str) -> None:
    """Print additional information for people, not for programs, on standard error."""
    err.print(line, markup=False)


def show(table: Table, on: console.Console = out) -> None:
    """Print a table with complete cells. Lines that are too long are wrapped by the terminal."""
    unbounded = on.options.update(width=_WIDEST)
    width = Measurement.get(on, unbounded, table).maximum
    lines = on.render_lines(table, unbounded.update(width=width), pad=False)
    on.print(Segments([each for line in lines for each in (*line, Segment.line())]), soft_wrap=True, end="")


def complain(message: str) -> None:
    """Print an error on standard error."""
    err.print(message, style="red", markup=False)


def as_json(data: pydantic.JsonValue) -> None:
    """Print the answer for a program: one JSON document on standard output."""
    sys.stdout.write(f"{json_text(data, indent=2)}\n")


def json_text(data: pydantic.JsonValue, *, indent: int | None = None) -> str:
    """Format JSON safely for terminals: control characters are escaped."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    if text.isascii():
        return text
    return "".join(
        json.dumps(each)[1:-1] if terminal.is_harmful(each) and each != "\n" else each for each in text
    )


def raw() -> Callable[[bytes], None]:
    """Return a function that outputs a log's bytes; on a terminal as harmless text."""
    if not sys.stdout.isatty():
        return _hand_on
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held = ""

    def show(piece: bytes) -> None:
        nonlocal held
        # A sequence may be split: its possible beginning is held back until the rest arrives.
        text = held + decoder.decode(piece)
        cut = _UNFINISHED.search(text)
        at = len(text) if cut is None else cut.start()
        text, held = text[:at], text[at:]
        sys.stdout.write(harmless(text))
        sys.stdout.flush()

    return show


_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]{0,20}[ -/]{0,5}|\][^\x07\x1b]{0,200}\x1b?)?\Z")
"""The possible beginning of a sequence, of limited length."""


def _hand_on(piece: bytes) -> None:
    sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
