"""Capacity limits of the embedded cloud, set by tests: a file in its state folder, read at each launch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pydantic
from pydantic import Field


class Limits(pydantic.BaseModel):
    """The available capacity. Resources that are not listed are unlimited."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    capacity: Mapping[str, Mapping[str, int]] = Field(
        default_factory=dict, description="How many instances of a size a zone can run: by zone, by size."
    )
    addresses: Mapping[str, int] = Field(
        default_factory=dict, description="How many addresses a subnet has, by its id."
    )
    storage: Mapping[str, int] = Field(
        default_factory=dict, description="The quota of EBS in GiB, by the type of volumes."
    )
    broken_images: frozenset[str] = Field(
        default=frozenset(), description="Images whose snapshots are gone, by their ids."
    )


def read(folder: Path) -> Limits:
    """Return the current limits; none if there is no file."""
    try:
        return Limits.model_validate_json(_file(folder).read_bytes())
    except FileNotFoundError:
        return Limits()


def write(folder: Path, limits: Limits) -> None:
    """Set the limits, from the next launch on."""
    draft = folder / f"limits.json.{os.getpid()}"
    draft.write_text(limits.model_dump_json())
    draft.replace(_file(folder))


def _file(folder: Path) -> Path:
    return folder / "limits.json"
