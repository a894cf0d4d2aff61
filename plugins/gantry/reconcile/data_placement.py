"""Record of database placement: which server holds which service's data.

It is stored in Airflow (see `gantry.runtime.asset_state`), from the moment that data is loaded. `data_renewal` decides
what follows from a record and from a missing one. A termination deletes the records. A tag would not do: the record has
to outlive all servers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pydantic

from gantry import inventory, names
from gantry.agent import server_facts
from gantry.definition import models
from gantry.state.store import Store


@dataclasses.dataclass(frozen=True)
class DataLocation:
    """The instance that holds the data of a slot.

    Attributes:
        instance: the instance's id.
        renewed: whether it replaced one that was lost.
        from_dump: for data without a record that is not there yet, the datasources that, by a person's decision, start
            from their dump. The others start from their backup.
    """

    instance: str
    renewed: bool = False
    from_dump: tuple[names.DatasourceName, ...] = ()


_NOTE = pydantic.TypeAdapter(DataLocation)
_UNKNOWN = "unknown"
"""Placeholder for the id of the instance that held data before records were lost."""


class DataLocations:
    """Where each service's data is, or was."""

    def __init__(self, store: Store, definition: models.Definition) -> None:
        self._store = store
        self._definition = definition

    def of(self, service: names.ServiceName, slot: names.Slot) -> DataLocation | None:
        """Return the record of a slot."""
        kept = self._store.get(key(service, slot))
        return None if kept is None else _NOTE.validate_python(kept)

    def is_noted(self, service: names.ServiceName) -> bool:
        """Return whether any slot of a service has a record."""
        return any(of == service and self.of(of, slot) is not None for of, slot in self._slots())

    def expect(
        self, service: names.ServiceName, slot: names.Slot, from_dump: Iterable[names.DatasourceName]
    ) -> None:
        """Treat a slot without a record as lost until a server is recorded as holding its data.

        Until then, the record keeps which datasources a person wants to start from their dump.
        """
        known, expected = self.of(service, slot), DataLocation(_UNKNOWN, from_dump=tuple(from_dump))
        if known is None or (known.instance == _UNKNOWN and known != expected):
            self._write(service, slot, expected)

    def begin(self, service: names.ServiceName, server: inventory.Server) -> None:
        """Record that a server is about to receive data. A replacement is recorded when it has received them."""
        if holds_data(self._definition, service, server.slot) and self.of(service, server.slot) is None:
            self._write(service, server.slot, DataLocation(server.instance_id))

    def end(self, service: names.ServiceName, server: inventory.Server) -> None:
        """Record that a server has its data."""
        settle(self._store, self.holding(service, [server]))

    def holding(self, service: names.ServiceName, servers: Iterable[inventory.Server]) -> dict[str, str]:
        """Return the records, by key, to write when these servers have their data; values are instance ids."""
        return {
            key(service, each.slot): each.instance_id
            for each in servers
            if holds_data(self._definition, service, each.slot)
        }

    def forget(self, instances: Collection[str]) -> None:
        """Delete the records of these instances, by id; not of one that has replaced another."""
        for service, slot in self._slots():
            note = self.of(service, slot)
            if note is not None and note.instance in instances and not note.renewed:
                self._store.delete(key(service, slot))

    def holders(self, tier: names.TierName) -> dict[str, names.ServiceName]:
        """Return the instances (by id) that are recorded to hold data of a tier, with the service."""
        noted = {
            (service, slot): self.of(service, slot)
            for service, slot in self._slots()
            if self._definition.services[service].tier == tier
        }
        return {note.instance: service for (service, _), note in noted.items() if note is not None}

    def forget_tier(self, tier: names.TierName) -> None:
        """Delete the records of all of a tier's servers: they were terminated because a person wanted it."""
        for service, slot in self._slots():
            if self._definition.services[service].tier == tier:
                self._store.delete(key(service, slot))

    def forget_all(self) -> None:
        """Delete all records: the deployment is terminated, and a launch starts from the dumps."""
        for service, slot in self._slots():
            self._store.delete(key(service, slot))

    def _slots(self) -> Iterator[tuple[names.ServiceName, names.Slot]]:
        for service in databases(self._definition):
            most = self._definition.tiers[self._definition.services[service].tier].servers.max
            for number in range(1, most + 1):
                slot = names.Slot(number)
                if holds_data(self._definition, service, slot):
                    yield service, slot

    def _write(self, service: names.ServiceName, slot: names.Slot, note: DataLocation) -> None:
        self._store.set(key(service, slot), _dumped(note))


def settle(store: Store, holding: Mapping[str, str]) -> None:
    """Record where data is now; see `DataLocations.holding`."""
    for key, instance in holding.items():
        known = store.get(key)
        if known is None or _NOTE.validate_python(known).instance != instance:
            # A run that retracts what began from a dump leaves the question open that a person has answered.
            renewed = known is not None and not _NOTE.validate_python(known).from_dump
            store.set(key, _dumped(DataLocation(instance, renewed)))


def _dumped(note: DataLocation) -> Any:  # noqa: ANN401 - JSON
    return _NOTE.dump_python(note, mode="json", exclude={"from_dump"} if not note.from_dump else None)


KEYS = "data:"
"""What the keys of slots' records begin with."""


def key(service: names.ServiceName, slot: names.Slot) -> str:
    """Return the key of a slot's record."""
    return f"{KEYS}{service}:{slot}"


def databases(definition: models.Definition) -> tuple[names.ServiceName, ...]:
    """Return the services with datasources."""
    return tuple(name for name, service in definition.services.items() if service.datasources)


def holds_data(definition: models.Definition, service: names.ServiceName, slot: int) -> bool:
    """Return whether the server of a slot is loaded from a dump; a replicant copies its master's data."""
    return definition.services[service].replication is None or slot == server_facts.MASTER
