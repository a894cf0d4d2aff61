"""Airflow's own supervisor ends a task's process: what becomes of the script, and of the task."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent_scripts.server import until

SUPERVISED = Path(__file__).with_name("supervised.py")


class Supervised:
    """A task that follows a script, in a process of its own, and its supervisor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "1",
        }
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(SUPERVISED), str(folder)],
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(lambda: self.has("begun"), "the script to begin", 60)

    def has(self, name: str) -> bool:
        return (self.folder / name).exists()

    def put(self, name: str) -> None:
        (self.folder / name).touch()

    def ends(self) -> list[str]:
        """Wait for the supervisor's end; the states that it has told of."""
        self.process.wait(60)
        states = self.folder / "states"
        return states.read_text().split() if states.exists() else []


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    found = Supervised(tmp_path)
    yield found
    if found.process.poll() is None:
        os.killpg(found.process.pid, signal.SIGKILL)
        found.process.wait()


def test_a_shutdown_leaves_the_script_and_the_task_is_tried_again(supervised: Supervised) -> None:
    supervised.process.send_signal(signal.SIGTERM)
    assert supervised.ends() == ["up_for_retry"]
    assert not supervised.has("ended")


def test_an_api_server_that_is_away_leaves_the_script(supervised: Supervised) -> None:
    supervised.put("away")
    # It cannot be told of either: Airflow misses the heartbeats, and has the task tried again.
    assert supervised.ends() == []
    assert not supervised.has("ended")


def test_a_mark_ends_the_script(supervised: Supervised) -> None:
    supervised.put("marked")
    supervised.ends()
    assert supervised.has("ended")
