"""YAML reader: one file to plain data, with the position of every value.

PyYAML composes the nodes (libyaml does the work); this module converts them itself, because the standard constructors
lose positions, accept duplicate keys, and let tags create objects.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Iterator

import yaml
from yaml import reader

from gantry.definition import source, spelling

MOST_NODES = 50_000
"""Maximum values of a file, before and after aliases are expanded: a few lines must not expand to gigabytes."""

MOST_CHARACTERS = 2 * source.LARGEST_FILE
"""Maximum characters of all values, after aliases are expanded."""

_LARGEST_NUMBER_BITS = 63

_PLAIN_TAGS = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:bool",
    "tag:yaml.org,2002:null",
}

_WRITTEN_TAGS = {
    # YAML parses 2024-01-31 as a date, and `=` and `<<` specially. A definition has no such values, so they remain
    # text.
    "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:value",
    "tag:yaml.org,2002:merge",
}

_VARIABLE_IN_BRACES = re.compile(r"[\[{,:]\s*\$\{")


def read_file(path: pathlib.Path, kind: source.OriginKind = source.OriginKind.FILE) -> source.DefinitionData:
    """Read the YAML document in a file.

    Raises:
        DefinitionError: the file cannot be read, is too large or not UTF-8, or its content is rejected by `read`.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(source.LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        # A ValueError: a file name must not contain a null character.
        reason = getattr(error, "strerror", None) or error
        problem = source.Problem(name, source.TOP, f"cannot be read: {reason}")
        raise source.DefinitionError((problem,)) from None
    if len(raw) > source.LARGEST_FILE:
        raise _too_large(name)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        document = source.Document(name, raw.decode("utf-8-sig", "replace"), kind)
        raise source.DefinitionError((document.problem(_place_of(raw, error.start), "not UTF-8"),)) from None
    return read(source.Document(name, text, kind))


def read(document: source.Document) -> source.DefinitionData:
    """Read one YAML document that contains a mapping.

    Raises:
        DefinitionError: the text is not YAML, has no or several documents, duplicate keys, tags, or is not a mapping.
    """
    if len(document.text.encode(errors="surrogatepass")) > source.LARGEST_FILE:
        raise _too_large(document.name)
    try:
        _scan(document)
        node = yaml.compose(document.text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise source.DefinitionError((_syntax_problem(error, document),)) from None
    except reader.ReaderError as error:
        # libyaml counts bytes here, and characters everywhere else.
        place = _place_of(document.text.encode(), error.position)
        raise source.DefinitionError((document.problem(place, f"not YAML: {error.reason}"),)) from None
    except UnicodeEncodeError as error:
        place = _place_of(document.text[: error.start].encode(), source.LARGEST_FILE)
        problem = document.problem(place, "not Unicode: half of a surrogate pair")
        raise source.DefinitionError((problem,)) from None
    if node is None:
        raise source.DefinitionError((document.problem(source.TOP, f"the file holds no {_what(document)}"),))
    walk = _Walk(document)
    data = walk.data(node, ())
    if walk.problems:
        raise source.DefinitionError(walk.problems)
    read_ = source.DefinitionData((document,), data, walk.values, walk.keys, walk.open)
    if not isinstance(data, dict):
        article = "an" if document.kind is source.OriginKind.OVERLAY else "a"
        message = f"{article} {_what(document)} is a mapping (key: value)"
        raise source.DefinitionError((read_.problem((), message),))
    return read_


def _what(document: source.Document) -> str:
    return "overlay" if document.kind is source.OriginKind.OVERLAY else "definition"


def _too_large(name: str) -> source.DefinitionError:
    message = f"larger than {source.LARGEST_FILE:,} bytes"
    return source.DefinitionError((source.Problem(name, source.TOP, message),))


def _place_of(raw: bytes, offset: int) -> source.Position:
    """Return the position of a byte of a UTF-8 text; the text before it on its line must be valid."""
    before = raw[:offset].removeprefix(b"\xef\xbb\xbf")
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode(errors="replace")) + 1
    return source.Position(before.count(b"\n") + 1, column)


def _scan(document: source.Document) -> None:
    """Reject unsafe input for the composer, by reading the text as a flat stream of events.

    Raises:
        DefinitionError: nested too deeply, too many values, a second document, or tags.
    """
    depth = documents = 0
    tags: list[source.Problem] = []
    for count, event in enumerate(_events(document)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > source.DEEPEST:
            raise source.DefinitionError((document.problem(_place(event), _TOO_DEEP),))
        # A key is an event too, and so are the ends of lists and mappings.
        if count > 3 * MOST_NODES:
            raise source.DefinitionError((document.problem(_place(event), _TOO_MANY),))
        if documents > 1:
            message = f"a second document begins here; a file holds one {_what(document)}"
            raise source.DefinitionError((document.problem(_place(event), message),))
        tag = getattr(event, "tag", None)
        if tag is not None and len(tags) < source.MOST_PROBLEMS:
            short = str(tag).replace("tag:yaml.org,2002:", "!!")
            message = f"tags are not part of the language, and here is {source.shown(short)}"
            tags.append(document.problem(_place(event), message))
    if tags:
        raise source.DefinitionError(tags)


def _events(document: source.Document) -> Iterator[yaml.Event]:
    events: Iterator[yaml.Event] = yaml.parse(document.text, Loader=yaml.CSafeLoader)
    return events


def _syntax_problem(error: yaml.MarkedYAMLError, document: source.Document) -> source.Problem:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return document.problem(source.TOP, f"not YAML: {error.problem}")
    place = source.Position(mark.line + 1, mark.column + 1)
    line = document.lines[mark.line] if mark.line < len(document.lines) else ""
    if line[mark.column : mark.column + 1] == "\t":
        return document.problem(place, "this is a tab; YAML is indented with spaces")
    context = error.context or ""
    if error.context_mark is not None and error.context_mark.line != mark.line:
        context += f" that begins in line {error.context_mark.line + 1}"
    message = f"not YAML: {', '.join(part for part in (context, error.problem) if part)}"
    if "flow" in context and _VARIABLE_IN_BRACES.search(line):
        message += '; between brackets a variable needs quotes: "${NAME}"'
    return document.problem(place, message)


_TOO_DEEP = f"nested more than {source.DEEPEST} levels deep"
_TOO_MANY = f"more than {MOST_NODES:,} values"


class _Walk:
    """Traverses the nodes once, collecting data, positions and problems."""

    def __init__(self, document: source.Document) -> None:
        self._document = document
        self._characters = 0
        self._open: set[int] = set()
        self._scalars = yaml.CSafeLoader("")
        self.values: dict[source.Path, source.Spot] = {}
        self.keys: dict[source.Path, source.Spot] = {}
        self.open: list[source.Path] = []
        self.problems: list[source.Problem] = []

    def data(self, node: yaml.Node, path: source.Path) -> source.Data:
        spot = self.values[path] = source.Spot(self._document, node)
        if len(self.values) > MOST_NODES:
            raise source.DefinitionError((spot.problem(_TOO_MANY),))
        if len(path) > source.DEEPEST:
            # Aliases of aliases: each is shallow in the text.
            raise source.DefinitionError((spot.problem(_TOO_DEEP),))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise source.DefinitionError((spot.problem("an alias contains itself"),))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.data(each, (*path, index)) for index, each in enumerate(node.value)]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: source.Path) -> source.Data:
        found: dict[str, source.Data] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._refuse(key_node, "a key is a plain word")
                continue
            key: str = key_node.value
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._refuse(key_node, "merge keys (<<) are not part of the language")
                continue
            here = (*path, key)
            if key in found:
                first = self.keys[here].place.line
                message = f"the key {source.shown(key)} is here twice (first in line {first})"
                self._refuse(key_node, message)
                continue
            self.keys[here] = source.Spot(self._document, key_node)
            found[key] = self.data(value_node, here)
        return found

    def _scalar(self, node: yaml.ScalarNode, path: source.Path) -> source.Data:
        written = str(node.value)
        self._characters += len(written)
        if self._characters > MOST_CHARACTERS:
            raise source.DefinitionError((self.values[path].problem(_TOO_LONG),))
        if "${" in written:
            self.open.append(path)
        if node.tag in _WRITTEN_TAGS or _surprises(node.tag, written):
            return written
        if node.tag not in _PLAIN_TAGS:
            self._refuse(node, f"the tag {node.tag} has no meaning here")
            return None
        try:
            value: source.Data = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._refuse(node, f"unreadable value {source.shown(written)}")
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(node, value, written)
        return value

    def _number(self, node: yaml.ScalarNode, value: float, written: str) -> int | float | None:
        if isinstance(value, int) and value.bit_length() > _LARGEST_NUMBER_BITS:
            self._refuse(node, f"the number {source.shown(written)} is too large (a text is put in quotes)")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(node, f"{source.shown(written)} is not a number that can be used")
            return None
        return spelling.spelled(value, written)

    def _refuse(self, node: yaml.Node, message: str) -> None:
        if len(self.problems) < source.MOST_PROBLEMS:
            self.problems.append(source.Spot(self._document, node).problem(message))


_TOO_LONG = f"more than {MOST_CHARACTERS:,} characters of text, aliases followed"


def _surprises(tag: str, written: str) -> bool:
    """Return whether YAML 1.1 would interpret a text differently from what its author expects.

    PyYAML still reads `no` as false and `1:30` as ninety. Here they are text, as in YAML 1.2.
    """
    if tag == "tag:yaml.org,2002:bool":
        return written.lower() not in ("true", "false")
    return tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and ":" in written


def _place(event: yaml.Event) -> source.Position:
    mark = event.start_mark
    return source.Position(mark.line + 1, mark.column + 1) if mark else source.TOP
