"""A deployment's state in Airflow, read through its API: run records, configuration history, versions."""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Collection, Mapping

import pydantic

from gantry import names, overview
from gantry.rest import client, errors
from gantry.state import keys, run_records

_RECORD = pydantic.TypeAdapter(tuple[run_records.Record, ...])


@dataclasses.dataclass(frozen=True)
class KeptState:
    """The state of a deployment, as read."""

    api: client.AirflowApi = dataclasses.field(repr=False)
    name: str
    kept: Mapping[str, object]

    def records(self) -> tuple[run_records.Record, ...]:
        """Return the records of all operations' runs, newest first."""
        return overview.history(self.name, self.kept, functools.partial(ends, self.api))

    def facts(self) -> tuple[overview.DeliveredConfig, ...]:
        """Return the delivered configuration files, newest first."""
        return overview.deliveries(self.kept)

    def facts_of(self, record: run_records.Record) -> tuple[overview.DeliveredConfig, ...]:
        """Return the files of one run, by service and server."""
        found = (
            each
            for each in self.facts()
            if (each.handout.operation, each.handout.run) == (record.operation, record.run)
        )
        return tuple(sorted(found, key=lambda each: (each.service, each.server)))


def state_of(api: client.AirflowApi, name: str) -> KeptState:
    """Return the state of a deployment. Raises RestError."""
    return KeptState(api, name, kept(api, name))


def kept(api: client.AirflowApi, name: str) -> dict[str, pydantic.JsonValue]:
    """Return the stored values of a deployment, by key. Raises RestError."""
    new = api.asset_state(names.state(name))
    return keys.merged(new, {} if keys.MOVED in new else api.asset_state(names.asset(name)))


def ends(api: client.AirflowApi, runs: Collection[overview.RunKey]) -> dict[overview.RunKey, overview.RunEnd]:
    """Return the ends of these runs, without those that Airflow has forgotten."""
    found = {}
    for dag, run in runs:
        try:
            end = api.run(dag, run)
        except errors.NotFoundError:
            continue
        ended = datetime.datetime.fromisoformat(end.ended) if end.ended else None
        found[dag, run] = overview.RunEnd(end.state, ended)
    return found


def as_json(found: tuple[run_records.Record, ...]) -> list[pydantic.JsonValue]:
    """Convert for programs."""
    dumped: list[pydantic.JsonValue] = _RECORD.dump_python(found, mode="json")
    return dumped
