"""How many servers a tier is to have: what is asked for, within its limits, and what it was scaled to."""

from __future__ import annotations

from gantry import errors, inventory, names
from gantry.definition import models


class ServerCountError(errors.GantryError):
    """A wanted number of servers outside the tier's limits."""

    def __init__(self, tier: names.TierName, wanted: int, fewest: int, most: int) -> None:
        self.tier = tier
        self.wanted = wanted
        super().__init__(
            f"tier {tier}: {wanted} servers are wanted, and its limits are {fewest} to {most}\n"
            f"Trigger the run with a number within the limits, or change the definition."
        )


def wanted_servers(definition: models.Definition, tier: names.TierName, wanted: int) -> int:
    """The number itself, if the tier's limits allow it. Raises ServerCountError."""
    limits = definition.tiers[tier].servers
    if not limits.min <= wanted <= limits.max:
        raise ServerCountError(tier, wanted, limits.min, limits.max)
    return wanted


def or_remembered(
    definition: models.Definition, tier: names.TierName, wanted: int, found: inventory.Inventory
) -> int:
    """The number itself, or the one that the tier was scaled to if that is more: a launch undoes no scaling."""
    remembered = found.scaled_to(tier) or wanted
    return max(wanted, min(remembered, definition.tiers[tier].servers.max))
