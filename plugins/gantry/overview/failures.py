"""The failed tasks of a run, and what stopped them: from Airflow, or from what is kept beside the run's record."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Mapping

from gantry import errors, names, status
from gantry.overview import model, records
from gantry.overview import snapshot as snapshots
from gantry.state import kept_failures, run_records

_LAST = datetime.datetime.max.replace(tzinfo=datetime.UTC)

Reader = Callable[[model.TaskInstanceRow], tuple[errors.Failure, ...] | None]
"""Returns what stopped a failed task: see `model.FailedTask.failures`."""


def failed_tasks(
    instances: Iterable[model.TaskInstanceRow], failures: Reader
) -> tuple[model.FailedTask, ...]:
    """Return the failed ones of these task instances, the first to fail first, with what stopped each."""
    failed = (each for each in instances if each.view.state is status.TaskState.FAILED)
    return tuple(
        model.FailedTask(each, failures(each))
        for each in sorted(failed, key=lambda each: each.view.ended or _LAST)
    )


def completed(
    found: Collection[model.FailedTask], kept: Mapping[kept_failures.TaskKey, kept_failures.FailedTry]
) -> tuple[model.FailedTask, ...]:
    """Return failed tasks with the kept failures of those whose XComs are gone."""
    return tuple(
        dataclasses.replace(each, failures=tried.failures)
        if each.failures == () and (tried := kept.get(each.key)) is not None
        else each
        for each in found
    )


def allowed(found: Iterable[model.FailedTask], *, xcoms: bool, logs: bool) -> tuple[model.FailedTask, ...]:
    """Leave out what a reader may not see: failures are kept as XComs, and their details are text of a log."""
    if not xcoms:
        return tuple(dataclasses.replace(each, failures=None) for each in found)
    return tuple(found) if logs else tuple(map(_shortened, found))


def _shortened(task: model.FailedTask) -> model.FailedTask:
    if task.failures is None:
        return task
    failures = tuple(dataclasses.replace(each, detail="") for each in task.failures)
    return dataclasses.replace(task, failures=failures, is_shortened=failures != task.failures)


def recorded_run(
    name: str, operation: names.Operation, run: str, kept: records.Kept
) -> snapshots.RunSnapshot | None:
    """Return a run that Airflow has forgotten, as far as its record and its kept failures show it; else None.

    Args:
        name: the deployment.
        operation: the run's operation.
        run: its id.
        kept: the state of the deployment's asset.
    """
    every = records.history(name, kept, lambda _: {})
    record = next((each for each in every if (each.operation, each.run) == (operation.value, run)), None)
    if record is None or not record.began:
        return None
    began = datetime.datetime.fromisoformat(record.began)
    is_scheduled = record.by == "schedule"
    shown = model.Run(
        names.dag_id(name, operation),
        run,
        record.result.value,
        began,
        began,
        None if record.over is None else datetime.datetime.fromisoformat(record.over),
        None if is_scheduled else record.by or None,
        is_scheduled,
        record.reason,
    )
    tries = kept_failures.of_run(kept, operation.value, run)
    has_failed = record.result is run_records.Result.FAILED
    failed = tuple(_instance(*each) for each in tries.items()) if has_failed else ()
    return snapshots.RunSnapshot(shown, None, failed, is_recorded=True)


def _instance(task: kept_failures.TaskKey, tried: kept_failures.FailedTry) -> model.TaskInstanceRow:
    servers = dict.fromkeys(names.ServerName(each.server) for each in tried.failures if each.server)
    ended = datetime.datetime.fromisoformat(tried.at) if tried.at else None
    return model.TaskInstanceRow(
        status.TaskView(*task, state=status.TaskState.FAILED, ended=ended, servers=tuple(servers))
    )
