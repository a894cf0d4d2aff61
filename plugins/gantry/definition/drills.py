"""What a drill launches: a deployment of its own, made from the definition, that has one server of each tier it needs.

It has another name, and everything that servers are told, counted and found by is made from that. So nobody takes its
servers for the deployment's, and whatever a launch can do can be done to them.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable

from gantry import names
from gantry.definition import models


def drilled(definition: models.Definition) -> tuple[names.BackupName, ...]:
    """The backups that a drill restores, those of services that others depend on first."""
    backups = definition.backups
    if backups is None or backups.drill is None:
        return ()
    wanted = backups.drill.of or tuple(backups.of)
    place = {name: at for at, name in enumerate(_in_order(definition))}
    return tuple(sorted(wanted, key=lambda each: place[backups.of[each].service]))


def needed(
    definition: models.Definition, services: Iterable[names.ServiceName]
) -> frozenset[names.ServiceName]:
    """Services, and everything that they depend on. Names of nothing are left out."""
    found: set[names.ServiceName] = set()
    left = list(services)
    while left:
        service = left.pop()
        if service not in found and service in definition.services:
            found.add(service)
            left += [each.service for each in definition.services[service].depends_on]
    return frozenset(found)


def of_drills(definition: models.Definition) -> models.Definition:
    """The definition by which servers of its drills are found, whatever it said when they were started."""
    return definition.model_copy(
        update={
            "deployment": names.of_drill(definition.deployment),
            # A template of somebody's own need not tell deployments apart.
            "server_name": models.SERVER_NAME,
        }
    )


def throw_away(definition: models.Definition) -> models.Definition:
    """What a drill launches. Only for a definition with drills.

    Nobody comes to it, so it has no load balancers; and it is no copy of anything, so it replicates nothing.
    """
    backups = definition.backups
    chosen = drilled(definition)
    if backups is None or not chosen:
        raise LookupError(f"{definition.deployment} has no drills")
    services = needed(definition, (backups.of[name].service for name in chosen))
    tiers = {definition.services[name].tier for name in services}
    return of_drills(definition).model_copy(
        update={
            "tiers": {
                name: tier.model_copy(update={"servers": models.ServerCount(min=1, max=1)})
                for name, tier in definition.tiers.items()
                if name in tiers
            },
            "services": {
                name: service.model_copy(update={"replication": None})
                for name, service in definition.services.items()
                if name in services
            },
            "launch_configurations": {
                name: launch.model_copy(update={"volumes": tuple(map(_going, launch.volumes))})
                for name, launch in definition.launch_configurations.items()
            },
            "load_balancers": {},
            "scaling": (),
            "approval": None,
            "backups": backups.model_copy(update={"of": {name: backups.of[name] for name in chosen}}),
        }
    )


def _going(volume: models.Volume) -> models.Volume:
    """A volume that is not kept when its server is terminated: nobody would ever find it."""
    return volume.model_copy(update={"delete_on_termination": True})


def _in_order(definition: models.Definition) -> tuple[names.ServiceName, ...]:
    return tuple(
        graphlib.TopologicalSorter(
            {
                name: [each.service for each in service.depends_on]
                for name, service in definition.services.items()
            }
        ).static_order()
    )
