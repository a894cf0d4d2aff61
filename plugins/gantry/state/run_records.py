"""Records of a deployment's runs, which outlive Airflow's own."""

from __future__ import annotations

import dataclasses
import enum
from typing import TypeVar

import pydantic

_T = TypeVar("_T")

MOST = 50
"""Number of records that are kept per operation."""

_LONGEST_REASON = 200
_MOST_NAMES = 50
_MOST_CHARACTERS = 60_000
"""Less than Airflow's intended limit for a state, which is 64 KB. If records are large, fewer are kept."""


class Result(enum.StrEnum):
    """The outcome of a run."""

    RUNNING = "running"
    """The run had not ended when the record was last written."""

    SUCCESS = "success"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True)
class Object:
    """A backup that was created or restored.

    Attributes:
        url: the object's URL.
        size: size in bytes.
        seconds: duration of creation and upload, or of download and restore.
    """

    url: str
    size: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Record:
    """One run of an operation; times in ISO 8601, durations in seconds.

    Attributes:
        by: the user who started it, or `schedule`, or `watch`.
        reason: the reason from the run's form.
        versions: what was installed, by service: see `installed_versions.Installed`.
        versions_before: the same, at the end of the last successful run; for services that ran then.
        started: instances that the run started, by the server's name.
        ended: the names of the servers that it terminated.
        objects: the backups that it created or restored, by their names in the definition.
        skipped: what it could not do, such as stopping a service on a server that does not answer.
        phases: duration of each phase.
        critical_path: the steps that determined the run's duration.
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
"""The records of one operation, oldest first."""

_RECORDS = pydantic.TypeAdapter(Records)


def key(operation: str) -> str:
    """Return the key of an operation's records in the state of the deployment's asset."""
    return f"history:{operation}"


def load(kept: object) -> Records:
    """Load records from JSON; empty if unreadable, for example written by a later Gantry version."""
    try:
        return _RECORDS.validate_python(kept or ())
    except pydantic.ValidationError:
        return ()


def dump(records: Records) -> list[pydantic.JsonValue]:
    """Convert records to JSON without empty fields."""
    found: list[pydantic.JsonValue] = _RECORDS.dump_python(records, mode="json", exclude_defaults=True)
    return found


def opened(records: Records, record: Record) -> Records:
    """Return the records with that of a run that begins. Earlier open records are those of failed runs.

    A run whose first task is cleared starts over, and so does its record.
    """
    earlier = (each for each in records if each.run != record.run)
    closed = (
        dataclasses.replace(each, result=Result.FAILED) if each.result is Result.RUNNING else each
        for each in earlier
    )
    return _fitting((*closed, _small(record)))


def closed(records: Records, record: Record) -> Records:
    """Return the records with that of a completed run in place of the one that it opened with."""
    return _fitting((*(each for each in records if each.run != record.run), _small(record)))


def versions_after(earlier: Records) -> dict[str, str]:
    """Return what is installed after these records, of whatever operations: nothing after a termination."""
    changing = [each for each in earlier if each.result is Result.SUCCESS and (each.versions or each.ended)]
    last = max(changing, key=lambda each: each.began, default=None)
    return {} if last is None else last.versions


def _small(record: Record) -> Record:
    """Return the record with each part truncated to its size limit."""
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
    """Return the newest records that fit the size limit."""
    kept = records[-MOST:]
    while len(kept) > 1 and len(_RECORDS.dump_json(kept, exclude_defaults=True)) > _MOST_CHARACTERS:
        kept = kept[1:]
    return kept


def settled(record: Record, state: str | None, over: str | None = None) -> Record:
    """Complete an open record with the end of its run according to Airflow.

    Args:
        record: unchanged if it was closed.
        state: the run's state; None if the run was deleted.
        over: when the run ended, in ISO 8601.
    """
    if record.result is not Result.RUNNING or state in ("queued", "running"):
        return record
    return dataclasses.replace(
        record, result=Result.SUCCESS if state == "success" else Result.FAILED, over=over
    )
