"""Content of a definition's files: data, the source of each value, and problems."""

from __future__ import annotations

import dataclasses
import enum
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import yaml

from gantry import errors
from gantry.definition import excerpt, spelling

DEEPEST = 40
"""Maximum levels of nesting. Composing YAML recurses in C, where a stack overflow kills the whole process."""

LARGEST_FILE = 1_000_000
"""Bytes. A definition is written by people; a larger file is a mistake or an attack."""

MOST_PROBLEMS = 100
"""Maximum number of problems reported per file. Further ones would not be read before correcting the first."""

LONGEST_ECHO = 80
"""Maximum characters of a value that are quoted in a message."""

MOST_LISTED = 12
"""Maximum number of names listed in a message."""

_MOST_COMPARED = 1000
"""Maximum number of names among which a near one is searched."""

Scalar = str | int | float | bool
Path = tuple[str | int, ...]
Data = dict[str, "Data"] | list["Data"] | Scalar | None


@dataclasses.dataclass(frozen=True, order=True)
class Position:
    """A position in a file, counted from 1."""

    line: int
    column: int


TOP = Position(1, 1)


@dataclasses.dataclass(frozen=True)
class Problem:
    """One problem, with its position. `excerpt` is the line with a caret below it, or empty."""

    file: str
    place: Position
    message: str
    excerpt: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.message}"


class DefinitionError(errors.GantryError):
    """A definition is invalid. Every problem found in its files is in `problems`.

    For each of them, the message has `file:line:column: message` and below it the line with a caret.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # An alias repeats the same problem for each of its uses. A definition comes before its overlay, whose name is
        # longer.
        in_order = sorted(problems, key=lambda each: (len(each.file), each.file, each.place))
        self.problems = tuple(dict.fromkeys(in_order))[:MOST_PROBLEMS]
        super().__init__(
            "\n".join(part for each in self.problems for part in (str(each), each.excerpt) if part)
        )


class OriginKind(enum.Enum):
    """The kind of a value's source."""

    FILE = "file"
    OVERLAY = "overlay"
    VARIABLE = "variable"
    ARGUMENT = "argument"
    DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Insertion:
    """A variable that was inserted into a value, and the source of the variable's own value."""

    variable: str
    origin: Origin

    def where(self, file: str) -> str:
        """Return where the variable was set, relative to the file that a message is about."""
        if self.origin.place is None:
            return "was given as an argument"
        if self.origin.file == file:
            return f"is set in line {self.origin.place.line}"
        return f"is set in {self.origin}"


@dataclasses.dataclass(frozen=True)
class Origin:
    """The source of a value.

    `file` and `place` are its position; a default and an argument have none. A value that contains `${NAME}` is of the
    kind VARIABLE, or ARGUMENT if such a variable was set by one, and lists the insertions.
    """

    kind: OriginKind
    file: str | None = None
    place: Position | None = None
    insertions: tuple[Insertion, ...] = ()

    def __str__(self) -> str:
        if self.file is None or self.place is None:
            return self.kind.value
        here = f"{self.file}:{self.place.line}:{self.place.column}"
        return ", ".join([here, *(f"{each.variable} from {each.origin}" for each in self.insertions)])


@dataclasses.dataclass(frozen=True, eq=False)
class Document:
    """The text of one file. `name` is its name in errors."""

    name: str
    text: str
    kind: OriginKind = OriginKind.FILE

    @functools.cached_property
    def lines(self) -> list[str]:
        """Return the text's lines, as YAML counts them."""
        return excerpt.lines(self.text)

    def problem(self, place: Position, message: str, width: int = 1) -> Problem:
        """Report a problem of `width` characters from a position on."""
        line = self.lines[place.line - 1] if place.line <= len(self.lines) else ""
        shown = excerpt.excerpt(line, place.line, place.column, width) if line.strip() else ""
        # It contains the user's own names, some of them not validated yet.
        return Problem(self.name, place, excerpt.harmless(message), shown)


class Spot(NamedTuple):
    """A key or value in a document."""

    document: Document
    node: yaml.Node

    @property
    def place(self) -> Position:
        """Return where it begins."""
        mark = self.node.start_mark
        return Position(mark.line + 1, mark.column + 1)

    @property
    def width(self) -> int:
        """Return its number of characters on its first line."""
        start, end = self.node.start_mark, self.node.end_mark
        if start.line == end.line:
            return int(end.column - start.column)
        # A block begins with its first key and continues below: a single caret suffices.
        return 1

    def problem(self, message: str) -> Problem:
        """Report a problem at this position."""
        return self.document.problem(self.place, message, self.width)


@dataclasses.dataclass(frozen=True, eq=False)
class DefinitionData:
    """The data of a definition, and the position of each value and each key.

    `documents` are its files, the definition first; `removed` has the positions where an overlay removed a key; `open`
    has the paths of texts in which a variable may have to be inserted.
    """

    documents: tuple[Document, ...]
    data: Data
    values: Mapping[Path, Spot]
    keys: Mapping[Path, Spot]
    open: Sequence[Path] = ()
    removed: Mapping[Path, Spot] = dataclasses.field(default_factory=dict)
    insertions: Mapping[Path, tuple[Insertion, ...]] = dataclasses.field(default_factory=dict)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Report a problem at `path`. A path that does not exist stands for its nearest parent."""
        if at_key and path in self.keys:
            return self.keys[path].problem(message)
        while path and path not in self.values:
            path = path[:-1]
        spot = self.values[path]
        for each in self.insertions.get(path, ()):
            message = f"{message} (the variable {each.variable!r} {each.where(spot.document.name)})"
        return spot.problem(message)

    def origin(self, path: Path) -> Origin:
        """Return the source of the value at `path`. A value that is in no file is a default.

        The expansion of a short form (`servers: 2`) has the source of the short form.
        """
        data: Data = self.data
        for index, part in enumerate(path):
            if isinstance(data, dict) and part in data:
                data = data[str(part)]
            elif isinstance(data, list) and isinstance(part, int) and part < len(data):
                data = data[part]
            elif isinstance(data, dict):
                return Origin(OriginKind.DEFAULT)
            else:
                return self._written(path[:index])
        return self._written(path)

    def _written(self, path: Path) -> Origin:
        spot = self.values[path]
        insertions = self.insertions.get(path, ())
        kind = spot.document.kind
        if insertions:
            by_argument = any(each.origin.kind is OriginKind.ARGUMENT for each in insertions)
            kind = OriginKind.ARGUMENT if by_argument else OriginKind.VARIABLE
        return Origin(kind, spot.document.name, spot.place, insertions)


def shown(value: object) -> str:
    """Format a value for a message: as YAML, and never long."""
    if isinstance(value, spelling.SpelledInt | spelling.SpelledFloat):
        text = value.written
    elif isinstance(value, str):
        # Truncate before quoting: the repr of a whole file would be expensive and useless.
        text = repr(value[: LONGEST_ECHO + 1])
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_ECHO else f"{text[: LONGEST_ECHO - 1]}…"


def listed(words: Sequence[str]) -> str:
    """Join words by commas; only the first few of many, and each truncated."""
    first = ", ".join(
        word if len(word) <= LONGEST_ECHO else f"{word[: LONGEST_ECHO - 1]}…" for word in words[:MOST_LISTED]
    )
    if len(words) <= MOST_LISTED:
        return first or "none"
    return f"{first} and {len(words) - MOST_LISTED} more"


def near(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant."""
    if len(word) > LONGEST_ECHO:
        return None
    return errors.near(word, sorted(known)[:_MOST_COMPARED])


def or_rather(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: `, did you mean 'web'?`, or the known words."""
    candidates = sorted(known)
    found = near(word, candidates)
    if found is not None:
        return f", did you mean {found!r}?"
    return f"; known are {listed(candidates)}" if candidates else "; there is none"
