"""YAML text → plain data, with the place of every value.

PyYAML composes the nodes (libyaml does the work); this module turns them into data itself, because the
ready-made constructors forget places, take the last of two equal keys, and let tags build objects.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import yaml
from yaml import reader

from gantry import errors

LARGEST_FILE = 1_000_000
"""Bytes. A definition is written by people; anything larger is a mistake or an attack."""

MOST_NODES = 100_000
"""Values after aliases are followed, so that a few lines cannot unfold into gigabytes."""

DEEPEST = 40
"""Levels of nesting. Composing YAML recurses in C, where too deep a text ends the whole process."""

MOST_PROBLEMS = 100
"""Problems that are looked for in one file. Nobody reads more before correcting the first ones."""

LONGEST_ECHO = 80
"""Characters of a value that a message repeats."""

MOST_LISTED = 12
"""Names that a message lists."""

_LARGEST_NUMBER_BITS = 63

Path = tuple[str | int, ...]
Data = dict[str, "Data"] | list["Data"] | str | int | float | bool | None

_PLAIN_TAGS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
}

_WRITTEN_TAGS = {
    # YAML reads 2024-01-31 as a date, and `=` and `<<` as signs. No value of a definition is one of them, so
    # they stay what was written.
    "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:value",
    "tag:yaml.org,2002:merge",
}


@dataclasses.dataclass(frozen=True, order=True)
class Place:
    """A position in a file, counted from 1."""

    line: int
    column: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and where."""

    file: str
    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.place.line}:{self.place.column}: {self.message}"


class DefinitionError(errors.GantryError):
    """A definition that cannot be used. Every problem found in the file is in `problems`."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        # An alias brings the same problem once for each of its uses.
        self.problems = tuple(dict.fromkeys(sorted(problems, key=lambda each: each.place)))[:MOST_PROBLEMS]
        super().__init__("\n".join(str(each) for each in self.problems))


@dataclasses.dataclass(frozen=True)
class Source:
    """The data of a file, and where each value (and each key) stands in it."""

    file: str
    data: Data
    places: dict[Path, Place]
    key_places: dict[Path, Place]

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> Problem:
        """Say that what stands at `path` is wrong. A path that is absent means its nearest parent."""
        if at_key and path in self.key_places:
            return Problem(self.file, self.key_places[path], message)
        while path and path not in self.places:
            path = path[:-1]
        return Problem(self.file, self.places[path], message)


def read(text: str, file: str) -> Source:
    """Read one YAML document.

    Raises:
        DefinitionError: the text is no YAML, holds no or several documents, a key twice, or a tag.
    """
    if len(text.encode(errors="surrogatepass")) > LARGEST_FILE:
        raise too_large(file)
    try:
        _scan(text, file)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise DefinitionError((_syntax_problem(error, text, file),)) from None
    except reader.ReaderError as error:
        # libyaml counts bytes here, and characters everywhere else.
        place = place_of(text.encode(), error.position)
        raise DefinitionError((Problem(file, place, f"not YAML: {error.reason}"),)) from None
    except UnicodeEncodeError as error:
        place = place_of(text[: error.start].encode(), LARGEST_FILE)
        raise DefinitionError((Problem(file, place, "not Unicode: half of a surrogate pair"),)) from None
    if node is None:
        raise DefinitionError((Problem(file, Place(1, 1), "the file holds no definition"),))
    walk = _Walk(file)
    data = walk.data(node, ())
    if walk.problems:
        raise DefinitionError(tuple(walk.problems))
    return Source(file, data, walk.places, walk.key_places)


def too_large(file: str) -> DefinitionError:
    """Say that a file is larger than anything a person writes."""
    return DefinitionError((Problem(file, Place(1, 1), f"larger than {LARGEST_FILE:,} bytes"),))


def place_of(raw: bytes, offset: int) -> Place:
    """The place of a byte of a UTF-8 text; what stands before it on its line must be readable."""
    before = raw[:offset]
    line_start = before.rfind(b"\n") + 1
    return Place(before.count(b"\n") + 1, len(before[line_start:].decode(errors="replace")) + 1)


def shown(value: object) -> str:
    """A value as a message repeats it: as YAML has it, and never long."""
    if isinstance(value, str):
        # Cut before quoting: the repr of a whole file would be built only to be thrown away.
        text = repr(value[: LONGEST_ECHO + 1])
    elif isinstance(value, bool):
        text = str(value).lower()
    else:
        text = repr(value)
    return text if len(text) <= LONGEST_ECHO else f"{text[: LONGEST_ECHO - 1]}…"


def listed(words: Sequence[str]) -> str:
    """Words with commas between them; of many only the first few."""
    if len(words) <= MOST_LISTED:
        return ", ".join(words) or "none"
    return f"{', '.join(words[:MOST_LISTED])} and {len(words) - MOST_LISTED} more"


def _scan(text: str, file: str) -> None:
    """Refuse what must not reach the composer, reading the text as a flat stream of events.

    Raises:
        DefinitionError: nested too deeply, a second document, or tags.
    """
    depth = documents = 0
    tags: list[Problem] = []
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        place = _place(event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > DEEPEST:
            raise DefinitionError((Problem(file, place, _TOO_DEEP),))
        if documents > 1:
            message = "a second document begins here; a file holds one definition"
            raise DefinitionError((Problem(file, place, message),))
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = str(tag).replace("tag:yaml.org,2002:", "!!")
            tags.append(
                Problem(file, place, f"tags are not part of the language, and here is {shown(short)}")
            )
    if tags:
        raise DefinitionError(tuple(tags))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(file, Place(1, 1), f"not YAML: {error.problem}")
    place = Place(mark.line + 1, mark.column + 1)
    line = (text.split("\n", mark.line + 1)[mark.line :] or [""])[0]
    if line[mark.column : mark.column + 1] == "\t":
        return Problem(file, place, "a tab stands here; YAML is indented with spaces")
    context = error.context or ""
    if error.context_mark is not None and error.context_mark.line != mark.line:
        context += f" that begins in line {error.context_mark.line + 1}"
    return Problem(file, place, f"not YAML: {', '.join(part for part in (context, error.problem) if part)}")


_TOO_DEEP = f"nested more than {DEEPEST} levels deep"


class _Walk:
    """Goes through the nodes once, collecting data, places and problems."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen = 0
        self._open: set[int] = set()
        self._scalars = yaml.CSafeLoader("")
        self.places: dict[Path, Place] = {}
        self.key_places: dict[Path, Place] = {}
        self.problems: list[Problem] = []

    def data(self, node: yaml.Node, path: Path) -> Data:
        place = _place(node)
        self.places[path] = place
        self._seen += 1
        if self._seen > MOST_NODES:
            raise DefinitionError((Problem(self._file, place, f"more than {MOST_NODES:,} values"),))
        if len(path) > DEEPEST:
            # Aliases of aliases: each is shallow in the text.
            raise DefinitionError((Problem(self._file, place, _TOO_DEEP),))
        if id(node) in self._open:
            raise DefinitionError((Problem(self._file, place, "an alias contains itself"),))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self.data(each, (*path, index)) for index, each in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Data:
        found: dict[str, Data] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, "a key is a plain word")
                continue
            key: str = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._refuse(key_node, "merge keys (<<) are not part of the language")
                continue
            if key in found:
                first = self.key_places[(*path, key)]
                self._refuse(key_node, f"the key {shown(key)} stands here twice (first in line {first.line})")
                continue
            self.key_places[(*path, key)] = _place(key_node)
            found[key] = self.data(value_node, (*path, key))
        return found

    def _scalar(self, node: yaml.Node) -> Data:
        written = str(node.value)
        if node.tag in _WRITTEN_TAGS or _surprises(node.tag, written):
            return written
        if node.tag not in _PLAIN_TAGS:
            self._refuse(node, f"the tag {node.tag} has no meaning here")
            return None
        try:
            value: Data = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._refuse(node, f"unreadable value {shown(written)}")
            return None
        if isinstance(value, int) and value.bit_length() > _LARGEST_NUMBER_BITS:
            self._refuse(node, f"the number {shown(written)} is too large")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, f"{shown(written)} is no number that can be worked with")
            return None
        return value

    def _refuse(self, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(self._file, _place(node), message))


def _surprises(tag: str, written: str) -> bool:
    """Whether YAML 1.1 would make something of a text that its writer does not expect.

    PyYAML still reads `no` as false and `1:30` as ninety. Here they are text, as in YAML 1.2.
    """
    if tag == "tag:yaml.org,2002:bool":
        return written.lower() not in ("true", "false")
    return tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and ":" in written


def _place(marked: yaml.Node | yaml.Event) -> Place:
    mark = marked.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
