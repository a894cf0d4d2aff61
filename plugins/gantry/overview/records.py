"""What is kept of a deployment in the state of its asset."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping

import pydantic

from gantry import names
from gantry.overview import model, parts
from gantry.state import config_history, installed_versions, run_records

Kept = Mapping[str, object]
"""The state of an asset, by key."""

Ends = Callable[[Collection[model.RunKey]], Mapping[model.RunKey, model.RunEnd]]


@dataclasses.dataclass(frozen=True)
class DeliveredConfig:
    """A configuration file that a service received on a server."""

    service: str
    server: str
    handout: config_history.ConfigDelivery

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """Convert for programs."""
        return {"service": self.service, "server": self.server, **config_history.as_json(self.handout)}


def history(name: str, kept: Kept, ends: Ends) -> tuple[run_records.Record, ...]:
    """Return the records of a deployment's runs, newest first. Open ones are completed from the runs themselves."""
    found = _found(name, kept)
    open_ = open_runs(name, kept)
    ended = ends(open_) if open_ else {}
    return tuple(_settled(record, ended.get(key)) for key, record in found)


def open_runs(name: str, kept: Kept) -> set[model.RunKey]:
    """Return the runs that had not ended when their records were last written."""
    return {key for key, record in _found(name, kept) if record.result is run_records.Result.RUNNING}


def last_versions(found: Collection[run_records.Record]) -> dict[str, str]:
    """Return the version of each service that was installed by the newest run with versions."""
    return next((dict(each.versions) for each in found if each.versions), {})


def installed(kept: Kept) -> parts.Versions:
    """Return the installed versions."""
    return {
        (names.ServiceName(place[0]), names.ServerName(place[1])): found
        for key, value in kept.items()
        if (place := installed_versions.PLACES.parts(key)) is not None
        and (found := installed_versions.load(value)) is not None
    }


def deliveries(kept: Kept) -> tuple[DeliveredConfig, ...]:
    """Return the delivered configuration files, newest first."""
    found = (
        DeliveredConfig(*place, each)
        for key, value in kept.items()
        if (place := config_history.PLACES.parts(key)) is not None
        for each in config_history.load(value)
    )
    return tuple(sorted(found, key=lambda each: (each.handout.at, each.service, each.server), reverse=True))


def _found(name: str, kept: Kept) -> list[tuple[model.RunKey, run_records.Record]]:
    """Return the records with their runs, newest first."""
    found = [
        ((names.dag_id(name, operation), record.run), record)
        for operation in names.Operation
        for record in run_records.load(kept.get(run_records.key(operation)))
    ]
    return sorted(found, key=lambda each: each[1].began, reverse=True)


def _settled(record: run_records.Record, end: model.RunEnd | None) -> run_records.Record:
    if end is None:
        return run_records.settled(record, None)
    return run_records.settled(record, end.state, None if end.ended is None else end.ended.isoformat())
