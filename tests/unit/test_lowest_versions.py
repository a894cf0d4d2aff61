"""What `pyproject.toml` calls the lowest version of a dependency is the one that `make test-lowest` has tried.

A bound that is too low for something else, Airflow for one, says what nobody can install.
"""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ENVIRONMENT = Path(__file__).parents[2] / ".work" / "lowest"
NAME = "airflow-provider-gantry"


def bounds() -> dict[str, Version]:
    """The lower bound of each dependency that has one, those of all extras too."""
    found = [Requirement(each) for each in metadata.requires(NAME) or ()]
    return {
        each.name: Version(bound.version)
        for each in found
        for bound in each.specifier
        if bound.operator == ">="
    }


@pytest.mark.skipif(Path(sys.prefix) != ENVIRONMENT, reason="runs on the lowest versions: make test-lowest")
def test_each_lower_bound_is_what_was_installed() -> None:
    allowed = bounds()
    assert {"apache-airflow", "moto", "redis"} <= set(allowed)
    assert {each: Version(metadata.version(each)) for each in allowed} == allowed
