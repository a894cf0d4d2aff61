"""What was started just now: the cloud may list it some seconds later than it has named it.

A step that took the list for complete would tell the others of too few servers (a database would grant its access to
some of them only), or start a second server for the same slot. So `scale_up` notes what it starts with the
deployment's asset, and every step of every operation waits until the list has it.
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
from gantry.runtime import lock_holder

_LISTED_AFTER = datetime.timedelta(minutes=15)
"""What is older is listed, or is gone: whoever clears a step next week does not wait for last week's servers."""

_NOTED: pydantic.TypeAdapter[dict[str, datetime.datetime]] = pydantic.TypeAdapter(
    dict[str, datetime.datetime]
)


def key(tier: names.TierName) -> str:
    """Under which a tier's young instances are kept, with the moments (ISO 8601) of their starts."""
    return f"started:{tier}"


class _Full(pydantic.BaseModel):
    """Subnets without room, and the generation of the step that has found them so."""

    asked_by: str
    subnets: frozenset[str]


def key_full(tier: names.TierName) -> str:
    """Under which it is kept which subnets have no room for a tier's servers."""
    return f"full:{tier}"


def full(run: step_run.StepRun) -> frozenset[str]:
    """The subnets that earlier tries of this step, since its last clear, have found without room."""
    try:
        noted = _Full.model_validate(lock_holder.store(run.definition.deployment).get(key_full(run.tier)))
    except pydantic.ValidationError:
        # There is nothing, or another Gantry has written it.
        return frozenset()
    return noted.subnets if noted.asked_by == _asker(run) else frozenset()


def note_full(run: step_run.StepRun, subnets: frozenset[str]) -> None:
    """Note which subnets have no room, before another one is asked: a try that is repeated begins there."""
    noted = _Full(asked_by=_asker(run), subnets=subnets)
    lock_holder.store(run.definition.deployment).set(key_full(run.tier), noted.model_dump(mode="json"))


def _asker(run: step_run.StepRun) -> str:
    return f"{run.digest} {run.key.epoch}"


def aware(run: step_run.StepRun) -> step_run.StepRun:
    """The same try, that waits until the cloud lists what was started lately.

    Where servers are started, other tiers' do not matter: tiers start side by side.
    """
    tiers = (run.tier,) if run.step.kind is StepKind.SCALE_UP else tuple(run.definition.tiers)
    return dataclasses.replace(run, started=functools.partial(lately, run.definition.deployment, tiers))


def note(run: step_run.StepRun, servers: Iterable[Server]) -> None:
    """Note that servers of the run's tier were started now. What was noted lately stays."""
    now = _now()
    store = lock_holder.store(run.definition.deployment)
    noted = _young(store.get(key(run.tier)), now)
    new = {each.instance_id: now for each in servers if each.instance_id not in noted}
    if new:
        store.set(key(run.tier), _NOTED.dump_python({**noted, **new}, mode="json"))


def lately(deployment: names.DeploymentName, tiers: Collection[names.TierName]) -> frozenset[str]:
    """The instances, by ids, that were started so lately that the cloud may not list them yet."""
    now = _now()
    store = lock_holder.store(deployment)
    return frozenset(instance for tier in tiers for instance in _young(store.get(key(tier)), now))


def _young(kept: object, now: datetime.datetime) -> dict[str, datetime.datetime]:
    try:
        noted = _NOTED.validate_python(kept or {})
    except pydantic.ValidationError:
        # Another Gantry may have written it.
        return {}
    return {instance: at for instance, at in noted.items() if now - at < _LISTED_AFTER}


def _now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.UTC)
