"""Numbers whose spelling is not canonical: `1.10`, `01067`, `+4930123`, `1_000`, `0755`, `0x1F`.

YAML 1.1 parses them as numbers, while people often mean a version, a postcode, or a mode. In numeric fields (a port, a
count) they are ordinary numbers. In values for servers, their spelling has to be preserved.
"""

from __future__ import annotations

from typing import Self


class SpelledInt(int):
    """An integer with a non-canonical spelling; `written` is the spelling."""

    written: str

    def __new__(cls, value: int, written: str) -> Self:
        """Create a number with its spelling."""
        made = super().__new__(cls, value)
        made.written = written
        return made


class SpelledFloat(float):
    """A float with a non-canonical spelling; `written` is the spelling."""

    written: str

    def __new__(cls, value: float, written: str) -> Self:
        """Create a number with its spelling."""
        made = super().__new__(cls, value)
        made.written = written
        return made


class NotAsWrittenError(ValueError):
    """A number would reach a server with a different spelling.

    `number` is what it would become; `path` is its position within the checked value.
    """

    def __init__(self, value: SpelledInt | SpelledFloat, path: tuple[str | int, ...] = ()) -> None:
        self.path = path
        self.number: int | float = int(value) if isinstance(value, SpelledInt) else float(value)
        super().__init__(
            f'{value.written} would become {self.number!r}: write "{value.written}" in quotes if it is a text, '
            f"{self.number!r} if it is a number"
        )


def spelled(value: float, written: str) -> int | float:
    """Return a number, with its spelling if that is not canonical."""
    if str(value) == written:
        return value
    return SpelledInt(value, written) if isinstance(value, int) else SpelledFloat(value, written)


def as_written(value: object) -> object:
    """Return the spelling in the file, for a value that goes to a server as text."""
    return value.written if isinstance(value, SpelledInt | SpelledFloat) else value


def refuse(value: object, path: tuple[str | int, ...] = ()) -> object:
    """Return a value in which every number has its original spelling. Raises NotAsWrittenError."""
    if isinstance(value, SpelledInt | SpelledFloat):
        raise NotAsWrittenError(value, path)
    if isinstance(value, dict):
        for key, each in value.items():
            refuse(each, (*path, key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            refuse(each, (*path, index))
    return value
