"""A preview's report as text: what is added (+), changed (~), removed (-), unchanged (=), and unknown (?)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from gantry import names
from gantry.plan import StepKind
from gantry.preview import report
from gantry.preview.report import Action

_SIGNS = {
    Action.START: ("+", "green"),
    Action.RESUME: ("~", "yellow"),
    Action.KEEP: ("=", ""),
    Action.REPLACE: ("~", "yellow"),
    Action.REMOVE: ("-", "red"),
}
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_CHANGE = ("~", "yellow")
_UNKNOWN = ("?", "magenta")
_HELD = ("!", "yellow")
_SAME = ("=", "")
_REFUSED = ("!", "red")


@dataclasses.dataclass(frozen=True)
class _Noun:
    one: str
    many: str


_COUNTED: dict[_Noun, Callable[[report.Change], bool]] = {
    _Noun("run of configuration management", "runs of configuration management"): lambda each: (
        each.kind is StepKind.EXECUTE_CONFIGURATION_MANAGEMENT
    ),
    _Noun("install", "installs"): lambda each: any(call.script == "installService" for call in each.calls),
    _Noun("datasource to load", "datasources to load"): lambda each: any(
        call.script == "installDataSource" for call in each.calls
    ),
    _Noun("object to compare", "objects to compare"): lambda each: any(
        call.script == "compareObject" for call in each.calls
    ),
    _Noun("configuration file changes", "configuration files change"): lambda each: bool(each.diff),
    _Noun("restart", "restarts"): lambda each: each.restarts,
    _Noun("grant", "grants"): lambda each: each.kind is StepKind.GRANT_ACCESS,
}


def show(found: report.Report, out: Console, *, diffs: bool = True) -> None:
    """Print a report; with `diffs`, including the changes of each configuration file."""
    for line in lines(found, diffs=diffs):
        out.print(line)


def lines(found: report.Report, *, diffs: bool = True) -> Iterator[Text]:
    """Yield the report, line by line."""
    yield Text("Servers", "bold")
    width = max((len(each.name) for each in found.servers), default=0)
    for server in found.servers:
        yield from _server(server, width)
    if found.objects:
        yield Text()
        yield Text("Archives and datasources", "bold")
        for each in found.objects:
            if each.held:
                why = f"not loaded: the datasource holds data; --reload-dump {each.of} loads it in place of the data"
                yield _line(_HELD, f"dump of {each.of} has changed: {each.url}")
                yield _line(_HELD, why, 6)
            else:
                yield _line(_CHANGE, f"{each.kind} of {each.of} has changed: {each.url}")
    for step, changes in itertools.groupby(found.changes, key=lambda each: each.step):
        yield Text()
        yield Text(_title(step), "bold")
        yield from _step(tuple(changes), diffs=diffs)
    if found.balancers:
        yield Text()
        yield Text("Configuration of load balancers", "bold")
        yield from _balancers(found.balancers, diffs=diffs)
    if found.remarks:
        yield Text()
        yield Text("Could not be determined", "bold")
        for remark in found.remarks:
            first, *rest = remark.splitlines()
            yield _line(_UNKNOWN, first)
            yield from (Text(f"    {line}") for line in rest)
    yield Text()
    yield Text(summary(found), "bold")


def summary(found: report.Report) -> str:
    """Return a one-line summary."""
    if found.nothing_to_do:
        return f"Nothing to do: a launch of {found.deployment} now would change nothing."
    parts = [", ".join(f"{len(found.of(action))} to {action}" for action in Action if found.of(action))]
    counted = {what: sum(map(is_one, found.changes)) for what, is_one in _COUNTED.items()}
    work = [f"{count} {what.one if count == 1 else what.many}" for what, count in counted.items() if count]
    if work:
        parts.append(", ".join(work))
    changed = sum(each.changes for each in found.balancers)
    if changed:
        parts.append(f"{changed} load balancer{'s change' if changed > 1 else ' changes'}")
    unknown = sum(1 for _ in found.unknown)
    if unknown:
        parts.append(f"unknown on {unknown} server{'s' if unknown > 1 else ''}")
    return f"Plan for {found.deployment}: servers {'; '.join(parts)}."


def _server(server: report.ServerPreview, width: int) -> Iterator[Text]:
    is_new = server.action in (Action.START, Action.REPLACE)
    where = f"{server.size} {server.image}" if is_new else server.instance or ""
    yield _line(
        _SIGNS[server.action], f"{server.name:<{width}}  {server.action:<6}  {server.address}  {where}"
    )
    if server.unknown is not None:
        yield _line(_UNKNOWN, f"what a launch does there is unknown: {server.unknown}", 6)
    for note in server.notes:
        yield _line(("!", "yellow"), note, 6)


def _step(changes: Sequence[report.Change], *, diffs: bool) -> Iterator[Text]:
    """Yield the lines of a step. Servers with the same changes share a line; each diff is separate."""
    alike: dict[tuple[str, tuple[str, ...]], list[report.Change]] = {}
    for change in changes:
        alike.setdefault((_what(change), change.diff), []).append(change)
    for (what, lines_), same in alike.items():
        servers = ", ".join(each.server for each in same)
        yield _line(_CHANGE, f"{servers}: {what}")
        if diffs:
            yield from _diff(lines_)


def _balancers(found: Sequence[report.BalancerPreview], *, diffs: bool) -> Iterator[Text]:
    """Yield the lines of balancers. Those of which the same is known share them."""
    alike: dict[report.BalancerPreview, list[report.BalancerPreview]] = {}
    for each in found:
        alike.setdefault(dataclasses.replace(each, server=names.ServerName("")), []).append(each)
    for one, same in alike.items():
        servers = ", ".join(each.server for each in same)
        what = f"{servers}: {one.path}" if one.path else servers
        if one.unknown is not None:
            yield _line(_UNKNOWN, f"{what} cannot be shown: {one.unknown}")
        elif one.changes:
            yield _line(_CHANGE, "; ".join((f"{what} changes" if one.diff else what, *one.reasons)))
        else:
            yield _line(_SAME, f"{what} stays as it is")
        if one.refusal is not None:
            yield _line(_REFUSED, f"a launch would fail there: {one.refusal}", 6)
        for note in one.notes:
            yield _line(_HELD, note, 6)
        if diffs:
            yield from _diff(one.diff)


def _diff(lines_: Iterable[str]) -> Iterator[Text]:
    return (Text(f"      {line}", _DIFF_STYLES.get(line[:1], "")) for line in lines_)


def _what(change: report.Change) -> str:
    scripts = _short(call.script for call in change.calls)
    sent = f"sends {' '.join(change.files)}" if change.files and not change.calls else ""
    words = [*change.details, sent]
    what = "; ".join(each for each in (scripts, *words) if each)
    why = "; ".join(change.reasons)
    return f"{what} ({why})" if why else what


def _short(scripts: Iterable[str]) -> str:
    """Return the calls in order, with consecutive ones of one kind replaced by their number."""
    runs = ((script, sum(1 for _ in run)) for script, run in itertools.groupby(scripts))
    return " → ".join(script if times == 1 else f"{times} x {script}" for script, times in runs)


def _title(step: str) -> str:
    group, _, name = step.rpartition(".")
    return f"{group.replace('-', ' ', 1)}: {name.replace('_', ' ')}"


def _line(sign: tuple[str, str], text: str, indent: int = 2) -> Text:
    mark, style = sign
    return Text.assemble(" " * indent, (mark, style), " ", text)
