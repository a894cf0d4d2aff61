"""Tests of one module or folder stay together in a worker; what kills things that all share comes last."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import schedule

ROOT = Path(__file__).parents[2]
MODULES = ("tests/unit/test_templates.py", "tests/unit/test_archive.py")


def test_workers_are_handed_whole_groups() -> None:
    words = ["-m", "pytest", "-n", "2", "--dist", "loadgroup", "-v", *MODULES]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    ran = re.findall(r"^\[(gw\d)\].* PASSED (tests/unit/\w+\.py)::.*@(\S+)", done.stdout, re.MULTILINE)
    assert {module for _, module, _ in ran} == set(MODULES)
    assert all(group == module for _, module, group in ran)
    assert len({(worker, group) for worker, _, group in ran}) == 2


@pytest.mark.parametrize("place", sorted({*schedule.ORDER, *schedule.APART, *schedule.FOLDERS}))
def test_what_the_schedule_names_is_there(place: str) -> None:
    assert (ROOT / place).exists()
