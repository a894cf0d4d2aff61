"""Preview of scaling: what happens to the deployment's servers, and notes about those that stay."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterator, Mapping

from gantry import errors, inventory, names
from gantry.cloud import servers
from gantry.definition import models
from gantry.inventory import Server
from gantry.preview import placeholders, report
from gantry.preview.report import Action
from gantry.reconcile import replacement, server_health, tier_size


@dataclasses.dataclass(frozen=True)
class Scaled:
    """The deployment's servers after every tier is scaled up.

    Attributes:
        inventory: all servers; those to be started have placeholders for addresses.
        actions: what happens to each.
        notes: what the user should know of unchanged servers, and why others are replaced.
        replaced: the lost servers whose slots are filled again.
    """

    inventory: inventory.Inventory
    actions: dict[names.ServerName, Action]
    notes: dict[names.ServerName, tuple[str, ...]]
    replaced: Mapping[names.ServerName, Server] = dataclasses.field(default_factory=dict)

    def report(
        self, definition: models.Definition, unknowns: Mapping[names.ServerName, str]
    ) -> Iterator[report.ServerPreview]:
        """Yield the servers for the report."""
        for server in self.inventory:
            action = self.actions[server.name]
            new = action in (Action.START, Action.REPLACE)
            before = self.replaced.get(server.name)
            launch = definition.launch_configuration_of(server.tier) if new else None
            yield report.ServerPreview(
                name=server.name,
                tier=server.tier,
                action=action,
                instance=before.instance_id if before else None if new else server.instance_id,
                address=placeholders.shown(server.private_address or placeholders.SHOWN),
                image=launch.image if launch else server.image,
                size=launch.size if launch else server.size,
                unknown=unknowns.get(server.name),
                notes=self.notes.get(server.name, ()),
            )
        for server in self.inventory.leaving:
            if server in self.replaced.values():
                continue
            yield report.ServerPreview(
                name=server.name,
                tier=server.tier,
                action=Action.REMOVE,
                instance=server.instance_id,
                address=placeholders.shown(server.private_address or placeholders.SHOWN),
                image=server.image,
                size=server.size,
                notes=("a scale in has chosen it" if server.lost is None else f"it is lost: {server.lost}",),
            )


def kept(found: inventory.Inventory) -> Scaled:
    """Return a scaling that keeps every server as it is."""
    return Scaled(found, dict.fromkeys((each.name for each in found), Action.KEEP), {})


def scale(
    cloud: servers.Servers,
    definition: models.Definition,
    wanted: dict[str, int],
    findings: server_health.HealthReport = server_health.NOTHING,
    before: replacement.Slots = types.MappingProxyType({}),
) -> Scaled:
    """Return the result of replacing lost servers and scaling every tier up.

    Args:
        cloud: the servers in the cloud.
        definition: the deployment's definition.
        wanted: the wanted number of servers of each tier.
        findings: the servers' health.
        before: the slots that were filled at the end of the last run, as far as known.

    Raises:
        NoServerAnswersError: a launch would not start.
        ServerCountError: the wanted number of servers is outside a tier's limits.
        UnknownImageError, UnknownParameterError: servers are to be started from an image that does not exist.
        CloudError: the cloud refused.
    """
    there = cloud.find()
    choice = replacement.choose(definition, there, findings, None, before)
    found = choice.staying(there)
    every = {server.name: server for server in found}
    actions = dict.fromkeys(every, Action.KEEP)
    notes = {server.name: _forgotten(server, definition) for server in found}
    for tier in definition.tiers:
        count = tier_size.wanted_servers(definition, tier, wanted[tier])
        count = tier_size.or_remembered(definition, tier, count, found)
        launch = definition.launch_configuration_of(tier)
        intended = servers.intend(found.of_tier(tier), count, choice.slots.get(tier, ()))
        actions |= {server.name: Action.RESUME for server in intended.resumed}
        for slot in intended.missing:
            new = placeholders.server(definition.name_of(tier, slot), tier, slot)
            every[new.name], actions[new.name] = new, Action.START
        image = functools.cache(lambda wanted=launch.image: cloud.image_id(wanted))
        if intended.missing:
            # A launch would fail there; better to fail now.
            image()
        for server in found.of_tier(tier):
            notes[server.name] = tuple(_differences(server, launch, image))
            if len(found.of_tier(tier)) > count and server.slot > count:
                notes[server.name] += (
                    f"more servers than the {count} wanted of tier {tier}; a launch takes none away",
                )
    replaced = {
        each.name: each
        for each in found.leaving
        if each.lost is not None and actions.get(each.name) is Action.START
    }
    for name, server in replaced.items():
        actions[name] = Action.REPLACE
        notes[name] = (f"{server.instance_id} is lost: {server.lost}",)
    ordered = sorted(every.values(), key=lambda each: (each.tier, each.slot))
    servers_ = tuple(map(placeholders.filled, ordered))
    return Scaled(inventory.Inventory(servers_, found.leaving), actions, notes, replaced)


def _forgotten(server: inventory.Server, definition: models.Definition) -> tuple[str, ...]:
    if server.tier in definition.tiers:
        return ()
    return (f"the definition has no tier {server.tier} any more; a launch leaves the server as it is",)


def _differences(
    server: inventory.Server, launch: models.LaunchConfiguration, image: functools._lru_cache_wrapper[str]
) -> Iterator[str]:
    """Yield how a server differs from one that its launch configuration would create today."""
    try:
        wanted = image()
    except errors.GantryError as error:
        yield f"its image cannot be compared: {error.failure.headline}"
    else:
        if server.image != wanted:
            yield f"runs the image {server.image}, the launch configuration says {wanted}; a launch replaces no server"
    if server.size and server.size != launch.size:
        yield f"is a {server.size}, the launch configuration says {launch.size}; a launch replaces no server"
