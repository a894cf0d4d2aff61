from __future__ import annotations

from collections.abc import Iterator

import pytest

from gantry.rest import client, login
from tests import airflow_api


@pytest.fixture
def airflow() -> Iterator[airflow_api.Airflow]:
    with airflow_api.serving() as serving:
        yield serving


@pytest.fixture
def ada(airflow: airflow_api.Airflow) -> client.AirflowApi:
    return client.AirflowApi(login.AirflowLogin(airflow.url, username="ada", password="secret"))
