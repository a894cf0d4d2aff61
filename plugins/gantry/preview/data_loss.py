"""Preview of data recovery after a loss, as far as it can be known before the launch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from gantry import inventory, names, requests
from gantry.cloud import backups
from gantry.cloud.objects import Objects
from gantry.definition import models
from gantry.preview.report import Action
from gantry.preview.scaling import Scaled
from gantry.reconcile import data_history, data_placement, data_renewal, server_health

_NEW = (Action.START, Action.REPLACE)


class StoredFacts:
    """The deployment's state in Airflow, read-only. For `ran`, see `dry_run.rehearse`."""

    def __init__(self, kept: Mapping[str, Any] | None, *, ran: bool = False) -> None:
        self.ran = ran
        self.is_known = kept is not None
        self._kept = dict(kept or {})

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value stored under a key, or None."""
        return self._kept.get(key)

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Store a value for this preview only."""
        self._kept[key] = value

    def delete(self, key: str) -> None:
        """Delete a value for this preview only."""
        self._kept.pop(key, None)


def foresee(
    definition: models.Definition,
    scaled: Scaled,
    findings: server_health.HealthReport,
    objects: Objects,
    request: requests.LaunchRequest,
    kept: StoredFacts,
) -> tuple[Scaled, data_renewal.Renewals]:
    """Return the servers, with notes for people, and what is restored on replacements of lost ones.

    Raises:
        DataLostError, UnknownDataError, ContradictionError, ReplicantsLeftError: a launch would not start.
    """
    new = [each for each in scaled.inventory if scaled.actions[each.name] in _NEW]
    staying = tuple(each for each in scaled.inventory if each not in new)
    memory = data_placement.DataLocations(kept, definition)
    known = None
    if kept.is_known:
        there = inventory.Inventory(staying, scaled.inventory.leaving)
        known = data_history.of(kept, there, lambda: kept.ran)
    # A lost server had its data, and so has an existing one, unless the records say otherwise.
    noted = known is not None and known.is_complete
    for service in data_placement.databases(definition):
        for each in (*(() if noted else staying), *scaled.replaced.values()):
            if each.tier == definition.services[service].tier and each.host_key is not None:
                memory.begin(service, each)
    missing = {
        tier: tuple(each.slot for each in new if each.tier == tier)
        for tier in dict.fromkeys(definition.tiers)
    }

    def newest(name: names.BackupName) -> backups.Stored:
        if definition.backups is None:
            raise LookupError(f"{definition.deployment} has no backups")
        return backups.Shelf(objects, definition.backups, definition.deployment, name).find("")

    found = data_renewal.renewals(
        definition,
        inventory.Inventory(staying),
        missing,
        memory,
        newest,
        data_renewal.DataEvidence(request.from_dump, request.from_backup, known),
    )
    notes = dict(scaled.notes)
    for name, note in (*_ailing(findings), *_unknown(definition, scaled, kept)):
        notes[name] = (*notes.get(name, ()), note)
    return dataclasses.replace(scaled, notes=notes), found


def _ailing(findings: server_health.HealthReport) -> Iterator[tuple[names.ServerName, str]]:
    for each in findings.ailing:
        yield (
            each.server.name,
            f"not well: {each}; {each.outlook}",
        )


def _unknown(
    definition: models.Definition, scaled: Scaled, kept: StoredFacts
) -> Iterator[tuple[names.ServerName, str]]:
    """Yield databases to be started of which only Airflow knows whether they are new or lost."""
    if kept.is_known or all(each in _NEW for each in scaled.actions.values()):
        return
    for service in data_placement.databases(definition):
        for server in scaled.inventory.of_tier(definition.services[service].tier):
            if scaled.actions[server.name] is Action.START and data_placement.holds_data(
                definition, service, server.slot
            ):
                yield (
                    server.name,
                    f"if service {service} has had data here before, a launch restores its newest backup, and is "
                    f"refused without one; Airflow knows, and cannot be asked from here (see --profile)",
                )
