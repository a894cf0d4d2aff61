"""What servers were told: the last configuration files that each service was handed on each server."""

from __future__ import annotations

import dataclasses

import pydantic

from gantry.state import keys

MOST = 5
"""Files that are kept of each service on each server."""

_LONGEST_LINE = 200
_MOST_CHARACTERS = 4_000
"""Of one diff. A whole `enstratus.cfg` is one to three thousand."""

PLACES = keys.Places("facts:")
"""Where they are kept."""


@dataclasses.dataclass(frozen=True)
class ConfigDelivery:
    """One file that was handed over.

    Attributes:
        at: when, in ISO 8601.
        digest: SHA-256 (hexadecimal) of the file without its secrets.
        diff: what it changed, as a unified diff whose secrets are hidden; all of it where there was no file before.
        left_out: lines of the diff for which there was no room.
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
        """The diff, with a word about what is missing."""
        cut = f"… {self.left_out} more lines were not kept"
        return (*self.diff, cut) if self.left_out else self.diff


Handouts = tuple[ConfigDelivery, ...]
"""Of one service on one server, the oldest first."""

_HANDOUT = pydantic.TypeAdapter(ConfigDelivery)
_HANDOUTS = pydantic.TypeAdapter(Handouts)


def load(kept: object) -> Handouts:
    """From JSON; none of what cannot be read, as a later Gantry may have written it."""
    try:
        return _HANDOUTS.validate_python(kept or ())
    except pydantic.ValidationError:
        return ()


def dump(kept: Handouts) -> list[pydantic.JsonValue]:
    """As JSON, what is empty left out."""
    found: list[pydantic.JsonValue] = _HANDOUTS.dump_python(kept, mode="json", exclude_defaults=True)
    return found


def as_json(handout: ConfigDelivery) -> dict[str, pydantic.JsonValue]:
    """One of them, for programs."""
    found: dict[str, pydantic.JsonValue] = _HANDOUT.dump_python(handout, mode="json")
    return found


def added(kept: Handouts, new: ConfigDelivery) -> Handouts:
    """With one more, as much of each as there is room for.

    A file that a second try hands over again is no other one.
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
