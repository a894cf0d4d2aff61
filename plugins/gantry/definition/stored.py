"""A definition as text that a DAG carries along, for the pages: who looks at them has no definition file at hand."""

from __future__ import annotations

import json
from typing import Any

import pydantic

from gantry.definition import models

_LEFT_OUT: dict[str, Any] = {
    "approval": {"notifiers", "body"},
    "deadline": True,
    "on_success_callback": True,
    "on_failure_callback": True,
    "variables": True,
    "launch_configurations": {"__all__": {"user_data": True, "chef": {"settings"}}},
    "services": {"__all__": {"custom"}},
    "tiers": {"__all__": {"attributes"}},
}
"""Free values. No page needs them, and somebody may have written into one what is nobody else's business."""

_NEEDED = ("cloud", "ssh")
"""The parts whose connections the pages use themselves, for the servers that there are and for the agent's log."""

NOT_TOLD = "not_told"
"""Stands where other connections are named: these are the business of tasks alone."""


def dump(definition: models.Definition) -> str:
    """A definition as JSON, without what no page shows. The same definition gives the same text."""
    found = definition.model_dump(mode="json", exclude_defaults=True, exclude=_LEFT_OUT)
    # Not sorted: the order of tiers and services is the file's, and plans follow it.
    return json.dumps(_without_connections(found))


def load(text: str) -> models.Definition | None:
    """What `dump` made; None for what another version of Gantry has written and this one cannot read."""
    try:
        return models.Definition.model_validate_json(text)
    except pydantic.ValidationError:
        return None


def _without_connections(found: Any, part: str = "") -> Any:  # noqa: ANN401 - JSON
    if isinstance(found, list):
        return [_without_connections(each, part) for each in found]
    if not isinstance(found, dict):
        return found
    return {
        key: NOT_TOLD if key == "connection" and part not in _NEEDED else _without_connections(value, key)
        for key, value in found.items()
    }
