"""Configuration history: the last configuration files that each service received on each server."""

from __future__ import annotations

import dataclasses

import pydantic

from gantry.state import keys

MOST = 5
"""Number of files that are kept for each service on each server."""

_LONGEST_LINE = 200
_MOST_CHARACTERS = 4_000
"""Maximum size of one diff. A whole `enstratus.cfg` has one to three thousand."""

PLACES = keys.Places("facts:")
"""The keys under which they are stored."""


@dataclasses.dataclass(frozen=True)
class ConfigDelivery:
    """One delivered configuration file.

    Attributes:
        at: when, in ISO 8601.
        digest: SHA-256 (hexadecimal) of the file without its secrets.
        diff: its changes, as a unified diff with hidden secrets; the whole file if there was none before.
        left_out: number of the diff's lines that were cut off.
    """

    operation: str
    run: str
    at: str
    instance: str
    digest: str
    diff: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def lines(self) -> tuple[str, ...]:
        """Return the diff, with a line about what was cut off."""
        cut = f"… {self.left_out} more lines were not kept"
        return (*self.diff, cut) if self.left_out else self.diff


Handouts = tuple[ConfigDelivery, ...]
"""The deliveries of one service on one server, oldest first."""

_HANDOUT = pydantic.TypeAdapter(ConfigDelivery)
_HANDOUTS = pydantic.TypeAdapter(Handouts)


def load(kept: object) -> Handouts:
    """Load from JSON; empty if unreadable, for example written by a later Gantry version."""
    try:
        return _HANDOUTS.validate_python(kept or ())
    except pydantic.ValidationError:
        return ()


def dump(kept: Handouts) -> list[pydantic.JsonValue]:
    """Convert to JSON without empty fields."""
    found: list[pydantic.JsonValue] = _HANDOUTS.dump_python(kept, mode="json", exclude_defaults=True)
    return found


def as_json(handout: ConfigDelivery) -> dict[str, pydantic.JsonValue]:
    """Convert one delivery, for programs."""
    found: dict[str, pydantic.JsonValue] = _HANDOUT.dump_python(handout, mode="json")
    return found


def added(kept: Handouts, new: ConfigDelivery) -> Handouts:
    """Return the deliveries with one more, truncated to the size limits.

    The same file delivered again by a retry is not added.
    """
    last = kept[-1] if kept else None
    if last and not new.diff and (last.digest, last.instance) == (new.digest, new.instance):
        return kept
    room, lines = _MOST_CHARACTERS, []
    for line in new.diff:
        short = line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 1]}…"
        room -= len(short)
        if room < 0:
            break
        lines.append(short)
    small = dataclasses.replace(new, diff=tuple(lines), left_out=len(new.diff) - len(lines))
    return (*kept, small)[-MOST:]
