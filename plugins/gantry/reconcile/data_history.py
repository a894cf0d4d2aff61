"""What is known of a deployment's past: whether what has no note never had data, or whether the notes are lost.

Notes can be missing for two reasons: nothing was ever launched, or what Airflow kept is gone (another Airflow, a
metadata database restored or set up again, a person who deleted it). Only in the first case may a database be filled
from its dump without a question.
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

COMPLETE = "complete"
"""The key that says since when every database that is given data has a note. Gone when the notes are."""


def of(
    store: data_placement.Store, found: inventory.Inventory, ran: Callable[[], bool]
) -> data_renewal.DeploymentPast:
    """Look at what is kept, and where that says nothing, at what else would be there.

    Args:
        store: what is kept of the deployment.
        found: its servers.
        ran: asks whether one of the tasks that `telling` names has ever succeeded.
    """
    given_up = _given_up(store)
    if given_up is not None or is_complete(store):
        return data_renewal.DeploymentPast(given_up=given_up)
    signs = []
    if found.everything:
        some = ", ".join(f"{each.name} ({each.instance_id})" for each in found.everything[:_SOME])
        signs.append(f"the cloud has servers of it: {some}")
    if ran():
        signs.append("runs of it have loaded data in this Airflow")
    return data_renewal.DeploymentPast(is_complete=False, signs=tuple(signs))


_SOME = 3
"""Servers that are named."""


def telling(definition: models.Definition) -> list[str]:
    """The ids of the tasks after whose success there is data. A run can succeed without them: one that was rejected."""
    loading = (
        step_id(Group(GroupKind.SERVICE, str(name)), StepKind.INSTALL_DATASOURCES)
        for name in data_placement.databases(definition)
    )
    return [step_id(DEPLOYMENT, StepKind.FINISH_LAUNCH), *loading]


def is_complete(store: data_placement.Store) -> bool:
    """Whether the notes are complete: it is written there, or was implied by what an earlier Gantry wrote."""
    return store.get(COMPLETE) is not None or bool(filled_slots.load(store.get(filled_slots.KEY)))


def note_complete(store: data_placement.Store, now: str) -> None:
    """Note that every database that has data has a note from now on (ISO 8601)."""
    if store.get(COMPLETE) is None:
        store.set(COMPLETE, now)


def _given_up(store: data_placement.Store) -> datetime.datetime | None:
    """The end of the last termination that succeeded."""
    ends = [
        datetime.datetime.fromisoformat(each.over)
        for each in run_records.load(store.get(run_records.key(names.Operation.TERMINATE.value)))
        if each.result is run_records.Result.SUCCESS and each.over
    ]
    return max(ends, default=None)
