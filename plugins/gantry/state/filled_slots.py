"""Which slots of each tier were filled when the last launch, scaling or recovery had arrived.

This is kept in the state of the deployment's asset, so that it outlives the servers.
"""

from __future__ import annotations

from collections.abc import Mapping

import pydantic

from gantry import names

KEY = "slots"
"""Under which it is kept."""

Slots = Mapping[names.TierName, tuple[names.Slot, ...]]

_SLOTS: pydantic.TypeAdapter[Slots] = pydantic.TypeAdapter(Slots)


def load(kept: object) -> Slots:
    """From JSON; nothing for what cannot be read, as another Gantry may have written it."""
    try:
        return _SLOTS.validate_python(kept)
    except pydantic.ValidationError:
        return {}


def dump(found: Slots) -> pydantic.JsonValue:
    """As JSON."""
    dumped: pydantic.JsonValue = _SLOTS.dump_python(found, mode="json")
    return dumped
