"""Run records and their configuration history as text for people."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator

import pydantic
from rich.table import Table

from gantry import durations, overview
from gantry.cli.support import console
from gantry.state import installed_versions, run_records

_KILO = 1000
_STYLES = {"+": "green", "-": "red", "@": "dim"}


def table(found: Iterable[run_records.Record]) -> Table:
    """Return a table with a row for each run."""
    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("began", "operation", "result", "took", "by", "servers", "versions, backups", "reason"):
        drawn.add_column(title, no_wrap=True)
    for each in found:
        drawn.add_row(
            clock(each.began),
            each.operation,
            each.result.value,
            _took(each),
            each.by,
            " ".join(_servers(each)),
            " ".join((*_versions(each), *_objects(each))),
            each.reason,
        )
    return drawn


def line(record: run_records.Record) -> str:
    """Return one run in one line: who, why, how it ended, what it changed."""
    told = [f"{record.operation} by {record.by or 'an unknown user'}, {record.result.value}"]
    if record.reason:
        told[0] = (
            f"{record.operation} by {record.by or 'an unknown user'} ({record.reason}), {record.result.value}"
        )
    told += [f"began {clock(record.began)}", *_servers(record), *_versions(record), *_objects(record)]
    if record.skipped:
        told.append(f"{len(record.skipped)} skipped")
    return ", ".join(told)


def show(
    record: run_records.Record,
    told: Iterable[overview.DeliveredConfig],
    failed: Iterable[overview.FailedTask],
) -> None:
    """Print one run with everything that is recorded of it, and its failed tasks."""
    console.say(f"{record.operation} {record.run}: {record.result.value}")
    for title, text in _details(record):
        console.say(f"  {title:<14} {text}")
    for each in failed:
        console.say(f"  {'failed':<14} {f'{each.instance.view.task_id} {each.servers}'.strip()}")
        for line in _reasons(each):
            console.say(f"    {line}")
    if told:
        console.say()
        show_facts(told)


def show_facts(told: Iterable[overview.DeliveredConfig]) -> None:
    """Print the configuration files that servers received: each with its hash and its diff."""
    for each in told:
        found = each.handout
        console.say(
            f"{each.service} on {each.server} ({found.instance}): received {clock(found.at)} from {found.operation} "
            f"{found.run}, hash {found.digest[: installed_versions.SHORT]}"
        )
        for text in found.lines or ("nothing changed but comments",):
            console.out.print(f"    {text}", style=_STYLES.get(text[:1], ""), markup=False)


def as_json(failed: Iterable[overview.FailedTask]) -> list[pydantic.JsonValue]:
    """Convert failed tasks for programs. `causes` is null for a user who may not read XComs."""
    return [
        {
            "task": each.instance.view.task_id,
            "server": each.servers,
            "causes": None if each.failures is None else [failure.dump() for failure in each.failures],
        }
        for each in failed
    ]


def _reasons(task: overview.FailedTask) -> list[str]:
    if task.failures is None:
        return ["you may not read XComs of this DAG, where the reason is kept"]
    found = "\n".join(map(str, task.failures)).splitlines() or ["no reason was recorded; see gantry logs"]
    return (
        [*found, "the details are in the task's log, which you may not read"] if task.is_shortened else found
    )


def clock(text: str) -> str:
    """Format a time in the local time zone."""
    return f"{datetime.datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}" if text else ""


def _details(record: run_records.Record) -> Iterator[tuple[str, str]]:
    yield "by", record.by or "an unknown user"
    if record.reason:
        yield "reason", record.reason
    yield "began", clock(record.began)
    if took := _took(record):
        yield "took", took
    if record.started:
        yield "started", ", ".join(f"{name} ({instance})" for name, instance in record.started.items())
    if record.ended:
        yield "ended", ", ".join(record.ended)
    if record.versions:
        yield "versions", ", ".join(_changes(record))
    for name, each in record.objects.items():
        yield "backup", f"{name}: {each.url}, {each.size} bytes, {each.seconds:g} s"
    for each_ in record.skipped:
        yield "skipped", each_
    if record.phases:
        yield "phases", ", ".join(f"{name} {seconds:g} s" for name, seconds in record.phases.items())
    if record.critical_path:
        yield "critical path", " → ".join(f"{step} {took:g} s" for step, took in record.critical_path.items())


def _servers(record: run_records.Record) -> list[str]:
    started = [f"+{len(record.started)}"] if record.started else []
    return [*started, *([f"-{len(record.ended)}"] if record.ended else [])]


def _versions(record: run_records.Record) -> list[str]:
    return [
        f"{service}={version[: installed_versions.SHORT]}" for service, version in record.versions.items()
    ]


def _changes(record: run_records.Record) -> Iterator[str]:
    for name, version in record.versions.items():
        before = record.versions_before.get(name, version)
        yield f"{name}={version}" if before == version else f"{name}={version} (was {before})"


def _objects(record: run_records.Record) -> list[str]:
    return [f"{name}={_size(each.size)}" for name, each in record.objects.items()]


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < _KILO:
            return f"{size:.3g} {unit}"
        size /= _KILO
    return f"{size:.3g} GB"


def _took(record: run_records.Record) -> str:
    if record.over is None or not record.began:
        return ""
    took = datetime.datetime.fromisoformat(record.over) - datetime.datetime.fromisoformat(record.began)
    return durations.text(took, exact=False)
