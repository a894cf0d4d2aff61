"""Number of servers of a tier: the requested number within its limits, and the number that it was scaled to."""

from __future__ import annotations

from gantry import inventory, names, requests
from gantry.definition import models


def wanted_servers(definition: models.Definition, tier: names.TierName, wanted: int) -> int:
    """Return the number if the tier's limits allow it. Raises ServerCountError."""
    limits = definition.tiers[tier].servers
    if not limits.min <= wanted <= limits.max:
        raise requests.ServerCountError(tier, wanted, limits.min, limits.max)
    return wanted


def or_remembered(
    definition: models.Definition, tier: names.TierName, wanted: int, found: inventory.Inventory
) -> int:
    """Return the number, or the one that the tier was scaled to if that is larger: a launch undoes no scaling."""
    remembered = found.scaled_to(tier) or wanted
    return max(wanted, min(remembered, definition.tiers[tier].servers.max))
