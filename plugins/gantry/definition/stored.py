"""Definition as text within a DAG, for the pages, which have no access to the definition file."""

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
"""Free-form values. No page needs them, and they may contain confidential data."""

_NEEDED = ("cloud", "ssh")
"""The sections whose connections the pages use themselves, for the servers and for the agent's log."""

NOT_TOLD = "not_told"
"""Placeholder for all other connections: only tasks need them."""


def dump(definition: models.Definition) -> str:
    """Serialize a definition as JSON, without parts that no page shows. The same definition gives the same text."""
    found = definition.model_dump(mode="json", exclude_defaults=True, exclude=_LEFT_OUT)
    # Not sorted: the order of tiers and services is the file's, and plans depend on it.
    return json.dumps(_without_connections(found))


def load(text: str) -> models.Definition | None:
    """Parse the output of `dump`; None if it was written by an incompatible version of Gantry."""
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
