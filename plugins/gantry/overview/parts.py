"""Tiers, services and servers of a deployment."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gantry import inventory as inventories
from gantry import names, status
from gantry.overview import model
from gantry.state import filled_slots, installed_versions

Versions = Mapping[tuple[names.ServiceName, names.ServerName], installed_versions.Installed]
"""The installed versions, by service and server."""


def tiers(
    known: model.CompiledDefinition,
    states: status.DeploymentStatus | None,
    inventory: inventories.Inventory | None = None,
    slots: filled_slots.Slots | None = None,
) -> tuple[model.TierView, ...]:
    """Return each tier's servers. If no run shows its state (any more), there may be servers all the same."""
    if states is not None:
        return tuple(model.TierView(each.tier, each.running, each.wanted) for each in states.tiers)
    if inventory is None:
        return tuple(model.TierView(each.tier, 0, each.minimum) for each in known.plan.tiers)
    return tuple(
        model.TierView(
            each.tier,
            sum(server.state is inventories.InstanceState.RUNNING for server in inventory.of_tier(each.tier)),
            status.wanted(each, inventory, slots or {}),
        )
        for each in known.plan.tiers
    )


def services(
    known: model.CompiledDefinition,
    states: status.DeploymentStatus | None,
    versions: Mapping[str, str] | None = None,
    on: Collection[model.ServerView] = (),
) -> tuple[model.ServiceView, ...]:
    """Return each service, in the order of the definition.

    Args:
        known: the definition.
        states: the states according to the last run.
        versions: the versions that the last run installed.
        on: the servers, with the versions that are installed there.
    """
    return tuple(
        model.ServiceView(
            name,
            service.id,
            service.tier,
            None if states is None else states.service(name),
            {}
            if states is None
            else {server: state for (each, server), state in states.services.items() if each == name},
            (versions or {}).get(str(name), ""),
            {server.name: server.installed[name] for server in on if name in server.installed},
        )
        for name, service in known.definition.services.items()
    )


def servers(
    known: model.CompiledDefinition,
    states: status.DeploymentStatus | None,
    inventory: inventories.Inventory | None,
    versions: Versions,
) -> tuple[model.ServerView, ...]:
    """Return each server that a task or the cloud knows, by tier and slot, with its current instance's versions."""
    agents = {} if states is None else states.agents
    every = dict.fromkeys((*agents, *(each.name for each in inventory or ())))
    of_tier = {name: each.tier for each in known.plan.tiers for name in each.names}
    found = []
    for name in every:
        instance = None if inventory is None else inventory.named(name)
        found.append(
            model.ServerView(
                name,
                instance.tier if instance is not None else of_tier.get(name, names.TierName("")),
                agents.get(name),
                {}
                if states is None
                else {service: state for (service, where), state in states.services.items() if where == name},
                instance,
                installed_versions.on(versions, name, None if instance is None else instance.instance_id),
            )
        )
    order = [each.tier for each in known.plan.tiers]
    return tuple(sorted(found, key=lambda each: _place(each, order)))


def recorded_servers(versions: Versions) -> tuple[model.ServerView, ...]:
    """Return the servers with installed versions: without the definition this is all that is known of them."""
    return tuple(
        model.ServerView(name, names.TierName(""), installed=installed_versions.on(versions, name, None))
        for name in sorted({server for _, server in versions})
    )


def _place(server: model.ServerView, order: list[names.TierName]) -> tuple[int, int, str]:
    # The names of a tier's servers differ in the slot's number only.
    place = order.index(server.tier) if server.tier in order else len(order)
    return place, len(server.name), server.name
