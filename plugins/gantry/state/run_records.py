"""What is kept of a deployment's runs when Airflow has forgotten them."""

from __future__ import annotations

import dataclasses
import enum
from typing import TypeVar

import pydantic

_T = TypeVar("_T")

MOST = 50
"""Records that are kept of each operation."""

_LONGEST_REASON = 200
_MOST_NAMES = 50
_MOST_CHARACTERS = 60_000
"""Less than Airflow means for a state, which is 64 KB. Where records are large, fewer of them are kept."""


class Result(enum.StrEnum):
    """How a run ended."""

    RUNNING = "running"
    """It had not ended when the record was written last."""

    SUCCESS = "success"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Object:
    """A backup that was made or restored.

    Attributes:
        url: of the object.
        size: in bytes.
        seconds: how long it took to make and upload it, or to fetch and restore it.
    """

    url: str
    size: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of an operation; times in ISO 8601, durations in seconds.

    Attributes:
        by: the user who asked for it, or `schedule`, or `watch`.
        reason: from the run's form.
        versions: what was installed, by service: see `versions.Installed`.
        versions_before: the same, as the last run left it that succeeded; of services that ran then.
        started: instances by the server's name, as far as the run started them.
        ended: the names of the servers that it terminated.
        objects: the backups that it made or restored, by their names in the definition.
        skipped: what it could not do on the way, such as stopping a service on a server that does not answer.
        phases: how long each took.
        critical_path: the steps that decided how long the run took.
    """

    operation: str
    run: str
    by: str
    reason: str
    began: str
    result: Result = Result.RUNNING
    over: str | None = None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    versions_before: dict[str, str] = dataclasses.field(default_factory=dict)
    started: dict[str, str] = dataclasses.field(default_factory=dict)
    ended: tuple[str, ...] = ()
    objects: dict[str, Object] = dataclasses.field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    phases: dict[str, float] = dataclasses.field(default_factory=dict)
    critical_path: dict[str, float] = dataclasses.field(default_factory=dict)


Records = tuple[Record, ...]
"""Of one operation, the oldest first."""

_RECORDS = pydantic.TypeAdapter(Records)


def key(operation: str) -> str:
    """Under which an operation's records are kept in the state of the deployment's asset."""
    return f"history:{operation}"


def load(kept: object) -> Records:
    """Records from JSON; none of what cannot be read, as a later Gantry may have written it."""
    try:
        return _RECORDS.validate_python(kept or ())
    except pydantic.ValidationError:
        return ()


def dump(records: Records) -> list[pydantic.JsonValue]:
    """Records as JSON, what is empty left out."""
    found: list[pydantic.JsonValue] = _RECORDS.dump_python(records, mode="json", exclude_defaults=True)
    return found


def opened(records: Records, record: Record) -> Records:
    """With the record of a run that begins. Earlier ones that nobody closed are those of runs that failed.

    A run of which a person clears the first task starts over; its record too.
    """
    earlier = (each for each in records if each.run != record.run)
    closed = (
        dataclasses.replace(each, result=Result.FAILED) if each.result is Result.RUNNING else each
        for each in earlier
    )
    return _fitting((*closed, _small(record)))


def closed(records: Records, record: Record) -> Records:
    """With the record of a run that has arrived, in the place of the one that it opened with."""
    return _fitting((*(each for each in records if each.run != record.run), _small(record)))


def versions_after(earlier: Records) -> dict[str, str]:
    """What runs after these records, of whatever operations: nothing after a termination."""
    changing = [each for each in earlier if each.result is Result.SUCCESS and (each.versions or each.ended)]
    last = max(changing, key=lambda each: each.began, default=None)
    return {} if last is None else last.versions


def _small(record: Record) -> Record:
    """With so much of each part as there is room for."""
    return dataclasses.replace(
        record,
        reason=record.reason[:_LONGEST_REASON],
        versions=_some(record.versions),
        versions_before=_some(record.versions_before),
        started=_some(record.started),
        ended=record.ended[:_MOST_NAMES],
        objects=_some(record.objects),
        skipped=tuple(each[:_LONGEST_REASON] for each in record.skipped[:_MOST_NAMES]),
        critical_path=_some(record.critical_path),
    )


def _some(found: dict[str, _T]) -> dict[str, _T]:
    return dict(list(found.items())[:_MOST_NAMES])


def _fitting(records: Records) -> Records:
    """The newest of them, as many as there is room for."""
    kept = records[-MOST:]
    while len(kept) > 1 and len(_RECORDS.dump_json(kept, exclude_defaults=True)) > _MOST_CHARACTERS:
        kept = kept[1:]
    return kept


def settled(record: Record, state: str | None, over: str | None = None) -> Record:
    """A record that nobody closed, with the end of its run as Airflow tells it.

    Args:
        record: it stays as it is if it was closed.
        state: the run's; None where somebody has deleted the run.
        over: when the run ended, in ISO 8601.
    """
    if record.result is not Result.RUNNING or state in ("queued", "running"):
        return record
    return dataclasses.replace(
        record, result=Result.SUCCESS if state == "success" else Result.FAILED, over=over
    )
