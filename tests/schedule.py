"""Which tests stay together in one of pytest's workers, and which begin first.

A test that starts something for its whole module stays with the others of its module; where a folder starts something
for all its modules, with the whole folder. The others go to whichever worker is free. What takes longest begins first,
so that no worker is left alone with it at the end; what kills things that all share comes last.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]

ORDER = (
    "tests/newcomer",
    "tests/airflow/test_launch.py",
    "tests/airflow/test_backup.py",
    "tests/airflow/test_command_line.py",
    "tests/airflow/test_plan.py",
    "tests/airflow",
    "tests/chef_client",
    "tests/web",
    "tests/example",
    "tests/agent",
    "tests/cloud",
    "tests/local",
    "tests/chef_server",
    "tests/unit/web",
    "tests/unit",
)
"""Folders and modules, those that take longest first."""

APART = frozenset(
    f"tests/airflow/test_{name}.py" for name in ("chef", "faults", "on_failure", "runs", "turn")
)
"""Modules whose tests share nothing but the stage: each goes to whichever worker is free."""

FOLDERS = (
    "tests/newcomer",
    "tests/chef_server",
    "tests/local",
    "tests/cloud",
    "tests/agent",
    "tests/example",
    # Airflow's application with a database: some seconds of a processor for each worker that has one of its tests.
    "tests/unit/web",
)
"""Folders that start something for all their modules."""


def arrange(items: list[pytest.Item]) -> None:
    """Give each test its group, and put the tests into their order."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (group := _group(_path(item), item)):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: _rank(_path(item), item))


def _path(item: pytest.Item) -> str:
    """Of the test's module, from the project's root."""
    return item.path.relative_to(_ROOT).as_posix()


def _group(module: str, item: pytest.Item) -> str:
    if _is_alone(item):
        return "alone"
    if module in APART:
        return ""
    return _first(module, FOLDERS) or module


def _rank(module: str, item: pytest.Item) -> int:
    last = _is_alone(item)
    return len(ORDER) if last else ORDER.index(_first(module, ORDER) or ORDER[-1])


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _first(module: str, prefixes: Iterable[str]) -> str | None:
    return next((each for each in prefixes if f"{module}/".startswith(f"{each}/")), None)
