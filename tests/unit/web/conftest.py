"""The pages over a real metadata database: Airflow's own application, its own login, real serialized DAGs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

import pytest

# Airflow writes a configuration and its database where it is imported first; not into anybody's home.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="gantry-unit-airflow-"))

from tests.unit.web import rig


@pytest.fixture(scope="session")
def airflow() -> Iterator[rig.Airflow]:
    """Airflow's API server with the pages, on an empty database, with the simple auth manager."""
    with rig.started() as found:
        yield found


@pytest.fixture
def office(airflow: rig.Airflow) -> Iterator[rig.Airflow]:
    """The same, without deployments."""
    airflow.clear()
    yield airflow
    airflow.clear()
