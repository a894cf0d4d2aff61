"""What `find_lost` has decided, for the steps that come after it."""

from __future__ import annotations

from airflow.sdk import Context

from gantry import names
from gantry.operators import base, data, turning
from gantry.operators import run as runs
from gantry.plan import StepKind
from gantry.plan.steps import DEPLOYMENT, step_id

FIND_LOST = step_id(DEPLOYMENT, StepKind.FIND_LOST)


def slots(context: Context, tier: names.TierName) -> tuple[names.Slot, ...]:
    """The slots of a tier that this run fills in any case: those of lost servers."""
    return tuple(
        names.Slot(slot)
        for report in base.reports(context, FIND_LOST)
        for slot in report.get("slots", {}).get(tier, ())
    )


def memory(run: runs.Run) -> data.Memory:
    """Where the deployment's data is."""
    return data.Memory(turning.store(run.definition.deployment), run.definition)
