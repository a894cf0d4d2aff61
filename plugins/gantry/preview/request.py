"""Options of a launch beyond its definition, as in the trigger form."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

from gantry import errors, names
from gantry.definition import models


class UnknownChoiceError(errors.GantryError):
    """A name that the trigger form does not offer."""

    def __init__(self, what: str, name: str, known: Collection[str]) -> None:
        self.name = name
        super().__init__(f"unknown {what} {name!r}{errors.suggestion(name, sorted(known))}")


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The filled-in trigger form.

    Attributes:
        servers: the minimum numbers of servers of tiers after the launch; for the others, their `min`.
        redeploy: services that are installed, configured and restarted in any case.
        converge: tiers whose configuration management runs in any case.
        from_dump: datasources that start from their dump if they are lost.
        from_backup: datasources that start from their newest backup if they have no record.
        reload_dump: datasources that are loaded from their dump although they hold data.
    """

    servers: Mapping[str, int] = dataclasses.field(default_factory=dict)
    redeploy: frozenset[str] = frozenset()
    converge: frozenset[str] = frozenset()
    from_dump: frozenset[str] = frozenset()
    from_backup: frozenset[str] = frozenset()
    reload_dump: frozenset[str] = frozenset()

    def check(self, definition: models.Definition) -> None:
        """Raise UnknownChoiceError for anything that the deployment's form does not offer."""
        managed = {
            tier
            for tier in definition.tiers
            if definition.launch_configuration_of(tier).configuration_management is not None
        }
        datasources = frozenset(
            f"{name}.{each}" for name, service in definition.services.items() for each in service.datasources
        )
        for what, wanted, known in (
            ("tier", self.servers, frozenset(definition.tiers)),
            ("service", self.redeploy, frozenset(definition.services)),
            ("tier with configuration management", self.converge, frozenset(managed)),
            ("datasource", self.from_dump | self.from_backup, datasources),
            ("datasource", self.reload_dump, datasources),
        ):
            for name in sorted(wanted):
                if name not in known:
                    raise UnknownChoiceError(what, name, known)

    def wanted(self, definition: models.Definition) -> dict[str, int]:
        """Return the wanted number of servers of each tier."""
        return {
            tier: self.servers.get(names.TierName(tier), found.servers.min)
            for tier, found in definition.tiers.items()
        }
