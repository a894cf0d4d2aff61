"""What Airflow keeps of a deployment, read through its API: records of runs, facts, versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pydantic

from gantry import names
from gantry.rest import client, errors
from gantry.status import filled, handouts, places, records, versions

Record = records.Record

_RECORD = pydantic.TypeAdapter(list[records.Record])

Place = tuple[str, str]
"""A service and a server."""


@dataclasses.dataclass(frozen=True)
class Told:
    """A file that a service was handed on a server."""

    service: str
    server: str
    handout: handouts.Handout

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """For programs."""
        return {"service": self.service, "server": self.server, **handouts.as_json(self.handout)}


@dataclasses.dataclass(frozen=True)
class State:
    """What is kept of a deployment, as it was read."""

    api: client.Api = dataclasses.field(repr=False)
    name: str
    kept: Mapping[str, pydantic.JsonValue]

    def records(self) -> list[Record]:
        """What is kept of all operations' runs, the newest first.

        Of a record that nobody closed, the run itself tells how it ended, if it is there still.
        """
        found = [
            _settled(self.api, self.name, operation, record)
            for operation in names.Operation
            for record in records.load(self.kept.get(records.key(operation.value)))
        ]
        return sorted(found, key=lambda each: each.began, reverse=True)

    def facts(self) -> list[Told]:
        """The files that were handed out, the newest first."""
        found = [
            Told(*place, each)
            for key, value in self.kept.items()
            if (place := handouts.PLACES.parts(key)) is not None
            for each in handouts.load(value)
        ]
        return sorted(found, key=lambda each: (each.handout.at, each.service, each.server), reverse=True)

    def facts_of(self, record: Record) -> list[Told]:
        """Those of one run, by service and server."""
        found = (
            each
            for each in self.facts()
            if (each.handout.operation, each.handout.run) == (record.operation, record.run)
        )
        return sorted(found, key=lambda each: (each.service, each.server))

    def slots(self) -> filled.Slots:
        """The slots that were filled when the last launch had arrived."""
        return filled.load(self.kept.get(filled.KEY))

    def versions(self) -> dict[Place, versions.Installed]:
        """What is installed where."""
        return {
            place: found
            for key, value in sorted(self.kept.items())
            if (place := versions.PLACES.parts(key)) is not None
            and (found := versions.load(value)) is not None
        }


def state_of(api: client.Api, name: str) -> State:
    """What is kept of a deployment. Raises RestError."""
    return State(api, name, kept(api, name))


def kept(api: client.Api, name: str) -> dict[str, pydantic.JsonValue]:
    """What is kept of a deployment, by key. Raises RestError."""
    new = api.asset_state(names.state(name))
    return places.merged(new, {} if places.MOVED in new else api.asset_state(names.asset(name)))


def records_of(api: client.Api, name: str) -> list[records.Record]:
    """What is kept of all operations' runs, the newest first."""
    return state_of(api, name).records()


def as_json(found: list[records.Record]) -> list[pydantic.JsonValue]:
    """For programs."""
    dumped: list[pydantic.JsonValue] = _RECORD.dump_python(found, mode="json")
    return dumped


def _settled(
    api: client.Api, name: str, operation: names.Operation, record: records.Record
) -> records.Record:
    if record.result is not records.Result.RUNNING:
        return record
    try:
        run = api.run(names.dag_id(name, operation), record.run)
    except errors.NotFoundError:
        return records.settled(record, None)
    return records.settled(record, run.state, run.ended)
