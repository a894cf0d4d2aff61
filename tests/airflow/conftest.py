"""One Airflow and one embedded cloud for all tests of this folder; a deployment of its own for each test."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gantry import local
from gantry.local import airflow_process, example
from tests.airflow import shell
from tests.airflow.shell import Gantry
from tests.airflow.stage import SECRETS, Stage

INCLUDE = Path(__file__).parents[2] / "include"
CLOUD = f"airflow-{os.getpid()}"
CHEF = "AIRFLOW_CONN_CHEF_DEFAULT"
"""Left out: this connection is found in a secrets backend."""


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
                **{name: value for name, value in shop.environment.items() if name != CHEF},
                **secrets_manager(cloud),
                # For the Test button of a connection's form.
                "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
                # So that a killed triggerer's work is taken over within the patience of a test.
                "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
                "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            },
        )
        found = Stage(cloud, shop, airflow, definitions, dags)
        found.connect("chef_default", found.chef_connection())
        yield found
    finally:
        if found is not None:
            found.close()
        if airflow is not None:
            airflow_process.stop(airflow)
        local.down(CLOUD)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def environ(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a person's shell has."""
    return shell.environ(stage, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def gantry(environ: dict[str, str]) -> Gantry:
    """Types a command."""
    return shell.typing(environ)


def secrets_manager(cloud: local.EmbeddedCloud) -> dict[str, str]:
    """Airflow's settings for connections that tests change, in AWS Secrets Manager; the others come as always."""
    backend = {
        "connections_prefix": SECRETS,
        "connections_lookup_pattern": "^(chef|tls|replication)_",
        "variables_prefix": None,
        "config_prefix": None,
        "region_name": cloud.region,
        "endpoint_url": cloud.endpoint_url,
        "aws_access_key_id": cloud.access_key_id,
        "aws_secret_access_key": cloud.secret_access_key,
    }
    return {
        "AIRFLOW__SECRETS__BACKEND": "airflow.providers.amazon.aws.secrets.secrets_manager.SecretsManagerBackend",
        "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
    }


@pytest.fixture(scope="session")
def taken() -> set[str]:
    """Names that tests have had. Airflow keeps what happened under a name, so no test has one that another had."""
    return set()


@pytest.fixture
def scrapped(stage: Stage, taken: set[str]) -> Iterator[Callable[[str], str]]:
    """Names for deployments that are taken away at the end of the test."""
    used: list[str] = []

    def name(wanted: str) -> str:
        assert wanted not in taken, f"another test had a deployment {wanted!r}: choose another name"
        taken.add(wanted)
        used.append(wanted)
        return wanted

    yield name
    for each in used:
        stage.scrap(each)
