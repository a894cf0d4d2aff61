"""What stands in the files of a definition: data, where each value comes from, and what is wrong with it."""

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
"""Levels of nesting. Composing YAML recurses in C, where too deep a text ends the whole process."""

LARGEST_FILE = 1_000_000
"""Bytes. A definition is written by people; anything larger is a mistake or an attack."""

MOST_PROBLEMS = 100
"""Problems that are looked for in one file. Nobody reads more before correcting the first ones."""

LONGEST_ECHO = 80
"""Characters of a value that a message repeats."""

MOST_LISTED = 12
"""Names that a message lists."""

_MOST_COMPARED = 1000
"""Names among which a near one is looked for."""

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
    """One thing that is wrong, and where. `excerpt` is the line with a caret below it, or empty."""

    file: str
    place: Position
    message: str
    excerpt: str = dataclasses.field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.message}"


class DefinitionError(errors.GantryError):
    """A definition that cannot be used. Every problem found in its files is in `problems`.

    The message has, for each, `file:line:column: message` and below it the line in question with a caret.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        # An alias brings the same problem once for each of its uses. A definition comes before its overlay, whose
        # name is the longer one.
        in_order = sorted(problems, key=lambda each: (len(each.file), each.file, each.place))
        self.problems = tuple(dict.fromkeys(in_order))[:MOST_PROBLEMS]
        super().__init__(
            "\n".join(part for each in self.problems for part in (str(each), each.excerpt) if part)
        )


class OriginKind(enum.Enum):
    """What a value's origin is."""

    FILE = "file"
    OVERLAY = "overlay"
    VARIABLE = "variable"
    ARGUMENT = "argument"
    DEFAULT = "default"


@dataclasses.dataclass(frozen=True)
class Insertion:
    """A variable that was inserted into a value, and where the variable's own value comes from."""

    variable: str
    origin: Origin

    def where(self, file: str) -> str:
        """Where the variable was set, as a message says it that is about a file."""
        if self.origin.place is None:
            return "was given as an argument"
        if self.origin.file == file:
            return f"is set in line {self.origin.place.line}"
        return f"is set in {self.origin}"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a value comes from.

    `file` and `place` say where it stands; a default and an argument stand in no file. A value with `${NAME}` in it
    is of the kind VARIABLE, or ARGUMENT if such a variable was set by one, and says what was inserted.
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
    """The text of one file. `name` is what errors call it."""

    name: str
    text: str
    kind: OriginKind = OriginKind.FILE

    @functools.cached_property
    def lines(self) -> list[str]:
        """The text's lines, as YAML counts them."""
        return excerpt.lines(self.text)

    def problem(self, place: Position, message: str, width: int = 1) -> Problem:
        """Say that `width` characters from a place on are wrong."""
        line = self.lines[place.line - 1] if place.line <= len(self.lines) else ""
        shown = excerpt.excerpt(line, place.line, place.column, width) if line.strip() else ""
        # Names of the user's own are in it, some of them not checked yet.
        return Problem(self.name, place, excerpt.harmless(message), shown)


class Spot(NamedTuple):
    """A key or value in a document."""

    document: Document
    node: yaml.Node

    @property
    def place(self) -> Position:
        """Where it begins."""
        mark = self.node.start_mark
        return Position(mark.line + 1, mark.column + 1)

    @property
    def width(self) -> int:
        """How many characters it has on its first line."""
        start, end = self.node.start_mark, self.node.end_mark
        if start.line == end.line:
            return int(end.column - start.column)
        # A block begins with its first key and goes on below: one caret says enough.
        return 1

    def problem(self, message: str) -> Problem:
        """Say that what stands here is wrong."""
        return self.document.problem(self.place, message, self.width)


@dataclasses.dataclass(frozen=True, eq=False)
class DefinitionData:
    """The data of a definition, and where each value and each key stands.

    `documents` are the files that it comes from, the definition first; `removed` is where an overlay took a key away;
    `open` are the paths of texts in which a variable may have to be inserted.
    """

    documents: tuple[Document, ...]
    data: Data
    values: Mapping[Path, Spot]
    keys: Mapping[Path, Spot]
    open: Sequence[Path] = ()
    removed: Mapping[Path, Spot] = dataclasses.field(default_factory=dict)
    insertions: Mapping[Path, tuple[Insertion, ...]] = dataclasses.field(default_factory=dict)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Say that what stands at `path` is wrong. A path that is absent means its nearest parent."""
        if at_key and path in self.keys:
            return self.keys[path].problem(message)
        while path and path not in self.values:
            path = path[:-1]
        spot = self.values[path]
        for each in self.insertions.get(path, ()):
            message = f"{message} (the variable {each.variable!r} {each.where(spot.document.name)})"
        return spot.problem(message)

    def origin(self, path: Path) -> Origin:
        """Where the value at `path` comes from. What stands in no file is a default.

        What a short form stands for (`servers: 2`) comes from where the short form stands.
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
    """A value as a message repeats it: as YAML has it, and never long."""
    if isinstance(value, spelling.SpelledInt | spelling.SpelledFloat):
        text = value.written
    elif isinstance(value, str):
        # Cut before quoting: the repr of a whole file would be built only to be thrown away.
        text = repr(value[: LONGEST_ECHO + 1])
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_ECHO else f"{text[: LONGEST_ECHO - 1]}…"


def listed(words: Sequence[str]) -> str:
    """Words with commas between them; of many only the first few, and none of them long."""
    first = ", ".join(
        word if len(word) <= LONGEST_ECHO else f"{word[: LONGEST_ECHO - 1]}…" for word in words[:MOST_LISTED]
    )
    if len(words) <= MOST_LISTED:
        return first or "none"
    return f"{first} and {len(words) - MOST_LISTED} more"


def near(word: str, known: Iterable[str]) -> str | None:
    """The one of the known words that was probably meant."""
    if len(word) > LONGEST_ECHO:
        return None
    return errors.near(word, sorted(known)[:_MOST_COMPARED])


def or_rather(word: str, known: Iterable[str]) -> str:
    """What to write instead of an unknown word: `, did you mean 'web'?`, or the words that are known."""
    candidates = sorted(known)
    found = near(word, candidates)
    if found is not None:
        return f", did you mean {found!r}?"
    return f"; known are {listed(candidates)}" if candidates else "; there is none"
