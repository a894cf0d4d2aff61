"""Databases that are lost: what is remembered of them, and what a server that replaces one is filled with.

Which server holds a datasource's data is noted with the deployment's asset, from the moment that data is loaded there.
A slot with a note and another server (or none) is a loss; a slot without one has never had data. A termination
forgets. The note cannot be a tag: it has to outlive all servers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Protocol

import pydantic

from gantry import errors, inventory, names
from gantry.agent import facts
from gantry.cloud import backups
from gantry.definition import models

Missing = Mapping[names.TierName, Collection[names.Slot]]
"""The slots that are about to be filled with new servers."""


class DataLostError(errors.GantryError):
    """A database server is lost, and nothing is there to fill a new one with."""

    def __init__(self, lost: Mapping[models.Dependency, str]) -> None:
        self.lost = dict(lost)
        told = "\n".join(f"{each}: {why}" for each, why in lost.items())
        words = " ".join(f"--from-dump {each}" for each in lost)
        super().__init__(
            f"the server that held this data is lost, and there is no backup of it:\n{told}\n"
            f"Nothing was started. Bring the server back, or a backup; or, if the data may begin anew from the "
            f"definition's dump, say so: `from_dump` in the form, {words} on the command line."
        )


class ReplicantsLeftError(errors.GantryError):
    """A master is lost whose replicants hold data that is newer than any backup."""

    def __init__(self, service: names.ServiceName, replicants: Collection[names.ServerName]) -> None:
        self.service = service
        self.replicants = tuple(replicants)
        told = ", ".join(replicants)
        super().__init__(
            f"service {service}: its master is lost, and its replicants ({told}) hold what it held\n"
            f"Nothing was started: a new master would begin from the newest backup, and what came since would be lost "
            f"with the replicants. Save their data first; then have all of them replaced together, by naming them and "
            f"the master: NAME.recover with `anyway`."
        )


class Store(Protocol):
    """The state of the deployment's asset."""

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """What is kept under a key, or None."""

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Keep something."""

    def delete(self, key: str) -> None:
        """Forget it."""


@dataclasses.dataclass(frozen=True)
class Note:
    """Which instance holds the data of a slot; `renewed` if it took the place of one that was lost."""

    instance: str
    renewed: bool = False


_NOTE = pydantic.TypeAdapter(Note)


class Memory:
    """Where each service's data is, or was."""

    def __init__(self, store: Store, definition: models.Definition) -> None:
        self._store = store
        self._definition = definition

    def of(self, service: names.ServiceName, slot: names.Slot) -> Note | None:
        """The note of a slot."""
        kept = self._store.get(_key(service, slot))
        return None if kept is None else _NOTE.validate_python(kept)

    def begin(self, service: names.ServiceName, server: inventory.Server) -> None:
        """A server is about to be given data. One that replaces another is noted when it has got them."""
        if holds_data(self._definition, service, server.slot) and self.of(service, server.slot) is None:
            self._write(service, server.slot, Note(server.instance_id))

    def end(self, service: names.ServiceName, server: inventory.Server) -> None:
        """A server has its data."""
        settle(self._store, self.holding(service, [server]))

    def holding(self, service: names.ServiceName, servers: Iterable[inventory.Server]) -> dict[str, str]:
        """The keys of the notes that are due when these servers have their data, and the instances that have it."""
        return {
            _key(service, each.slot): each.instance_id
            for each in servers
            if holds_data(self._definition, service, each.slot)
        }

    def forget(self, instances: Collection[str]) -> None:
        """Forget what these instances held, by their ids; not what one holds that has replaced another."""
        for service, slot in self._slots():
            note = self.of(service, slot)
            if note is not None and note.instance in instances and not note.renewed:
                self._store.delete(_key(service, slot))

    def forget_all(self) -> None:
        """Forget everything: the deployment is terminated, and a launch begins from the dumps."""
        for service, slot in self._slots():
            self._store.delete(_key(service, slot))

    def _slots(self) -> Iterator[tuple[names.ServiceName, names.Slot]]:
        for service in databases(self._definition):
            most = self._definition.tiers[self._definition.services[service].tier].servers.max
            for number in range(1, most + 1):
                slot = names.Slot(number)
                if holds_data(self._definition, service, slot):
                    yield service, slot

    def _write(self, service: names.ServiceName, slot: names.Slot, note: Note) -> None:
        self._store.set(_key(service, slot), _NOTE.dump_python(note, mode="json"))


def settle(store: Store, holding: Mapping[str, str]) -> None:
    """Note where data is now; see `Memory.holding`."""
    for key, instance in holding.items():
        known = store.get(key)
        if known is None or _NOTE.validate_python(known).instance != instance:
            store.set(key, _NOTE.dump_python(Note(instance, renewed=known is not None), mode="json"))


def _key(service: names.ServiceName, slot: names.Slot) -> str:
    return f"data:{service}:{slot}"


def databases(definition: models.Definition) -> tuple[names.ServiceName, ...]:
    """The services with datasources."""
    return tuple(name for name, service in definition.services.items() if service.datasources)


def holds_data(definition: models.Definition, service: names.ServiceName, slot: int) -> bool:
    """Whether the server of a slot is given data from a dump; a replicant has its master's."""
    return definition.services[service].replication is None or slot == facts.MASTER


@dataclasses.dataclass(frozen=True)
class Renewal:
    """What new servers of a service that take the place of lost ones are filled with.

    Attributes:
        backups: by datasource; one that is absent begins anew from its dump.
    """

    service: names.ServiceName
    slots: tuple[names.Slot, ...]
    backups: Mapping[names.DatasourceName, backups.Stored]


Renewals = tuple[Renewal, ...]

Newest = Callable[[names.BackupName], backups.Stored]
"""The newest backup of a name. Raises NoBackupError."""


def renewals(
    definition: models.Definition,
    staying: inventory.Inventory,
    missing: Missing,
    memory: Memory,
    newest: Newest,
    from_dump: Collection[str],
) -> Renewals:
    """What is restored on servers that replace lost ones.

    Args:
        definition: the deployment's.
        staying: its servers without those that leave.
        missing: the slots that will be filled.
        memory: which slots have had data.
        newest: finds backups.
        from_dump: datasources (`SERVICE.DATASOURCE`) that begin anew from their dump, whatever backups there are.

    Raises:
        DataLostError: there is no backup of one.
        ReplicantsLeftError: a master is lost whose replicants are there.
    """
    found: list[Renewal] = []
    hopeless: dict[models.Dependency, str] = {}
    for name in databases(definition):
        service = definition.services[name]
        new = tuple(missing.get(service.tier, ()))
        slots = tuple(_lost(definition, name, staying, new, memory))
        if not slots:
            continue
        if service.replication is not None and set(slots) & set(new):
            replicants = [each.name for each in staying.of_tier(service.tier) if each.host_key is not None]
            if replicants:
                raise ReplicantsLeftError(name, replicants)
        stored: dict[names.DatasourceName, backups.Stored] = {}
        for datasource in service.datasources:
            part = models.Dependency.model_validate(f"{name}.{datasource}")
            if str(part) in from_dump:
                continue
            backup = _newest(definition, part, newest)
            if isinstance(backup, str):
                hopeless[part] = backup
            else:
                stored[datasource] = backup
        found.append(Renewal(name, slots, stored))
    if hopeless:
        raise DataLostError(hopeless)
    return tuple(found)


def _lost(
    definition: models.Definition,
    service: names.ServiceName,
    staying: inventory.Inventory,
    new: Iterable[names.Slot],
    memory: Memory,
) -> Iterator[names.Slot]:
    """The slots whose data is gone with a server."""
    there = {each.slot: each.instance_id for each in staying.of_tier(definition.services[service].tier)}
    for slot in sorted({*there, *new}):
        if not holds_data(definition, service, slot):
            continue
        note = memory.of(service, slot)
        # Also a new server that was started by a run which then failed: whether it has been given the data, it tells.
        if note is not None and note.instance != there.get(slot):
            yield slot


def _newest(definition: models.Definition, part: models.Dependency, newest: Newest) -> backups.Stored | str:
    """The newest backup of a datasource, or why there is none."""
    of = {} if definition.backups is None else definition.backups.of
    for name, each in of.items():
        if each == part:
            try:
                return newest(name)
            except backups.NoBackupError as error:
                return str(error).partition("\n")[0]
    return "the definition's `backups` do not name it"
