"""Slots of each tier that were filled at the end of the last launch, scaling or recovery.

Stored in the state of the deployment's asset, so that it outlives the servers.
"""

from __future__ import annotations

from collections.abc import Mapping

import pydantic

from gantry import names

KEY = "slots"
"""The key of the stored value."""

Slots = Mapping[names.TierName, tuple[names.Slot, ...]]

_SLOTS: pydantic.TypeAdapter[Slots] = pydantic.TypeAdapter(Slots)


def load(kept: object) -> Slots:
    """Load from JSON; empty if unreadable, for example written by another Gantry version."""
    try:
        return _SLOTS.validate_python(kept)
    except pydantic.ValidationError:
        return {}


def dump(found: Slots) -> pydantic.JsonValue:
    """Convert to JSON."""
    dumped: pydantic.JsonValue = _SLOTS.dump_python(found, mode="json")
    return dumped
