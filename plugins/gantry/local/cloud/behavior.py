"""Degree of realism of the embedded cloud: what it shows late, and how often it may be called.

The settings are in a file beside the state file, and apply from the next call on, so they can be changed while the
cloud runs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pydantic

_FILE = "manners.json"


@dataclass(frozen=True)
class Manners:
    """Differences between EC2 and a cloud that knows everything at once.

    Attributes:
        lists_after: Seconds until a new instance is listed, and known by its id.
        console_after: Seconds until a new instance's console shows anything.
        shows_ended: Seconds for which a terminated instance is described.
        allowance: Multiple of the call rate that EC2 allows an account; None for no limit.
    """

    lists_after: float
    console_after: float
    shows_ended: float
    allowance: float | None


BRISK = Manners(lists_after=0.3, console_after=1.0, shows_ended=3600.0, allowance=10.0)
"""For tests and demos: every effect occurs, with short delays."""

REALISTIC = Manners(lists_after=3.0, console_after=60.0, shows_ended=3600.0, allowance=1.0)
"""EC2's own figures. Its listing delay is undocumented; "a couple of seconds" is the recommended initial wait."""

_FORMAT = pydantic.TypeAdapter(Manners)


def text(found: Manners) -> str:
    """Convert to JSON."""
    return _FORMAT.dump_json(found).decode()


def parse(written: str) -> Manners:
    """Parse the JSON. Raises ValueError."""
    return _FORMAT.validate_json(written)


def save(folder: Path, wanted: Manners) -> None:
    """Make the cloud of this state folder behave like this from now on."""
    draft = folder / f"{_FILE}.{os.getpid()}"
    draft.write_text(text(wanted))
    draft.replace(folder / _FILE)


def load(folder: Path) -> Manners:
    """Return the behaviour of the cloud of this state folder."""
    return parse((folder / _FILE).read_text())


class Current:
    """The current settings of a running cloud, reloaded when their file changes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[int, int] | None = None
        self._found = BRISK

    def __call__(self) -> Manners:
        """Return the current settings."""
        facts = (self._folder / _FILE).stat()
        seen = (facts.st_ino, facts.st_mtime_ns)
        if seen != self._seen:
            self._found, self._seen = load(self._folder), seen
        return self._found
