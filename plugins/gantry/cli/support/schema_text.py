"""The JSON Schema of the language, as `gantry schema` prints it and `gantry new` writes it."""

from __future__ import annotations


def current(*, overlay: bool = False) -> str:
    """The text of the schema file of this version."""
    from gantry.definition import schema as schemas  # noqa: PLC0415 - pydantic, which help need not load

    return (schemas.OVERLAY_FILE if overlay else schemas.DEFINITION_FILE).read_text()
