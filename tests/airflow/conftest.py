"""One Airflow and one embedded cloud for all tests of this folder; a deployment of its own for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantry import local
from gantry.local import airflow_process, example
from tests.airflow.stage import Stage

INCLUDE = Path(__file__).parents[2] / "include"
CLOUD = f"airflow-{os.getpid()}"


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The running stage."""
    folder = Path(tempfile.mkdtemp(prefix="gantry-airflow-"))
    dags, definitions = folder / "dags", folder / "definitions"
    dags.mkdir()
    definitions.mkdir()
    cloud = local.up(CLOUD)
    airflow = found = None
    try:
        shop = example.prepare(cloud, INCLUDE, folder / "example")
        airflow = airflow_process.start(
            folder / "airflow",
            dags,
            {
                **shop.environment,
                # So that a killed triggerer's work is taken over within the patience of a test.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            },
        )
        found = Stage(cloud, shop, airflow, definitions, dags)
        yield found
    finally:
        if found is not None:
            found.close()
        if airflow is not None:
            airflow_process.stop(airflow)
        local.down(CLOUD)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scrapped(stage: Stage) -> Iterator[Callable[[str], str]]:
    """Names for deployments that are taken away at the end of the test."""
    used: list[str] = []

    def name(wanted: str) -> str:
        used.append(wanted)
        return wanted

    yield name
    for each in used:
        stage.scrap(each)
