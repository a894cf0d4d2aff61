"""Preflight checks: everything that can be checked before a server starts or a service is changed, all at once.

Read-only. Clouds and servers are queried in parallel; connections are read one after the other, as Airflow provides
them.
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
"""Number of parallel queries."""

Wanted = Mapping[str, int]


def examine(
    definition: models.Definition, needs: Needs, wanted: Wanted | None = None
) -> Iterator[PreflightFinding]:
    """Make all checks, in the order of the definition. Never raises GantryError: that becomes a finding.

    Args:
        definition: the deployment's definition.
        needs: what is to be checked.
        wanted: the requested numbers of servers of tiers. The inputs of new servers are checked only if servers are
            missing: nothing else needs them. None: for every tier, as before a first launch.
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
        # All other checks would give the same result.
        ready, more = _in_the_cloud(definition, needs, wanted)
        yield ready
        asked += more
    if not asked:
        return
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="look") as pool:
        for several in pool.map(lambda ask: ask(), asked):
            yield from several


def refuse(found: list[PreflightFinding], read: source.DefinitionData | None) -> None:
    """Let an operation begin unless something is definitely wrong. Raises NotReadyError."""
    wrong = [each for each in found if each.is_wrong]
    if wrong:
        raise NotReadyError(wrong, read)


def _in_the_cloud(
    definition: models.Definition, needs: Needs, wanted: Wanted | None
) -> tuple[PreflightFinding, list[Callable[[], list[PreflightFinding]]]]:
    """Return the finding about the existing servers, and further checks in the cloud."""
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
