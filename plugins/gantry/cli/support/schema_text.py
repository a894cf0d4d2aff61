"""The JSON Schema of definitions, as printed by `gantry schema` and written by `gantry new`."""

from __future__ import annotations


def current(*, overlay: bool = False) -> str:
    """Return the text of this version's schema file."""
    from gantry.definition import schema as schemas  # noqa: PLC0415 - pydantic, which help need not load

    return (schemas.OVERLAY_FILE if overlay else schemas.DEFINITION_FILE).read_text()
