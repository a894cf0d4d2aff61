"""Numbers that are written otherwise than they are said: `1.10`, `01067`, `+4930123`, `1_000`, `0755`, `0x1F`.

YAML 1.1 takes them for numbers, and people mean a version, a postcode, a mode as often. Where a number belongs (a port,
a count) they are numbers like any other. Where a value goes to a server, it has to be what was written.
"""

from __future__ import annotations

from typing import Self


class SpelledInt(int):
    """A whole number that is not written as its digits; `written` is how it is."""

    written: str

    def __new__(cls, value: int, written: str) -> Self:
        """A number, and how it is written."""
        made = super().__new__(cls, value)
        made.written = written
        return made


class SpelledFloat(float):
    """A number that is not written as it is said; `written` is how it is."""

    written: str

    def __new__(cls, value: float, written: str) -> Self:
        """A number, and how it is written."""
        made = super().__new__(cls, value)
        made.written = written
        return made


class NotAsWrittenError(ValueError):
    """A number would reach a server otherwise than it is written.

    `number` is what it would become; `path` is where it stands within the value that was looked at.
    """

    def __init__(self, value: SpelledInt | SpelledFloat, path: tuple[str | int, ...] = ()) -> None:
        self.path = path
        self.number: int | float = int(value) if isinstance(value, SpelledInt) else float(value)
        super().__init__(
            f'{value.written} would become {self.number!r}: write "{value.written}" in quotes if it is a text, '
            f"{self.number!r} if it is a number"
        )


def spelled(value: float, written: str) -> int | float:
    """A number as a file has it, with its spelling if that is not how the number is said."""
    if str(value) == written:
        return value
    return SpelledInt(value, written) if isinstance(value, int) else SpelledFloat(value, written)


def as_written(value: object) -> object:
    """What stands in the file, where a value goes to a server as text."""
    return value.written if isinstance(value, SpelledInt | SpelledFloat) else value


def refuse(value: object, path: tuple[str | int, ...] = ()) -> object:
    """A value in which every number is as it is written. Raises NotAsWrittenError."""
    if isinstance(value, SpelledInt | SpelledFloat):
        raise NotAsWrittenError(value, path)
    if isinstance(value, dict):
        for key, each in value.items():
            refuse(each, (*path, key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            refuse(each, (*path, index))
    return value
