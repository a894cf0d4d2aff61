"""Definition of a drill's deployment: derived from the original, with one server of each required tier.

It has another name, from which all names, tags and facts of its servers are derived. So its servers cannot be confused
with the deployment's, and everything that a launch can do works on them.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterable

from gantry import names
from gantry.definition import models


def drilled(definition: models.Definition) -> tuple[names.BackupName, ...]:
    """Return the backups that a drill restores, dependencies first."""
    backups = definition.backups
    if backups is None or backups.drill is None:
        return ()
    wanted = backups.drill.of or tuple(backups.of)
    place = {name: at for at, name in enumerate(_in_order(definition))}
    return tuple(sorted(wanted, key=lambda each: place[backups.of[each].service]))


def needed(
    definition: models.Definition, services: Iterable[names.ServiceName]
) -> frozenset[names.ServiceName]:
    """Return services and everything that they depend on, without unknown names."""
    found: set[names.ServiceName] = set()
    left = list(services)
    while left:
        service = left.pop()
        if service not in found and service in definition.services:
            found.add(service)
            left += [each.service for each in definition.services[service].depends_on]
    return frozenset(found)


def of_drills(definition: models.Definition) -> models.Definition:
    """Return the definition for finding the servers of its drills, whatever it was when they were started."""
    return definition.model_copy(
        update={
            "deployment": names.of_drill(definition.deployment),
            # A custom template may not distinguish deployments.
            "server_name": models.SERVER_NAME,
        }
    )


def throw_away(definition: models.Definition) -> models.Definition:
    """Return the definition that a drill launches. Only for a definition with drills.

    It has no visitors, so it has no load balancers; and it replicates nothing.
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
    """Return a volume that is deleted when its server is terminated: otherwise it would never be found again."""
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
