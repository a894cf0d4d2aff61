"""What is remembered of databases: which server holds whose data.

It is noted in Airflow (see `keeping`), from the moment that data is loaded there. `data_renewal` says what follows from
a note, and from none. A termination forgets. The note cannot be a tag: it has to outlive all servers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import pydantic

from gantry import inventory, names
from gantry.agent import server_facts
from gantry.definition import models


class Store(Protocol):
    """What is kept of a deployment."""

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """What is kept under a key, or None."""

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Keep something."""

    def delete(self, key: str) -> None:
        """Forget it."""


@dataclasses.dataclass(frozen=True)
class DataLocation:
    """Which instance holds the data of a slot.

    Attributes:
        instance: its id.
        renewed: whether it took the place of one that was lost.
        from_dump: of data of which nothing was noted, and that is not there yet: the datasources that a person has said
            begin from their dump. The others begin from their backup.
    """

    instance: str
    renewed: bool = False
    from_dump: tuple[names.DatasourceName, ...] = ()


_NOTE = pydantic.TypeAdapter(DataLocation)
_UNKNOWN = "unknown"
"""Stands for the id of the instance that held data before notes were lost."""


class DataLocations:
    """Where each service's data is, or was."""

    def __init__(self, store: Store, definition: models.Definition) -> None:
        self._store = store
        self._definition = definition

    def of(self, service: names.ServiceName, slot: names.Slot) -> DataLocation | None:
        """The note of a slot."""
        kept = self._store.get(key(service, slot))
        return None if kept is None else _NOTE.validate_python(kept)

    def is_noted(self, service: names.ServiceName) -> bool:
        """Whether any slot of a service has a note."""
        return any(of == service and self.of(of, slot) is not None for of, slot in self._slots())

    def expect(
        self, service: names.ServiceName, slot: names.Slot, from_dump: Iterable[names.DatasourceName]
    ) -> None:
        """A slot without a note counts as lost from now on, until it is noted that a server has its data.

        Until then it is remembered which datasources a person has said begin from their dump.
        """
        known, expected = self.of(service, slot), DataLocation(_UNKNOWN, from_dump=tuple(from_dump))
        if known is None or (known.instance == _UNKNOWN and known != expected):
            self._write(service, slot, expected)

    def begin(self, service: names.ServiceName, server: inventory.Server) -> None:
        """A server is about to be given data. One that replaces another is noted when it has got them."""
        if holds_data(self._definition, service, server.slot) and self.of(service, server.slot) is None:
            self._write(service, server.slot, DataLocation(server.instance_id))

    def end(self, service: names.ServiceName, server: inventory.Server) -> None:
        """A server has its data."""
        settle(self._store, self.holding(service, [server]))

    def holding(self, service: names.ServiceName, servers: Iterable[inventory.Server]) -> dict[str, str]:
        """The keys of the notes that are due when these servers have their data, and the instances that have it."""
        return {
            key(service, each.slot): each.instance_id
            for each in servers
            if holds_data(self._definition, service, each.slot)
        }

    def forget(self, instances: Collection[str]) -> None:
        """Forget what these instances held, by their ids; not what one holds that has replaced another."""
        for service, slot in self._slots():
            note = self.of(service, slot)
            if note is not None and note.instance in instances and not note.renewed:
                self._store.delete(key(service, slot))

    def holders(self, tier: names.TierName) -> dict[str, names.ServiceName]:
        """The instances (by ids) that are noted to hold data of a tier, and whose data."""
        noted = {
            (service, slot): self.of(service, slot)
            for service, slot in self._slots()
            if self._definition.services[service].tier == tier
        }
        return {note.instance: service for (service, _), note in noted.items() if note is not None}

    def forget_tier(self, tier: names.TierName) -> None:
        """Forget everything that a tier's servers held: they were terminated because a person wanted it."""
        for service, slot in self._slots():
            if self._definition.services[service].tier == tier:
                self._store.delete(key(service, slot))

    def forget_all(self) -> None:
        """Forget everything: the deployment is terminated, and a launch begins from the dumps."""
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
    """Note where data is now; see `Memory.holding`."""
    for key, instance in holding.items():
        known = store.get(key)
        if known is None or _NOTE.validate_python(known).instance != instance:
            # A run that takes back what began from a dump leaves the question open that a person has answered.
            renewed = known is not None and not _NOTE.validate_python(known).from_dump
            store.set(key, _dumped(DataLocation(instance, renewed)))


def _dumped(note: DataLocation) -> Any:  # noqa: ANN401 - JSON
    return _NOTE.dump_python(note, mode="json", exclude={"from_dump"} if not note.from_dump else None)


def key(service: names.ServiceName, slot: names.Slot) -> str:
    """Under which the note of a slot is kept."""
    return f"data:{service}:{slot}"


def databases(definition: models.Definition) -> tuple[names.ServiceName, ...]:
    """The services with datasources."""
    return tuple(name for name, service in definition.services.items() if service.datasources)


def holds_data(definition: models.Definition, service: names.ServiceName, slot: int) -> bool:
    """Whether the server of a slot is given data from a dump; a replicant has its master's."""
    return definition.services[service].replication is None or slot == server_facts.MASTER
