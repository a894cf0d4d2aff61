"""The end of a run says where its time went."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from tests import timing

ROOT = pathlib.Path(__file__).parents[2]
SLOW = "tests/web/test_looks.py::test_it"
QUICK = "tests/unit/web/test_api.py::test_it[a@b]"


def measured(**seconds: float) -> timing.Durations:
    durations = timing.Durations()
    for name, each in seconds.items():
        durations.add(f"tests/{name}/test_it.py::test_it", each)
    return durations


def test_the_phases_of_a_test_are_added_up_whatever_its_group() -> None:
    durations = timing.Durations()
    for seconds in (1.0, 0.5):
        durations.add(f"{SLOW}@web", seconds)
        durations.add(f"{QUICK}@b", seconds / 10)
    durations.add(SLOW, 0.25)
    durations.add(QUICK, 0.1)
    assert durations.of_tests == pytest.approx({SLOW: 1.75, QUICK: 0.25})
    assert durations.of_folders() == pytest.approx({"tests/web": 1.75, "tests/unit": 0.25})


def test_the_slowest_come_first_and_no_more_than_ten() -> None:
    durations = timing.Durations({f"tests/unit/test_it.py::test_{each}": each for each in range(20)})
    assert [seconds for _, seconds in durations.slowest()] == list(range(19, 9, -1))


def test_a_folder_past_its_budget_is_a_warning() -> None:
    durations = measured(agent=61.0, web=59.0, other=5.0)
    said = list(timing.lines(durations, {"tests/agent": 60, "tests/web": 60}))
    assert "    61.0 s     of 60 s  tests/agent" in said
    assert "    59.0 s     of 60 s  tests/web" in said
    assert "     5.0 s   no budget  tests/other" in said
    warnings = [line for line in said if line.startswith("WARNING")]
    assert warnings == ["WARNING: tests/agent took 61 s, its budget is 60 s (tests/timing.py)"]


def test_every_folder_of_tests_has_a_budget() -> None:
    folders = {f"tests/{path.parent.name}" for path in ROOT.glob("tests/*/test_*.py")}
    assert folders == set(timing.BUDGETS)


def test_a_run_with_workers_ends_with_it(tmp_path: pathlib.Path) -> None:
    (tmp_path / "conftest.py").write_text(
        "from tests import timing\n"
        "def pytest_configure(config):\n    config.pluginmanager.register(timing.Timing())\n"
    )
    (tmp_path / "test_it.py").write_text(
        "import pytest\n@pytest.mark.xdist_group('alone')\ndef test_it():\n    pass\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "xdist", "-n1", "--dist=loadgroup", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    after = run.stdout.partition("where the time went")[2].splitlines()
    assert [line.split(maxsplit=2)[2] for line in after if line.endswith("::test_it")] == [
        "test_it.py::test_it"
    ]
