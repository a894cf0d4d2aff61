"""Lost servers: recorded for later checks, described for people, and passed to the steps after `find_lost`."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import Context

from gantry import inventory, names
from gantry.plan import StepKind
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import data_placement, server_health, step_run
from gantry.runtime import lock_holder, xcom

FIND_LOST = step_id(DEPLOYMENT, StepKind.FIND_LOST)


def slots(context: Context, tier: names.TierName) -> tuple[names.Slot, ...]:
    """Return the slots of a tier that this run fills in any case: those of lost servers."""
    return tuple(
        names.Slot(slot)
        for report in xcom.reports(context, FIND_LOST)
        for slot in report.get("slots", {}).get(tier, ())
    )


def needless(context: Context) -> frozenset[str]:
    """Return the ids of the steps that this run has skipped, since they have nothing to do on any server."""
    return frozenset(
        step for report in xcom.reports(context, FIND_LOST) for step in report.get(xcom.NEEDLESS, ())
    )


def memory(run: step_run.StepRun) -> data_placement.DataLocations:
    """Return where the deployment's data is."""
    return data_placement.DataLocations(lock_holder.store(run.definition.deployment), run.definition)


def remember(run: step_run.StepRun, findings: server_health.HealthReport) -> None:
    """Record the checks that found servers unhealthy, and delete the records of servers that answered."""
    noted: dict[inventory.Ailing, list[inventory.Server]] = {}
    for each in findings.troubles:
        if each.looks != each.server.ailing:
            noted.setdefault(each.looks, []).append(each.server)
    for looks, servers in noted.items():
        run.health.note_ailing(servers, looks)
    # An instance that is stopped and will run again starts from scratch.
    down = [each for each in run.inventory if each.state is not inventory.InstanceState.RUNNING]
    again = [each for each in (*findings.well, *down) if each.ailing is not None]
    if again:
        run.health.note_well(again)


def said(findings: server_health.HealthReport) -> Iterator[str]:
    """Yield lines about servers that are neither lost nor healthy."""
    for each in findings.ailing:
        yield f"{each.server.name}: {each}; {each.outlook}"
    for name, what in findings.key_mismatches.items():
        yield (
            f"{name}: {what}. It is neither used nor replaced: find out which server answers there; to replace it, "
            f"name it in NAME.recover"
        )
    for name, what in findings.refusing.items():
        yield f"{name}: {what}. It exists, so it is not replaced"
    for name, what in findings.busy.items():
        yield f"{name}: {what}. Too many connections at once, or it is starting; that does not mean that it is lost"
    for name, what in findings.unreached.items():
        yield f"{name}: it was not checked, so its state is unknown: {what}"
