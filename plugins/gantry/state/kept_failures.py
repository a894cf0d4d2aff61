"""What stopped failed tasks: kept beside the records of their runs, which outlive Airflow's own.

Each task instance has a key of its own, so tasks that fail at the same time do not overwrite each other's. It has the
failures of its last failed runs. Records of an older Gantry have none.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping

from gantry import errors

MOST = 5
"""Number of runs whose failures are kept for each task instance."""

_MOST_FAILURES = 20
"""Number of failures that are kept of one run: a task may fail on many servers."""

_LONGEST_LINE = 500
_DETAILS = (4_000, 1_000, 0)
"""Characters that are kept of a failure's detail, from its end: the most of these that fit."""

_MOST_CHARACTERS = 60_000
"""As in `run_records`: less than Airflow's intended limit for a state, which is 64 KB."""

_PREFIX = "failures:"

TaskKey = tuple[str, int]
"""A task instance of a run: its task's id and its map index."""


@dataclasses.dataclass(frozen=True)
class FailedTry:
    """The last failed try of a task instance in one run.

    Attributes:
        at: when it failed, in ISO 8601.
        failures: what stopped it; texts are masked, and truncated to their size limits.
    """

    run: str
    at: str
    failures: tuple[errors.Failure, ...]


FailedTries = tuple[FailedTry, ...]
"""Those of one task instance, oldest first."""


def prefix(operation: str) -> str:
    """Return the common beginning of the keys of an operation's tasks."""
    return f"{_PREFIX}{operation}@"


def key(operation: str, task: TaskKey) -> str:
    """Return the key of a task instance in the state of the deployment's asset."""
    return f"{prefix(operation)}{task[0]}@{task[1]}"


def of_run(kept: Mapping[str, object], operation: str, run: str) -> dict[TaskKey, FailedTry]:
    """Return the failed task instances of one run, from the state of the deployment's asset."""
    start = prefix(operation)
    found: dict[TaskKey, FailedTry] = {}
    for each, value in kept.items():
        task, _, index = each.removeprefix(start).rpartition("@")
        if each.startswith(start) and index.removeprefix("-").isdecimal():
            found |= {(task, int(index)): tried for tried in load(value) if tried.run == run}
    return found


def load(kept: object) -> FailedTries:
    """Load from JSON, without what cannot be read, for example since a later Gantry version wrote it."""
    return tuple(_loaded(kept)) if isinstance(kept, list) else ()


def _loaded(kept: Iterable[object]) -> Iterator[FailedTry]:
    for each in kept:
        if isinstance(each, Mapping) and isinstance(each.get("run"), str):
            failures = errors.Failure.load_all(each.get("failures"))
            yield FailedTry(each["run"], str(each.get("at") or ""), failures)


def dump(tries: FailedTries) -> list[dict[str, object]]:
    """Convert to JSON without empty fields."""
    return [
        {"run": each.run, "at": each.at, "failures": [_dumped(failure) for failure in each.failures]}
        for each in tries
    ]


def added(kept: FailedTries, new: FailedTry) -> FailedTries:
    """Return the failed tries with that of a run, which replaces an earlier one of the same run, within the limits."""
    tries = (*without(kept, new.run)[1 - MOST :], _small(new))
    while len(tries) > 1 and _size(tries) > _MOST_CHARACTERS:
        tries = tries[1:]
    return tries


def without(kept: FailedTries, run: str) -> FailedTries:
    """Return the failed tries without that of a run, which is tried again."""
    return tuple(each for each in kept if each.run != run)


def _small(tried: FailedTry) -> FailedTry:
    left_out = len(tried.failures) - _MOST_FAILURES
    more = (errors.Failure(f"{left_out} more failures of this task were not kept"),) if left_out > 0 else ()
    found = tried
    for most in _DETAILS:
        failures = (
            dataclasses.replace(
                each,
                headline=each.headline[:_LONGEST_LINE],
                advice=each.advice[:_LONGEST_LINE],
                detail=each.detail[len(each.detail) - most :] if most < len(each.detail) else each.detail,
            )
            for each in tried.failures[:_MOST_FAILURES]
        )
        found = dataclasses.replace(tried, failures=(*failures, *more))
        if _size((found,)) <= _MOST_CHARACTERS:
            break
    return found


def _size(tries: FailedTries) -> int:
    return len(json.dumps(dump(tries)))


def _dumped(failure: errors.Failure) -> dict[str, object]:
    return {key: value for key, value in failure.dump().items() if value not in ("", None, False)}
