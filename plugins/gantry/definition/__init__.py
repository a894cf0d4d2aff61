"""The definition language: YAML text in, a checked and frozen `Definition` out."""

from __future__ import annotations

from gantry.definition.loading import load, loads, refusal
from gantry.definition.models import Definition
from gantry.definition.source import DefinitionError, Place, Problem

__all__ = ["Definition", "DefinitionError", "Place", "Problem", "load", "loads", "refusal"]
