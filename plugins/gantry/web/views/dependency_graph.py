"""Dependency graph of a deployment: services, their load balancers, and the resulting relations of tiers."""

from __future__ import annotations

import dataclasses
import enum

from gantry import names
from gantry.definition import models


class PartKind(enum.Enum):
    """The kind of a part."""

    BALANCER = enum.auto()
    SERVICE = enum.auto()


@dataclasses.dataclass(frozen=True)
class GraphPart:
    """A service or a load balancer. Both may have the same name."""

    kind: PartKind
    name: str


@dataclasses.dataclass(frozen=True)
class GraphEdge:
    """A part that sends requests to another one, or waits for it."""

    source: GraphPart
    target: GraphPart


def tiers(definition: models.Definition) -> dict[GraphPart, names.TierName]:
    """Return the tier of each part: balancers first, each kind in the order of the file."""
    return {
        **{GraphPart(PartKind.BALANCER, name): each.tier for name, each in definition.load_balancers.items()},
        **{GraphPart(PartKind.SERVICE, name): each.tier for name, each in definition.services.items()},
    }


def edges(definition: models.Definition) -> tuple[GraphEdge, ...]:
    """Return every dependency once: several datasources of one service are one dependency."""
    found: dict[GraphEdge, None] = {}
    for balancer, facts in definition.load_balancers.items():
        found[
            GraphEdge(GraphPart(PartKind.BALANCER, balancer), GraphPart(PartKind.SERVICE, facts.service))
        ] = None
    for service, needing in definition.services.items():
        for each in needing.depends_on:
            found[
                GraphEdge(GraphPart(PartKind.SERVICE, service), GraphPart(PartKind.SERVICE, each.service))
            ] = None
    return tuple(found)


def columns(definition: models.Definition) -> dict[names.TierName, int]:
    """Return the column of each tier: right of the tiers that depend on it, unless they depend on each other."""
    tier_of = tiers(definition)
    needs = edges(definition)
    ranks: dict[GraphPart, int] = {}
    left = dict.fromkeys(tier_of)
    # Services have no circular dependencies (the definition is checked), so each round finds some.
    while left:
        needed = {each.target for each in needs if each.source in left}
        for part in [each for each in left if each not in needed]:
            ranks[part] = max((ranks[each.source] + 1 for each in needs if each.target == part), default=0)
            del left[part]
    found = {
        tier: max((rank for part, rank in ranks.items() if tier_of[part] == tier), default=0)
        for tier in definition.tiers
    }
    used = sorted(set(found.values()))
    return {tier: used.index(rank) for tier, rank in sorted(found.items(), key=lambda each: each[1])}
