"""How much like EC2 the embedded cloud behaves: what it shows late, and how often it may be asked.

The manners stand in a file beside the state file, and hold from the next call on: whoever wants others changes them
while the cloud runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pydantic

_FILE = "manners.json"


@dataclass(frozen=True)
class Manners:
    """What differs between EC2 and a cloud that knows everything at once.

    Attributes:
        lists_after: Seconds until a new instance is listed, and known by its id.
        console_after: Seconds until a new instance's console shows anything.
        shows_ended: Seconds for which a terminated instance is described.
        allowance: How many times the calls that EC2 allows an account; None for as many as anybody likes.
    """

    lists_after: float
    console_after: float
    shows_ended: float
    allowance: float | None


BRISK = Manners(lists_after=0.3, console_after=1.0, shows_ended=3600.0, allowance=10.0)
"""Of tests and demos: nothing is left out, and nobody waits long."""

REALISTIC = Manners(lists_after=3.0, console_after=60.0, shows_ended=3600.0, allowance=1.0)
"""EC2's own figures. How late it lists is documented nowhere; "a couple of seconds" is what one shall wait at first."""

_FORMAT = pydantic.TypeAdapter(Manners)


def text(found: Manners) -> str:
    """As JSON."""
    return _FORMAT.dump_json(found).decode()


def parse(written: str) -> Manners:
    """The same, read again. Raises ValueError."""
    return _FORMAT.validate_json(written)


def save(folder: Path, wanted: Manners) -> None:
    """Have the cloud of this state folder behave so from now on."""
    draft = folder / f"{_FILE}.{os.getpid()}"
    draft.write_text(text(wanted))
    draft.replace(folder / _FILE)


def load(folder: Path) -> Manners:
    """How the cloud of this state folder behaves."""
    return parse((folder / _FILE).read_text())


class Current:
    """The manners of a running cloud, read again when their file is another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._found = BRISK

    def __call__(self) -> Manners:
        """How to behave now."""
        facts = (self._folder / _FILE).stat()
        seen = (facts.st_ino, facts.st_mtime_ns)
        if seen != self._seen:
            self._found, self._seen = load(self._folder), seen
        return self._found
