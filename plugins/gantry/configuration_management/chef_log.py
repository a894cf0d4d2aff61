"""Parser of chef-client's output: log lines, resources with their ends, and blocks that explain a failure.

Observed with Chef Infra Client 17.10 and 18.10. Its `doc` formatter prints resources with indentation, and the logger
writes in between: a log line may begin in the middle of an unfinished line of the formatter.

    Recipe: web::default
      * file[/etc/motd] action create (up to date)
      * site[shop] action create                    a custom resource: its parts are indented by two more,
        * file[/etc/site] action create (up to date)
         (up to date)                               and its own end stands on a line of its own, by three
      * execute[true] action run
        - execute true                              what was done is indented by two
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

_LOGGED = re.compile(
    r"\[\d{4}-\d\d-\d\dT[^\]]*\] (?P<level>TRACE|DEBUG|INFO|WARN|ERROR|FATAL): (?P<text>.*)$"
)
_BEGINS = re.compile(
    r"^(?P<indent> *)\* (?P<name>[a-z_][a-z_0-9]*\[.*\]) action (?P<action>[a-z_]+\b\??)(?P<rest>.*)$"
)
_BEGINS_IN_A_NAME = re.compile(r"^(?P<indent> *)\* (?P<name>[a-z_][a-z_0-9]*\[.*)$")
_NAME_ENDS = re.compile(r"^(?P<name>.*\]) action (?P<action>[a-z_]+\b\??)(?P<rest>.*)$")
_UNTOUCHED = re.compile(r"^(?P<indent> *)\((up to date|skipped due to |Skipped: )")
_DONE = re.compile(r"^(?P<indent> *)- \S")
_RULER = re.compile(r"^ *={40,}$")
_UNDERLINE = re.compile(r"^ *-{3,}$")
_CAUSE = re.compile(r"^\* (?P<text>\S+ occurred in .*)$")
_COMPLETE = re.compile(
    r"(?:Infra Phase complete|Chef (?:Infra )?Client finished|Cinc (?:Client )?finished), "
    r"(?P<updated>\d+)/(?P<total>\d+) resources updated(?: in (?P<time>.*))?$"
)
_ENDED = re.compile(r"chef-client ended with exit code (?P<code>\d+)$")
_AFTER_BLOCKS = re.compile(r"^ *(executable=|Running handlers|Infra Phase |Chef Infra Client failed)")
_LEVELS = {"WARN", "ERROR", "FATAL"}
_MOST_OF_A_BLOCK = 120
_NOTICE = re.compile(r"^(Stacktrace dumped to |-{10,}$|PLEASE PROVIDE THE CONTENTS OF THE stacktrace)")
_UNIT_SECONDS = {"hour": 3600, "minute": 60, "second": 1}


@dataclasses.dataclass(frozen=True)
class Block:
    """An explanation of a failure: its title, and the texts under its headings, in order."""

    title: str
    sections: tuple[tuple[str, str], ...]

    def section(self, heading: str) -> str:
        """Return the text under a heading, or an empty one."""
        return next((text for each, text in self.sections if each == heading), "")


@dataclasses.dataclass(frozen=True)
class Counts:
    """The last line of a completed run. `seconds` is chef-client's own count."""

    updated: int
    total: int
    seconds: int | None


@dataclasses.dataclass(frozen=True)
class ChefReport:
    """The parsed output of a run.

    Attributes:
        updated: resources that were changed, as `TYPE[NAME] ACTION`, in the order of their beginnings.
        blocks: explanations, in order.
        fatal: the texts of the FATAL lines, without notices about the stack trace.
        causes: the failures of a run with several.
        errors: the texts of the ERROR lines.
        counts: None for an incomplete run.
        code: chef-client's exit code, or None if its caller has not reported one.
    """

    updated: tuple[str, ...]
    blocks: tuple[Block, ...]
    fatal: tuple[str, ...]
    causes: tuple[str, ...]
    errors: tuple[str, ...]
    counts: Counts | None
    code: int | None


@dataclasses.dataclass
class _Resource:
    indent: int
    label: str
    untouched: bool = False
    failed: bool = False
    worked: bool = False
    parts: list[_Resource] = dataclasses.field(default_factory=list)

    @property
    def is_updated(self) -> bool:
        """Return whether it, or one of its parts, did something. Some, such as `log`, end without a message."""
        if self.untouched or self.failed:
            return False
        return self.worked or any(part.is_updated for part in self.parts)


def keeps(line: str, kept: Sequence[str]) -> bool:
    """Return whether a line is needed to analyse the run. `kept`: the lines kept before."""
    if logged := _LOGGED.search(line):
        return logged["level"] in _LEVELS or logged.start() > 0
    if any(
        each.search(line)
        for each in (
            _BEGINS,
            _BEGINS_IN_A_NAME,
            _NAME_ENDS,
            _UNTOUCHED,
            _DONE,
            _RULER,
            _CAUSE,
            _COMPLETE,
            _ENDED,
        )
    ):
        return True
    return bool(line.strip()) and _is_in_a_block(kept)


def _is_in_a_block(kept: Sequence[str]) -> bool:
    for line in reversed(kept[-_MOST_OF_A_BLOCK:]):
        if _RULER.match(line):
            return True
        if _ends_a_block(line):
            return False
    return False


def _ends_a_block(line: str) -> bool:
    return bool(_AFTER_BLOCKS.match(line) or _BEGINS.match(line) or _LOGGED.search(line))


def read(kept: Sequence[str]) -> ChefReport:
    """Parse the kept lines."""
    lines = [part for line in kept for part in _apart(line)]
    tree, blocks, rest = _Tree(), [], iter(_Lines(lines))
    for line in rest:
        if _RULER.match(line):
            block = _block(rest)
            blocks.append(block)
            tree.fails(block.title)
        else:
            tree.feed(line)
    logged = [found for line in lines if (found := _LOGGED.match(line))]
    fatal = [each["text"].strip() for each in logged if each["level"] == "FATAL"]
    complete = next((found for line in reversed(lines) if (found := _COMPLETE.search(line))), None)
    ended = next((found for line in reversed(lines) if (found := _ENDED.search(line))), None)
    return ChefReport(
        updated=tuple(each.label for each in tree.everything if each.is_updated),
        blocks=tuple(blocks),
        fatal=tuple(text for text in fatal if text and not _NOTICE.match(text)),
        causes=tuple(found["text"] for line in lines if (found := _CAUSE.match(line))),
        errors=tuple(each["text"].strip() for each in logged if each["level"] == "ERROR"),
        counts=None
        if complete is None
        else Counts(int(complete["updated"]), int(complete["total"]), _seconds(complete["time"])),
        code=None if ended is None else int(ended["code"]),
    )


def _apart(line: str) -> Iterator[str]:
    """Split a formatter's line from the log line that begins in it."""
    logged = _LOGGED.search(line)
    if logged is None or logged.start() == 0:
        yield line
    else:
        yield line[: logged.start()]
        yield line[logged.start() :]


class _Lines:
    """Lines with pushback, so that the line that ends a block is not lost."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(reversed(lines))

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if not self._lines:
            raise StopIteration
        return self._lines.pop()

    def put_back(self, line: str) -> None:
        self._lines.append(line)


def _block(lines: _Lines) -> Block:
    """Parse the lines after a ruler: a title up to the second ruler, then underlined headings with their texts."""
    title: list[str] = []
    for line in lines:
        if _RULER.match(line):
            break
        title.append(line.strip())
    sections: list[tuple[str, list[str]]] = []
    for line in lines:
        if _RULER.match(line) or _ends_a_block(line):
            if not line.strip().startswith("executable="):
                lines.put_back(line)
            break
        if (
            _UNDERLINE.match(line)
            and sections
            and len(sections[-1][1][-1:] and sections[-1][1][-1]) == len(line.strip())
        ):
            sections.append((sections[-1][1].pop(), []))
        elif sections:
            sections[-1][1].append(line.strip())
        else:
            sections.append(("", [line.strip()]))
    told = [(heading, "\n".join(text).strip()) for heading, text in sections]
    return Block(" ".join(title), tuple((heading, text) for heading, text in told if heading or text))


class _Tree:
    """Resources by indentation: attributes messages to resources."""

    def __init__(self) -> None:
        self.everything: list[_Resource] = []
        self._open: list[_Resource] = []
        self._half: re.Match[str] | None = None

    def feed(self, line: str) -> None:
        """Process a line of the formatter."""
        half, self._half = self._half, None
        if found := _BEGINS.match(line):
            self._begin(len(found["indent"]), found["name"], found["action"], found["rest"])
        elif half and (found := _NAME_ENDS.match(line)):
            name = f"{half['name'].strip()} … {found['name'].strip()}"
            self._begin(len(half["indent"]), name, found["action"], found["rest"])
        elif found := _BEGINS_IN_A_NAME.match(line):
            self._half = found
        elif found := _UNTOUCHED.match(line):
            self._close(len(found["indent"])).untouched = True
        elif found := _DONE.match(line):
            indent = len(found["indent"]) - 2
            owner = next((each for each in reversed(self._open) if each.indent == indent), None)
            if owner is not None:
                owner.worked = True

    def fails(self, title: str) -> None:
        """Process a block: a resource's own block means that it changed nothing, whether or not the run continues."""
        if not title.startswith("Error executing action") or not self._open:
            return
        named = [each for each in self._open if f"'{each.label.rpartition(' ')[0]}'" in title]
        failed = (named or self._open)[-1]
        failed.failed = True
        del self._open[self._open.index(failed) :]

    def _begin(self, indent: int, name: str, action: str, rest: str) -> None:
        found = _Resource(indent, f"{name} {action}")
        while self._open and self._open[-1].indent >= indent:
            self._open.pop()
        if self._open:
            self._open[-1].parts.append(found)
        self.everything.append(found)
        self._open.append(found)
        if _UNTOUCHED.match(rest):
            found.untouched = True
            self._open.pop()

    def _close(self, indent: int) -> _Resource:
        """Return the resource whose end is on a line of its own; without indentation if a log line came in between."""
        at = next(
            (at for at, each in enumerate(self._open) if each.indent + 3 == indent), len(self._open) - 1
        )
        if at < 0:
            return _Resource(indent, "")
        found = self._open[at]
        del self._open[at:]
        return found


def _seconds(words: str | None) -> int | None:
    """Convert `01 minutes 05 seconds` to seconds."""
    parts = re.findall(r"(\d+) (hour|minute|second)s?", words or "")
    return sum(int(number) * _UNIT_SECONDS[unit] for number, unit in parts) if parts else None
