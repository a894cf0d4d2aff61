"""The tests' Airflow has a home of its own: neither a person's, nor that of another worker of pytest-xdist."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = (
    "import os, tests.conftest; home = os.environ['AIRFLOW_HOME']; assert os.path.isdir(home); print(home)"
)


def home(inherited: pathlib.Path, worker: str = "") -> pathlib.Path:
    """The home in a process that runs tests."""
    environment = {each: value for each, value in os.environ.items() if each != "PYTEST_XDIST_WORKER"}
    environment["AIRFLOW_HOME"] = str(inherited)
    if worker:
        environment["PYTEST_XDIST_WORKER"] = worker
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return pathlib.Path(run.stdout.strip())


def test_a_person_s_own_home_is_not_touched(tmp_path: pathlib.Path) -> None:
    found = home(tmp_path)
    assert not found.is_relative_to(tmp_path)
    assert not found.exists(), "it goes with the process"
    assert list(tmp_path.iterdir()) == []


def test_each_worker_has_a_folder_in_the_home_of_the_process_that_started_it(tmp_path: pathlib.Path) -> None:
    found = {home(tmp_path, worker) for worker in ("gw0", "gw1")}
    assert found == {tmp_path / "gw0", tmp_path / "gw1"}
