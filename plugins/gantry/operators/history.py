"""A run's record in the state of the deployment's asset: opened with its turn, closed by its last step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from airflow.sdk import Context

from gantry import errors, names, status
from gantry.operators import run as runs
from gantry.operators import turning
from gantry.status import records

_SCHEDULE = "schedule"


def open_record(context: Context, run: runs.Run) -> None:
    """Note that a run has begun. Until its last step says otherwise, it counts as one that failed.

    Backups and restores have no record here: a backup's is its manifest.
    """
    record = _record(context, run)
    if names.Operation(record.operation) in (names.Operation.BACKUP, names.Operation.RESTORE):
        return
    _change(run, record.operation, lambda kept: records.opened(kept, record))


def close_record(
    context: Context, run: runs.Run, times: status.Timeline | None = None, *, ended: Iterable[str] = ()
) -> None:
    """Note that a run has done what it is for.

    Args:
        context: of its last step.
        run: the run.
        times: where its time went.
        ended: the servers that it terminated.
    """
    now = turning.now()
    record = _record(context, run)
    launches = names.Operation(record.operation) is not names.Operation.TERMINATE
    record = dataclasses.replace(
        record,
        result=records.Result.SUCCESS,
        over=now,
        versions=_versions(run) if launches else {},
        started=_started(run, record) if launches else {},
        ended=tuple(sorted(ended)),
        phases={} if times is None else _phases(times),
        critical_path={} if times is None else _critical_path(times),
    )
    _change(run, record.operation, lambda kept: records.closed(kept, record))


def _change(run: runs.Run, operation: str, change: Callable[[records.Records], records.Records]) -> None:
    store = turning.store(run.deployment)
    key = records.key(operation)
    # One run of an operation at a time, so nobody else writes here.
    store.set(key, records.dump(change(records.load(store.get(key)))))


def _record(context: Context, run: runs.Run) -> records.Record:
    dag_run = context["dag_run"]
    who = turning.asker(context, run)
    by = dag_run.triggering_user_name or (_SCHEDULE if dag_run.run_type == "scheduled" else "")
    return records.Record(
        operation=who.operation.value, run=run.id, by=by, reason=run.reason, began=who.begun
    )


def _versions(run: runs.Run) -> dict[str, str]:
    """What the archives are now. A launch is not failed by a record that lacks something."""
    found = {}
    for name, service in run.definition.services.items():
        try:
            found[str(name)] = run.download(service.archive, service.sha256, f"service {name!r}").version
        except errors.GantryError:
            continue
    return found


def _started(run: runs.Run, record: records.Record) -> dict[str, str]:
    """The servers whose instances are younger than the run."""
    # The cloud's times have whole seconds.
    began = record.began[: len("2026-11-20T05:00:00")]
    return {
        server.name: server.instance_id
        for server in run.inventory
        if server.launched_at.isoformat()[: len(began)] >= began
    }


def _phases(times: status.Timeline) -> dict[str, float]:
    return {
        each.phase.title: round(each.span.duration.total_seconds(), 1)
        for each in times.phases
        if each.span.duration is not None
    }


def _critical_path(times: status.Timeline) -> dict[str, float]:
    return {
        link.step.id: round(link.span.duration.total_seconds(), 1)
        for link in times.critical_path
        if link.span.duration is not None
    }
