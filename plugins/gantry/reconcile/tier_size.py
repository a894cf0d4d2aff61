"""Number of servers of a tier: the requested number within its limits, and the number that it was scaled to."""

from __future__ import annotations

from gantry import errors, inventory, names
from gantry.definition import models


class ServerCountError(errors.GantryError):
    """A requested number of servers is outside the tier's limits."""

    def __init__(self, tier: names.TierName, wanted: int, fewest: int, most: int) -> None:
        self.tier = tier
        self.wanted = wanted
        super().__init__(
            f"tier {tier}: {wanted} servers are wanted, and its limits are {fewest} to {most}\n"
            f"Trigger the run with a number within the limits, or change the definition."
        )


def wanted_servers(definition: models.Definition, tier: names.TierName, wanted: int) -> int:
    """Return the number if the tier's limits allow it. Raises ServerCountError."""
    limits = definition.tiers[tier].servers
    if not limits.min <= wanted <= limits.max:
        raise ServerCountError(tier, wanted, limits.min, limits.max)
    return wanted


def or_remembered(
    definition: models.Definition, tier: names.TierName, wanted: int, found: inventory.Inventory
) -> int:
    """Return the number, or the one that the tier was scaled to if that is larger: a launch undoes no scaling."""
    remembered = found.scaled_to(tier) or wanted
    return max(wanted, min(remembered, definition.tiers[tier].servers.max))
