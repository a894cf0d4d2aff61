"""The records of a deployment's runs, read through Airflow's API."""

from __future__ import annotations

import dataclasses

import pydantic

from gantry import names
from gantry.rest import client, errors
from gantry.status import records

_RECORD = pydantic.TypeAdapter(list[records.Record])
_RESULTS = {"success": records.Result.SUCCESS, "failed": records.Result.FAILED}


def records_of(api: client.Api, name: str) -> list[records.Record]:
    """What is kept of all operations' runs, the newest first.

    Of a record that nobody closed, the run itself tells how it ended, if it is there still.
    """
    state = api.asset_state(names.asset(name))
    found = [
        _settled(api, name, operation, record)
        for operation in names.Operation
        for record in records.load(state.get(records.key(operation.value)))
    ]
    return sorted(found, key=lambda each: each.began, reverse=True)


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
        # Somebody deleted it before it was closed.
        return dataclasses.replace(record, result=records.Result.FAILED)
    if not run.is_over:
        return record
    return dataclasses.replace(record, result=_RESULTS.get(run.state, records.Result.FAILED), over=run.ended)
