"""A deployment's state in Airflow, read through its API: run records, configuration history, versions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pydantic

from gantry import names
from gantry.rest import client, errors
from gantry.state import config_history, filled_slots, installed_versions, keys, run_records

Record = run_records.Record

_RECORD = pydantic.TypeAdapter(list[run_records.Record])

Place = tuple[str, str]
"""A service and a server."""


@dataclasses.dataclass(frozen=True)
class DeliveredConfig:
    """A configuration file that a service received on a server."""

    service: str
    server: str
    handout: config_history.ConfigDelivery

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """Convert for programs."""
        return {"service": self.service, "server": self.server, **config_history.as_json(self.handout)}


@dataclasses.dataclass(frozen=True)
class KeptState:
    """The state of a deployment, as read."""

    api: client.AirflowApi = dataclasses.field(repr=False)
    name: str
    kept: Mapping[str, pydantic.JsonValue]

    def records(self) -> list[Record]:
        """Return the records of all operations' runs, newest first.

        Open records are completed from the run itself, if it still exists.
        """
        found = [
            _settled(self.api, self.name, operation, record)
            for operation in names.Operation
            for record in run_records.load(self.kept.get(run_records.key(operation.value)))
        ]
        return sorted(found, key=lambda each: each.began, reverse=True)

    def facts(self) -> list[DeliveredConfig]:
        """Return the delivered configuration files, newest first."""
        found = [
            DeliveredConfig(*place, each)
            for key, value in self.kept.items()
            if (place := config_history.PLACES.parts(key)) is not None
            for each in config_history.load(value)
        ]
        return sorted(found, key=lambda each: (each.handout.at, each.service, each.server), reverse=True)

    def facts_of(self, record: Record) -> list[DeliveredConfig]:
        """Return the files of one run, by service and server."""
        found = (
            each
            for each in self.facts()
            if (each.handout.operation, each.handout.run) == (record.operation, record.run)
        )
        return sorted(found, key=lambda each: (each.service, each.server))

    def slots(self) -> filled_slots.Slots:
        """Return the slots that were filled at the end of the last launch."""
        return filled_slots.load(self.kept.get(filled_slots.KEY))

    def versions(self) -> dict[Place, installed_versions.Installed]:
        """Return the installed versions, by service and server."""
        return {
            place: found
            for key, value in sorted(self.kept.items())
            if (place := installed_versions.PLACES.parts(key)) is not None
            and (found := installed_versions.load(value)) is not None
        }


def state_of(api: client.AirflowApi, name: str) -> KeptState:
    """Return the state of a deployment. Raises RestError."""
    return KeptState(api, name, kept(api, name))


def kept(api: client.AirflowApi, name: str) -> dict[str, pydantic.JsonValue]:
    """Return the stored values of a deployment, by key. Raises RestError."""
    new = api.asset_state(names.state(name))
    return keys.merged(new, {} if keys.MOVED in new else api.asset_state(names.asset(name)))


def records_of(api: client.AirflowApi, name: str) -> list[run_records.Record]:
    """Return the records of all operations' runs, newest first."""
    return state_of(api, name).records()


def as_json(found: list[run_records.Record]) -> list[pydantic.JsonValue]:
    """Convert for programs."""
    dumped: list[pydantic.JsonValue] = _RECORD.dump_python(found, mode="json")
    return dumped


def _settled(
    api: client.AirflowApi, name: str, operation: names.Operation, record: run_records.Record
) -> run_records.Record:
    if record.result is not run_records.Result.RUNNING:
        return record
    try:
        run = api.run(names.dag_id(name, operation), record.run)
    except errors.NotFoundError:
        return run_records.settled(record, None)
    return run_records.settled(record, run.state, run.ended)
