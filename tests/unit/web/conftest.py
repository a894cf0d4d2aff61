"""The pages over a real metadata database: Airflow's own application, its own login, real serialized DAGs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
