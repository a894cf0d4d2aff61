"""A deployment's past: whether an unrecorded database never had data, or whether the records are lost.

Records can be missing for two reasons: nothing was ever launched, or Airflow's state is lost (another Airflow, a
metadata database that was restored or set up again, a person who deleted it). Only in the first case may a database be
loaded from its dump without asking.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable

from gantry import inventory, names
from gantry.definition import models
from gantry.plan import Group, GroupKind, StepKind
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import data_placement, data_renewal
from gantry.state import filled_slots, run_records
from gantry.state.store import Store

COMPLETE = "complete"
"""Key of the time since when every database with data has a record. It is lost together with the records."""


def of(store: Store, found: inventory.Inventory, ran: Callable[[], bool]) -> data_renewal.DeploymentPast:
    """Read the stored state, and if it is inconclusive, look for other evidence of data.

    Args:
        store: the deployment's stored state.
        found: the deployment's servers.
        ran: returns whether one of the tasks that `telling` names has ever succeeded.
    """
    given_up = _given_up(store)
    if given_up is not None or is_complete(store):
        return data_renewal.DeploymentPast(given_up=given_up)
    signs = []
    if found.everything:
        some = ", ".join(f"{each.name} ({each.instance_id})" for each in found.everything[:_SOME])
        signs.append(f"the cloud has servers with it: {some}")
    if ran():
        signs.append("runs of it have loaded data in this Airflow")
    return data_renewal.DeploymentPast(is_complete=False, signs=tuple(signs))


_SOME = 3
"""Number of servers that are named in a message."""


def telling(definition: models.Definition) -> list[str]:
    """Return the ids of tasks after whose success there is data. A run can succeed without them, if it was rejected."""
    loading = (
        step_id(Group(GroupKind.SERVICE, str(name)), StepKind.INSTALL_DATASOURCES)
        for name in data_placement.databases(definition)
    )
    return [step_id(DEPLOYMENT, StepKind.FINISH_LAUNCH), *loading]


def is_complete(store: Store) -> bool:
    """Return whether the records are complete: stated by the stored state, or implied by an older Gantry's."""
    return store.get(COMPLETE) is not None or bool(filled_slots.load(store.get(filled_slots.KEY)))


def note_complete(store: Store, now: str) -> None:
    """Record that from now on (ISO 8601), every database with data has a record."""
    if store.get(COMPLETE) is None:
        store.set(COMPLETE, now)


def _given_up(store: Store) -> datetime.datetime | None:
    """Return the end of the last successful termination."""
    ends = [
        datetime.datetime.fromisoformat(each.over)
        for each in run_records.load(store.get(run_records.key(names.Operation.TERMINATE.value)))
        if each.result is run_records.Result.SUCCESS and each.over
    ]
    return max(ends, default=None)
