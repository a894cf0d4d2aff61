"""A run's record in the deployment's state: opened when the run gets its turn, closed by its last step."""

from __future__ import annotations

import dataclasses
import datetime
import types
from collections.abc import Callable, Iterable, Mapping

from airflow.sdk import Context

from gantry import errors, names, requests, status
from gantry.plan import KEEPS_STATE, Group, GroupKind, StepKind
from gantry.plan.steps import step_id
from gantry.reconcile import step_run
from gantry.runtime import lock_holder, xcom
from gantry.state import installed_versions, run_records

_BY = {"scheduled": "schedule", "operator_triggered": "watch"}
"""Who started a run that no person has started, by Airflow's run type."""


def open_record(context: Context, run: step_run.StepRun) -> None:
    """Record that a run has begun. Until its last step says otherwise, the run counts as failed."""
    record = _record(context, run)
    _change(run, record.operation, lambda kept: run_records.opened(kept, record))


def close_record(
    context: Context,
    run: step_run.StepRun,
    times: status.Timeline | None = None,
    *,
    ended: Iterable[str] = (),
    objects: Mapping[str, run_records.Object] = types.MappingProxyType({}),
    skipped: Iterable[str] = (),
) -> None:
    """Record that a run has succeeded.

    Args:
        context: the context of the run's last step.
        run: the run.
        times: the durations of the run's phases.
        ended: the servers that it terminated.
        objects: the backups that it created or restored, by name.
        skipped: what it could not do.
    """
    now = lock_holder.now()
    record = _record(context, run)
    launches = run.step.kind is StepKind.FINISH_LAUNCH
    record = dataclasses.replace(
        record,
        result=run_records.Result.SUCCESS,
        over=now,
        versions=_versions(run) if launches else {},
        versions_before=_before(run) if launches else {},
        started=_started(run, record) if launches else {},
        ended=tuple(sorted(ended)),
        objects=dict(objects),
        skipped=tuple(skipped),
        phases={} if times is None else _phases(times),
        critical_path={} if times is None else _critical_path(times),
    )
    _change(run, record.operation, lambda kept: run_records.closed(kept, record))


def made(context: Context, run: step_run.StepRun) -> dict[str, run_records.Object]:
    """Return the backups that a run has created and recorded, by name."""
    return {
        str(step.backup): run_records.Object(
            url=report["object"],
            size=report["size"],
            seconds=seconds(context, Group(GroupKind.BACKUP, str(step.backup)), StepKind.BACK_UP),
        )
        for step in run.plan
        if step.kind is StepKind.KEEP_BACKUP
        for report in xcom.reports(context, step.id)
    }


def seconds(context: Context, group: Group, kind: StepKind) -> float:
    """Return how many seconds a step has worked."""
    spans = (
        datetime.datetime.fromisoformat(report["ended"]) - datetime.datetime.fromisoformat(report["started"])
        for report in xcom.reports(context, step_id(group, kind))
    )
    return round(sum(each.total_seconds() for each in spans), 1)


def _change(
    run: step_run.StepRun, operation: str, change: Callable[[run_records.Records], run_records.Records]
) -> None:
    store = lock_holder.store(run.deployment)
    key = run_records.key(operation)
    # An operation has only one run at a time, so there is no other writer.
    store.set(key, run_records.dump(change(run_records.load(store.get(key)))))


def _record(context: Context, run: step_run.StepRun) -> run_records.Record:
    dag_run = context["dag_run"]
    who = lock_holder.asker(context, run)
    by = dag_run.triggering_user_name or _BY.get(dag_run.run_type, "")
    return run_records.Record(
        operation=who.operation.value,
        run=run.id,
        by=by,
        reason=run.asked(requests.ReasonedRequest).reason,
        began=who.begun,
    )


def _versions(run: step_run.StepRun) -> dict[str, str]:
    """Return the installed versions. A launch must not fail because its record is incomplete."""
    found = {}
    store = lock_holder.store(run.deployment)
    for name, service in run.definition.services.items():
        # By now, all servers have the same versions. The digest of an archive is known to the servers only, not to the
        # store.
        for server in run.inventory.of_tier(service.tier)[:1]:
            noted = installed_versions.load(store.get(installed_versions.PLACES.key(name, server.name)))
            if noted is not None and noted.version and noted.instance == server.instance_id:
                found[str(name)] = noted.version
        if str(name) in found:
            continue
        try:
            found[str(name)] = run.download(service.archive, service.sha256, f"service {name!r}").version
        except errors.GantryError:
            continue
    return found


def _before(run: step_run.StepRun) -> dict[str, str]:
    """Return the archives' versions at the end of the previous run."""
    store = lock_holder.store(run.definition.deployment)
    changing = (each for each in names.Operation if each not in KEEPS_STATE)
    found = (
        each
        for operation in changing
        for each in run_records.load(store.get(run_records.key(operation.value)))
    )
    return run_records.versions_after(tuple(each for each in found if each.run != run.id))


def _started(run: step_run.StepRun, record: run_records.Record) -> dict[str, str]:
    """Return the servers whose instances are younger than the run."""
    # The cloud's times have a resolution of one second.
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
