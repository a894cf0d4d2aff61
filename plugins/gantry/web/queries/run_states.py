"""View of a run's tasks and plan, by the same functions that the last task and the command line use."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gantry import inventory as inventories
from gantry import names, plan, status
from gantry.state import filled_slots
from gantry.status import tasks
from gantry.web.queries import model

_DONE = (status.Progress.SUCCEEDED, status.Progress.NOT_APPLICABLE, status.Progress.LEFT_OUT)


def scene(
    run: model.Run,
    known: model.Known,
    instances: Collection[model.TaskInstanceRow],
    inventory: inventories.Inventory | None,
    slots: filled_slots.Slots,
    *,
    before: plan.DeploymentState,
) -> model.RunSnapshot:
    """Return one run at one point in time. `slots` were filled at the end of the last launch."""
    views = [each.view for each in instances]
    seen = None
    if run.operation not in plan.KEEPS_STATE:
        seen = status.deployment_status(
            known.plan,
            views,
            inventory,
            run_ended=run.is_over,
            before=before,
            slots=slots,
        )
    return model.RunSnapshot(run, known, tuple(instances), seen)


def progress(found: model.RunSnapshot) -> model.RunProgress:
    """Return the progress of a run, in the phases that have work."""
    phases = tasks.Steps(found.known.plan, [each.view for each in found.instances]).phases()
    counted = {phase: each for phase, each in phases.items() if each is not status.Progress.NOT_APPLICABLE}
    done = sum(each in _DONE for each in counted.values())
    current = found.states.phase if found.states is not None else None
    if current is None:
        current = next(
            (phase for phase, each in counted.items() if each is status.Progress.IN_PROGRESS), None
        )
    return model.RunProgress(current, done, len(counted))


def tiers(known: model.Known, seen: status.DeploymentStatus | None) -> tuple[model.TierView, ...]:
    """Return each tier's servers; none run before the first launch."""
    if seen is None:
        return tuple(model.TierView(each.tier, 0, each.fewest) for each in known.plan.tiers)
    return tuple(model.TierView(each.tier, each.running, each.wanted) for each in seen.tiers)


def services(
    known: model.Known, seen: status.DeploymentStatus | None, versions: Mapping[str, str]
) -> tuple[model.ServiceView, ...]:
    """Return each service, in the order of the definition."""
    found = []
    for name, service in known.definition.services.items():
        states: dict[names.ServerName, plan.ServiceState] = {}
        if seen is not None:
            states = {server: state for (each, server), state in seen.services.items() if each == name}
        together = None if seen is None else seen.service(name)
        found.append(
            model.ServiceView(name, service.id, service.tier, together, states, versions.get(str(name), ""))
        )
    return tuple(found)


def servers(
    known: model.Known,
    seen: status.DeploymentStatus | None,
    inventory: inventories.Inventory | None,
    console: str = "",
) -> tuple[model.ServerView, ...]:
    """Return each server that a task or the cloud knows, by tier and slot.

    Args:
        known: the definition.
        seen: the states according to the last run.
        inventory: the cloud's answer, or None.
        console: the URL prefix of instances' pages in the cloud's console, if there is one.
    """
    agents = {} if seen is None else dict(seen.agents)
    every = dict.fromkeys((*agents, *(each.name for each in inventory or ())))
    of_tier = {name: each.tier for each in known.plan.tiers for name in each.names}
    found = []
    for name in every:
        instance = None if inventory is None else inventory.named(name)
        tier = instance.tier if instance is not None else of_tier.get(name, names.TierName(""))
        states: dict[names.ServiceName, plan.ServiceState] = {}
        if seen is not None:
            states = {service: state for (service, where), state in seen.services.items() if where == name}
        link = f"{console}{instance.instance_id}" if instance is not None and console else None
        found.append(model.ServerView(name, tier, agents.get(name), states, instance, link))
    order = [each.tier for each in known.plan.tiers]
    return tuple(sorted(found, key=lambda each: _place(each, order)))


def _place(server: model.ServerView, order: list[names.TierName]) -> tuple[int, int, str]:
    # The names of a tier's servers differ in the slot's number only.
    place = order.index(server.tier) if server.tier in order else len(order)
    return place, len(server.name), server.name
