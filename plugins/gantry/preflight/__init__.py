"""A look before the launch: what can be known before a server starts or a service is touched, all of it at once.

Reading only. What is asked of clouds and servers is asked side by side; connections are read one after the other, as
Airflow hands them out.
"""

from __future__ import annotations

import concurrent.futures
import functools
import logging
from collections.abc import Callable, Iterator, Mapping

from gantry import errors, inventory, names
from gantry.cloud import clients, servers, sources
from gantry.cloud.objects import Objects
from gantry.definition import models, source
from gantry.preflight import chef, instances, logins, storage
from gantry.preflight.findings import CheckOutcome, NotReadyError, PreflightCheck, PreflightFinding
from gantry.preflight.requirements import Needs, of_definition, of_launch

__all__ = [
    "CheckOutcome",
    "Needs",
    "NotReadyError",
    "PreflightFinding",
    "examine",
    "of_definition",
    "of_launch",
    "refuse",
]

_log = logging.getLogger("gantry")
_SIDE_BY_SIDE = 16
"""Questions that are asked at once."""

Wanted = Mapping[str, int]


def examine(
    definition: models.Definition, needs: Needs, wanted: Wanted | None = None
) -> Iterator[PreflightFinding]:
    """Look at everything, in the order of the definition. Never raises GantryError: that is a finding.

    Args:
        definition: the deployment's.
        needs: what is looked at.
        wanted: how many servers tiers are to have. What new servers are made from is looked at only where some are
            missing: nothing else asks for it. None: for every tier, as before a first launch.
    """
    yield from logins.read(definition, needs)
    reached, jumps = logins.reached(definition, needs)
    yield from reached
    asked: list[Callable[[], list[PreflightFinding]]] = [functools.partial(_alone, each) for each in jumps]
    cloud = definition.cloud
    look = PreflightCheck(f"connection {cloud.connection}", ("cloud", "connection"))
    found = look.of(lambda: sources.S3Access(cloud.connection, cloud.region).whose)
    yield found
    if found.standing is CheckOutcome.WELL:
        # All the rest would say the same.
        ready, more = _in_the_cloud(definition, needs, wanted)
        yield ready
        asked += more
    if not asked:
        return
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="look") as pool:
        for several in pool.map(lambda ask: ask(), asked):
            yield from several


def refuse(found: list[PreflightFinding], read: source.DefinitionData | None) -> None:
    """Let an operation begin unless something is certainly wrong. Raises NotReadyError."""
    wrong = [each for each in found if each.is_wrong]
    if wrong:
        raise NotReadyError(wrong, read)


def _in_the_cloud(
    definition: models.Definition, needs: Needs, wanted: Wanted | None
) -> tuple[PreflightFinding, list[Callable[[], list[PreflightFinding]]]]:
    """The servers that there are, and what is to be asked besides."""
    cloud = definition.cloud
    look = PreflightCheck(f"servers in {cloud.region}", ("cloud", "region"))
    try:
        ec2 = clients.ec2(cloud)
        known = servers.Servers(ec2, definition, _log)
        there = known.find()
    except errors.GantryError as error:
        return look.failed(error), []
    growing = frozenset(
        tier for tier in needs.started if wanted is None or _alive(there, tier) < wanted.get(tier, 0)
    )
    objects = Objects.of(sources.S3Access(cloud.connection, cloud.region))
    asked: list[Callable[[], list[PreflightFinding]]] = []
    for tier in definition.tiers:
        if tier in growing:
            asked += instances.looks(definition, tier, known, ec2)
    asked += chef.looks(definition, needs, growing)
    asked += storage.looks(definition, needs, objects)
    return look.well(f"{len(there.everything)} found"), asked


def _alive(there: inventory.Inventory, tier: names.TierName) -> int:
    return len(there.of_tier(tier))


def _alone(ask: Callable[[], PreflightFinding]) -> list[PreflightFinding]:
    return [ask()]
