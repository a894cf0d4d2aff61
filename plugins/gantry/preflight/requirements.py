"""Prerequisites of an operation, derived from its plan: only what its steps use is checked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from gantry import names
from gantry.definition import models
from gantry.plan import Plan, Requirement, Step, launch_plan


@dataclasses.dataclass(frozen=True)
class Needs:
    """What is to be checked.

    Attributes:
        reached: tiers whose servers are logged in to.
        started: tiers that may get new servers.
        managed: tiers that configuration management runs on.
        archives: services whose archives servers download.
        dumps: services whose dumps servers download.
        told: services whose connections are read.
        balancers: load balancers whose certificates are read.
        backups: whether backups are written or read.
    """

    reached: tuple[names.TierName, ...] = ()
    started: tuple[names.TierName, ...] = ()
    managed: tuple[names.TierName, ...] = ()
    archives: tuple[names.ServiceName, ...] = ()
    dumps: tuple[names.ServiceName, ...] = ()
    told: tuple[names.ServiceName, ...] = ()
    balancers: tuple[names.BalancerName, ...] = ()
    backups: bool = False


def of_plan(plan: Plan) -> Needs:
    """Return what the steps of a plan need."""
    steps = [step for step in plan if step.skipped is None]

    def needing(need: Requirement) -> list[Step]:
        return [step for step in steps if need in step.facts.needs]

    started = needing(Requirement.NEW_SERVERS)
    return Needs(
        reached=_tiers(step for step in steps if step not in started),
        started=_tiers(started),
        managed=_tiers(needing(Requirement.MANAGEMENT)),
        archives=_services(needing(Requirement.ARCHIVE)),
        dumps=_services(needing(Requirement.DUMPS)),
        told=_services(needing(Requirement.CONNECTIONS)),
        balancers=tuple(
            dict.fromkeys(
                step.balancer for step in needing(Requirement.CERTIFICATE) if step.balancer is not None
            )
        ),
        backups=bool(needing(Requirement.BACKUPS)),
    )


def of_definition(definition: models.Definition, plan: Plan) -> Needs:
    """Return what a plan of this definition needs: with the archives of the tiers that it installs on."""
    found = of_plan(plan)
    installed = {step.tier for step in plan if Requirement.TIER_ARCHIVES in step.facts.needs}
    archives = [name for name, each in definition.services.items() if each.tier in installed]
    return dataclasses.replace(found, archives=tuple(dict.fromkeys([*archives, *found.archives])))


def of_launch(definition: models.Definition) -> Needs:
    """Return what a first launch needs, and the backups after it."""
    found = of_definition(definition, launch_plan(definition))
    return dataclasses.replace(found, backups=definition.backups is not None)


def _tiers(steps: Iterable[Step]) -> tuple[names.TierName, ...]:
    return tuple(dict.fromkeys(step.tier for step in steps if step.tier is not None))


def _services(steps: Iterable[Step]) -> tuple[names.ServiceName, ...]:
    return tuple(dict.fromkeys(step.service for step in steps if step.service is not None))
