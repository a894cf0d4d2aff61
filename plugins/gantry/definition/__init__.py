"""The definition language: parses YAML text into a checked and frozen `Definition`."""

from __future__ import annotations

from gantry.definition.loaded import Loaded, Value
from gantry.definition.loading import environments, load, loads, overlaid, read
from gantry.definition.models import Definition
from gantry.definition.source import DefinitionError, Origin, OriginKind, Position, Problem, Scalar

__all__ = [
    "Definition",
    "DefinitionError",
    "Loaded",
    "Origin",
    "OriginKind",
    "Position",
    "Problem",
    "Scalar",
    "Value",
    "environments",
    "load",
    "loads",
    "overlaid",
    "read",
]
