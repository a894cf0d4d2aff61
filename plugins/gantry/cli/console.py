"""What all commands share: how they speak, and how they end."""

from __future__ import annotations

import json
import sys

import pydantic
from rich.console import Console
from rich.measure import Measurement
from rich.segment import Segment, Segments
from rich.table import Table

SUCCESS = 0
FAILURE = 1
"""Something is wrong with what was given, or could not be done."""
CHANGES = 2
"""`gantry plan` found something to do."""
USAGE = 64
"""An unknown option, a missing argument: nothing was tried."""
INTERRUPTED = 130

_WIDEST = 10_000

# A line is a fact: neither wrapped nor turned into pictures (`:x:`), so that it can be searched for and copied.
out = Console(soft_wrap=True, highlight=False, emoji=False)
err = Console(soft_wrap=True, highlight=False, emoji=False, stderr=True)


def say(line: str = "") -> None:
    """A line of plain text on standard output."""
    out.print(line, markup=False)


def code(line: str, comment: str = "") -> None:
    """A line of a file on standard output, with a comment behind it."""
    out.print(line, markup=False, end="")
    if comment:
        out.print(f"{'  ' if line else ''}# {comment}", markup=False, style="dim", end="")
    out.print()


def remark(line: str) -> None:
    """What a person may want to know and a program does not read: on standard error."""
    err.print(line, markup=False)


def show(table: Table, on: Console = out) -> None:
    """A table with its cells whole: they are facts as well. Lines that are too long are the terminal's to wrap."""
    unbounded = on.options.update(width=_WIDEST)
    width = Measurement.get(on, unbounded, table).maximum
    lines = on.render_lines(table, unbounded.update(width=width), pad=False)
    on.print(Segments([each for line in lines for each in (*line, Segment.line())]), soft_wrap=True, end="")


def complain(message: str) -> None:
    """An error, on standard error."""
    err.print(message, style="red", markup=False)


def as_json(data: pydantic.JsonValue) -> None:
    """The answer for a program: one JSON document on standard output."""
    sys.stdout.write(f"{json.dumps(data, indent=2, ensure_ascii=False)}\n")
