"""Recently started instances: the cloud may list an instance only some seconds after it has returned its id.

A step that took the list for complete would report too few servers to the others (a database would grant access to
some of them only), or start a second server for the same slot. So `scale_up` records what it starts in the state of
the deployment's asset, and every step of every operation waits until all of it is listed.

Each tier has its own record, since tiers start in parallel and Airflow's store knows no locks. A run that takes the
deployment's lock sums them up in one more, so that its steps read one value instead of one per tier. A task that
records a start discards that sum.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection, Iterable

import pydantic

from gantry import names
from gantry.inventory import Server
from gantry.plan import StepKind
from gantry.reconcile import step_run
from gantry.runtime import asset_state, lock_holder

_LISTED_AFTER = datetime.timedelta(minutes=15)
"""Older instances are listed or gone: a step that is cleared next week does not wait for last week's servers."""

_NOTED: pydantic.TypeAdapter[dict[str, datetime.datetime]] = pydantic.TypeAdapter(
    dict[str, datetime.datetime]
)


SUM = "started"
"""The key of the records of all tiers together: complete, or missing."""


def key(tier: names.TierName) -> str:
    """Return the key of a tier's recently started instances, stored with their start times (ISO 8601)."""
    return f"started:{tier}"


class _Full(pydantic.BaseModel):
    """Subnets without free addresses, and the generation of the step that found them so."""

    asked_by: str
    subnets: frozenset[str]


def key_full(tier: names.TierName) -> str:
    """Return the key of the subnets that have no room for a tier's servers."""
    return f"full:{tier}"


def full(run: step_run.StepRun) -> frozenset[str]:
    """Return the subnets that earlier tries of this step, since its last clear, found full."""
    try:
        noted = _Full.model_validate(lock_holder.store(run.definition.deployment).get(key_full(run.tier)))
    except pydantic.ValidationError:
        # Nothing is stored, or another Gantry version has written it.
        return frozenset()
    return noted.subnets if noted.asked_by == _asker(run) else frozenset()


def note_full(run: step_run.StepRun, subnets: frozenset[str]) -> None:
    """Record which subnets are full, before another one is tried: a retry starts from there."""
    noted = _Full(asked_by=_asker(run), subnets=subnets)
    lock_holder.store(run.definition.deployment).set(key_full(run.tier), noted.model_dump(mode="json"))


def _asker(run: step_run.StepRun) -> str:
    return f"{run.digest} {run.key.epoch}"


def aware(run: step_run.StepRun) -> step_run.StepRun:
    """Return the same try, made to wait until the cloud lists the recently started instances.

    When servers are started, those of other tiers do not matter: tiers start in parallel.
    """
    tiers = (run.tier,) if run.step.kind is StepKind.SCALE_UP else tuple(run.definition.tiers)
    return dataclasses.replace(run, started=functools.partial(lately, run.definition.deployment, tiers))


def note(run: step_run.StepRun, servers: Iterable[Server]) -> None:
    """Record servers of the run's tier as started now. Recent records are kept."""
    now = _now()
    store = lock_holder.store(run.definition.deployment)
    noted = _young(store.get(key(run.tier)), now)
    new = {each.instance_id: now for each in servers if each.instance_id not in noted}
    if new:
        # Before, for a reader in between; and after, if a run has taken the lock in between and summed up without it.
        store.delete(SUM)
        store.set(key(run.tier), _NOTED.dump_python({**noted, **new}, mode="json"))
        store.delete(SUM)


def sum_up(run: step_run.StepRun) -> None:
    """Store the records of all tiers as one. Only for a run that has just taken the lock: nothing is being started."""
    now = _now()
    store = lock_holder.store(run.definition.deployment)
    store.set(SUM, _NOTED.dump_python(_of_tiers(store, run.definition.tiers, now), mode="json"))


def lately(deployment: names.DeploymentName, tiers: Collection[names.TierName]) -> frozenset[str]:
    """Return the ids of instances that were started so recently that the cloud may not list them yet.

    With several tiers, possibly those of all tiers.
    """
    now = _now()
    store = lock_holder.store(deployment)
    if len(tiers) > 1 and (summed := store.get(SUM)) is not None:
        return frozenset(_young(summed, now))
    return frozenset(_of_tiers(store, tiers, now))


def _of_tiers(
    store: asset_state.DeploymentStore, tiers: Iterable[names.TierName], now: datetime.datetime
) -> dict[str, datetime.datetime]:
    return {instance: at for tier in tiers for instance, at in _young(store.get(key(tier)), now).items()}


def _young(kept: object, now: datetime.datetime) -> dict[str, datetime.datetime]:
    try:
        noted = _NOTED.validate_python(kept or {})
    except pydantic.ValidationError:
        # Another Gantry version may have written it.
        return {}
    return {instance: at for instance, at in noted.items() if now - at < _LISTED_AFTER}


def _now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.UTC)
