"""Trigger forms: the fields of an operation's request as Airflow's params."""

from __future__ import annotations

from airflow.sdk import Param

from gantry.definition import models
from gantry.names import Operation
from gantry.requests import REQUESTS


def trigger_form(operation: Operation, definition: models.Definition) -> dict[str, Param]:
    """Return the params of an operation's DAG. Each has a default, so a scheduled run needs no input."""
    return {
        name: Param(each.default, description=each.description, **each.schema)
        for name, each in REQUESTS[operation].form(definition).items()
    }
