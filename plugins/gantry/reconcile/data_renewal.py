"""Recovery of lost databases: decides which data a replacement server is filled with.

A slot whose record (see `data`) names another server, or none that exists, is a loss. A slot without a record never
had data, unless there is evidence that records are missing (see `past`): then a person has to say what it starts from.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from gantry import errors, inventory, names
from gantry.cloud import backups
from gantry.cloud.objects import MissingBucketError
from gantry.definition import models
from gantry.reconcile.data_placement import DataLocation, DataLocations, databases, holds_data

Missing = Mapping[names.TierName, Collection[names.Slot]]
"""The slots that are about to be filled with new servers."""


class DataLostError(errors.GantryError):
    """A database server is lost, and there is nothing to fill a new one with."""

    def __init__(self, lost: Mapping[models.Dependency, str]) -> None:
        self.lost = dict(lost)
        told = "\n".join(f"{each}: {why}" for each, why in lost.items())
        words = " ".join(f"--from-dump {each}" for each in lost)
        super().__init__(
            f"the server that held this data is lost, and there is no backup of it:\n{told}\n"
            f"Nothing was started. Restore the server, or provide a backup; or, if the data may start over from "
            f"the definition's dump, confirm that: `from_dump` in the form, {words} on the command line."
        )


class UnknownDataError(errors.GantryError):
    """A database without a record is about to be started, and it may have had data."""

    def __init__(self, unknown: Mapping[models.Dependency, str]) -> None:
        self.unknown = dict(unknown)
        told = "\n".join(f"{each}: {why}" for each, why in unknown.items())
        backup, dump = (
            " ".join(f"--{option} {each}" for each in unknown) for option in ("from-backup", "from-dump")
        )
        super().__init__(
            f"it is not recorded which server held this data, but there probably was one:\n{told}\n"
            f"Nothing was started. Say what it begins from: its newest backup (`from_backup` in the form of a launch "
            f"or a recovery, {backup} on the command line) or the definition's dump (`from_dump`, {dump})."
        )


class ContradictionError(errors.GantryError):
    """A datasource is to start both from its backup and from its dump."""

    def __init__(self, part: models.Dependency) -> None:
        self.part = part
        super().__init__(
            f"{part} cannot begin both from its newest backup and from its dump\n"
            f"Nothing was started. Name it in one of `from_backup` and `from_dump`."
        )


class ReplicantsLeftError(errors.GantryError):
    """A master is lost whose replicants hold newer data than any backup."""

    def __init__(self, service: names.ServiceName, replicants: Collection[names.ServerName]) -> None:
        self.service = service
        self.replicants = tuple(replicants)
        told = ", ".join(replicants)
        super().__init__(
            f"service {service}: its master is lost, and its replicants ({told}) have its data\n"
            f"Nothing was started: a new master would begin from the newest backup, and what came since would be lost "
            f"with the replicants. Save their data first; then have all of them replaced together, by naming them and "
            f"the master: NAME.recover with `anyway`."
        )


@dataclasses.dataclass(frozen=True)
class Renewal:
    """The data that new servers of a service receive when they replace lost ones.

    Attributes:
        slots: the slots of lost servers, and those without a record for which a person has said what they start from.
        backups: by datasource; a datasource that is absent starts from its dump.
    """

    service: names.ServiceName
    slots: tuple[names.Slot, ...]
    backups: Mapping[names.DatasourceName, backups.Stored]

    def from_dump(self, definition: models.Definition) -> tuple[names.DatasourceName, ...]:
        """Return the datasources that start from their dump."""
        return tuple(
            each for each in definition.services[self.service].datasources if each not in self.backups
        )


Renewals = tuple[Renewal, ...]

Newest = Callable[[names.BackupName], backups.Stored]
"""Returns the newest backup of a name. Raises NoBackupError."""


@dataclasses.dataclass(frozen=True)
class DeploymentPast:
    """A deployment's past, as far as it is known.

    Attributes:
        is_complete: whether the records are complete: then a service without one never had data, or has given it up.
        given_up: when the deployment, with all its data, was last terminated.
        signs: if the records are not complete, the evidence that there was data.
    """

    is_complete: bool = True
    given_up: datetime.datetime | None = None
    signs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class DataEvidence:
    """Inputs, besides the records, to the decision about missing data. Datasources are named `SERVICE.DATASOURCE`.

    Attributes:
        from_dump: datasources that start from their dump if they are lost or unknown, even if there are backups.
        from_backup: datasources that start from their newest backup if they have no record, even if they were earlier
            said to start from their dump.
        past: whether records may be missing; None if that does not matter because everything is recorded by then.
    """

    from_dump: Collection[str] = ()
    from_backup: Collection[str] = ()
    past: DeploymentPast | None = None

    def __contains__(self, part: models.Dependency) -> bool:
        """Return whether a person has said what a datasource starts from."""
        return str(part) in self.from_dump or str(part) in self.from_backup

    def drops(self, part: models.Dependency) -> bool:
        """Return whether a datasource starts from its dump. Raises ContradictionError."""
        if str(part) in self.from_dump and str(part) in self.from_backup:
            raise ContradictionError(part)
        return str(part) in self.from_dump


def renewals(
    definition: models.Definition,
    staying: inventory.Inventory,
    missing: Missing,
    memory: DataLocations,
    newest: Newest,
    answers: DataEvidence,
) -> Renewals:
    """Return what is restored on servers that replace lost ones.

    Args:
        definition: the deployment's definition.
        staying: its servers without the leaving ones.
        missing: the slots that will be filled.
        memory: the record of which slots have had data.
        newest: finds backups.
        answers: what a person has said, and what is known of the past.

    Raises:
        DataLostError: a datasource has no backup.
        UnknownDataError: one without a record may have had data, and it is not specified what it starts from.
        ContradictionError: one is to start from both.
        ReplicantsLeftError: a master is lost whose replicants exist.
    """
    found: list[Renewal] = []
    hopeless: dict[models.Dependency, str] = {}
    unknown: dict[models.Dependency, str] = {}
    for name in databases(definition):
        service = definition.services[name]
        new = tuple(missing.get(service.tier, ()))
        lost = tuple(_lost(definition, name, staying, new, memory))
        past = answers.past
        unnoted = () if past is None else _unnoted(definition, name, staying, new, memory, past)
        reasons = _reasons(definition, name, past, newest) if past is not None and unnoted else {}
        unanswered = {part: why for part, why in reasons.items() if part not in answers}
        unknown |= unanswered
        slots = (*lost, *(unnoted if reasons else ()))
        if unanswered or not slots:
            continue
        if service.replication is not None and set(slots) & set(new):
            replicants = [each.name for each in staying.of_tier(service.tier) if each.host_key is not None]
            if replicants:
                raise ReplicantsLeftError(name, replicants)
        stored: dict[names.DatasourceName, backups.Stored] = {}
        for part in _restored(definition, name, [memory.of(name, slot) for slot in slots], answers):
            backup = _newest(definition, part, newest)
            if isinstance(backup, str):
                hopeless[part] = backup
            elif part.datasource is not None:
                stored[part.datasource] = backup
        found.append(Renewal(name, slots, stored))
    if hopeless:
        raise DataLostError(hopeless)
    if unknown:
        raise UnknownDataError(unknown)
    return tuple(found)


def _restored(
    definition: models.Definition,
    service: names.ServiceName,
    notes: Collection[DataLocation | None],
    answers: DataEvidence,
) -> Iterator[models.Dependency]:
    """Yield the datasources of a service that do not start from their dump. Raises ContradictionError."""
    for part in _parts(definition, service):
        # A person may have said so in an earlier run that did not get this far.
        was_dropped = all(note is not None and part.datasource in note.from_dump for note in notes)
        if not answers.drops(part) and (not was_dropped or str(part) in answers.from_backup):
            yield part


def _parts(definition: models.Definition, service: names.ServiceName) -> list[models.Dependency]:
    """Return a service's datasources, as definitions name them."""
    return [
        models.Dependency.model_validate(f"{service}.{each}")
        for each in definition.services[service].datasources
    ]


def _lost(
    definition: models.Definition,
    service: names.ServiceName,
    staying: inventory.Inventory,
    new: Iterable[names.Slot],
    memory: DataLocations,
) -> Iterator[names.Slot]:
    """Yield the slots whose data was lost with a server."""
    there = {each.slot: each.instance_id for each in staying.of_tier(definition.services[service].tier)}
    for slot in sorted({*there, *new}):
        if not holds_data(definition, service, slot):
            continue
        note = memory.of(service, slot)
        # This includes a new server of a run that then failed: the record shows whether it has received the data.
        if note is not None and note.instance != there.get(slot):
            yield slot


def _unnoted(
    definition: models.Definition,
    service: names.ServiceName,
    staying: inventory.Inventory,
    new: Collection[names.Slot],
    memory: DataLocations,
    past: DeploymentPast,
) -> tuple[names.Slot, ...]:
    """Return the slots that would be filled from the dump because they have no record."""
    if past.is_complete and memory.is_noted(service):
        # One slot of several that was never filled, while others were.
        return ()
    # A server that was never greeted has never received data.
    empty = {
        each.slot for each in staying.of_tier(definition.services[service].tier) if each.host_key is None
    }
    return tuple(
        slot
        for slot in sorted({*new, *empty})
        if holds_data(definition, service, slot) and memory.of(service, slot) is None
    )


def _reasons(
    definition: models.Definition, service: names.ServiceName, past: DeploymentPast, newest: Newest
) -> dict[models.Dependency, str]:
    """Return why a service without a record may have had data, by datasource; empty if there is no evidence."""
    parts = _parts(definition, service)
    found = {part: why for part in parts if (why := _on_the_shelf(definition, part, past, newest))}
    if not found and not past.signs:
        return {}
    told = "; ".join(past.signs) or "other data of its service has a backup"
    return {part: found.get(part, f"{told}. No backup of it was found") for part in parts}


def _on_the_shelf(
    definition: models.Definition, part: models.Dependency, past: DeploymentPast, newest: Newest
) -> str | None:
    """Return what the backups say about a datasource; None if a termination has given up the existing backups."""
    try:
        backup = _newest(definition, part, newest)
    except MissingBucketError:
        return None
    except backups.ManifestError as error:
        return error.failure.headline
    if isinstance(backup, str) or (past.given_up is not None and backup.manifest.time <= past.given_up):
        return None
    return f"there is a backup, {backup.url}"


def _newest(definition: models.Definition, part: models.Dependency, newest: Newest) -> backups.Stored | str:
    """Return the newest backup of a datasource, or why there is none."""
    of = {} if definition.backups is None else definition.backups.of
    for name, each in of.items():
        if each == part:
            try:
                return newest(name)
            except backups.NoBackupError as error:
                return error.failure.headline
    return "the definition's `backups` do not name it"
