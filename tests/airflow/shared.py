"""One Airflow and one embedded cloud for all processes of a test run; `tests/owner.py` starts and ends them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import pickle
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gantry import local
from gantry.local.demo import airflow_process, cleanup, example, postgresql
from tests import owner
from tests.airflow.stage import SECRETS

INCLUDE = Path(__file__).parents[2] / "include"
CHEF = "AIRFLOW_CONN_CHEF_DEFAULT"
"""Left out: this connection is found in a secrets backend."""

_READY_SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class Shared:
    """What all processes of a test run use together."""

    cloud: local.EmbeddedCloud
    shop: example.Example
    airflow: airflow_process.AirflowProcess
    database: postgresql.PostgreSQL
    definitions: Path
    dags: Path


def start(here: Path, cloud_name: str) -> Shared:
    """Start everything, in the folder of a test run."""
    dags, definitions = here / "dags", here / "definitions"
    dags.mkdir()
    definitions.mkdir()
    database = postgresql.start(here / "database", secrets.token_urlsafe(12))
    cloud = local.up(cloud_name)
    shop = example.prepare(cloud, INCLUDE, here / "example")
    airflow = airflow_process.start(here / "airflow", dags, settings(cloud, shop, database))
    return Shared(cloud, shop, airflow, database, definitions, dags)


def stop(here: Path, cloud_name: str) -> None:
    """End what was started in a folder, however far that got."""
    cleanup.end_airflow(here / "airflow")
    postgresql.stop(here / "database")
    local.down(cloud_name)


def settings(
    cloud: local.EmbeddedCloud, shop: example.Example, database: postgresql.PostgreSQL
) -> dict[str, str]:
    """Airflow's settings, where they differ from the demo's."""
    return {
        **{name: value for name, value in shop.environment.items() if name != CHEF},
        **secrets_manager(cloud),
        # SQLite lets one write at a time, and here many launches go on side by side.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database.url,
        "AIRFLOW__CORE__PARALLELISM": "24",
        # The demo's scheduler looks ten times a second, which takes the processor from the launches here. A look goes
        # through all tasks of all runs: what a step waits for the next look is less than what more of them would take.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
        # No test takes a loader away, so that there are a hundred in the end, and to read all of them takes as much as
        # some launches. New ones are read at once, and others where a test asks for it (`Stage.reparse`).
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "7200",
        # A line for each request would be written by the API server and once more by `standalone`, and read by nobody.
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "http.access=WARNING",
        # What is parsed anew is known at once, also when a test changes it twice within half a minute.
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
        # For the Test button of a connection's form.
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        # So that a killed triggerer's work is taken over within the patience of a test.
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "45",
    }


def secrets_manager(cloud: local.EmbeddedCloud) -> Mapping[str, str]:
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


def find() -> Shared:
    """What is shared; it is started now if nobody has asked for it before."""
    here = owner.folder()
    (here / owner.WANTED).touch()
    deadline = time.monotonic() + _READY_SECONDS
    while (found := _read(here)) is None:
        assert not (here / owner.FAILURE).exists(), (here / owner.FAILURE).read_text()
        assert time.monotonic() < deadline, f"no Airflow within {_READY_SECONDS:g} s"
        time.sleep(0.1)
    return found


def take_name(name: str) -> bool:
    """Whether no test of this run, in whatever process, has had this name before."""
    taken = owner.folder() / "names"
    taken.mkdir(exist_ok=True)
    try:
        (taken / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@contextlib.contextmanager
def used(*, alone: bool) -> Iterator[None]:
    """Hold what is shared, beside other tests or alone."""
    with (owner.folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _read(here: Path) -> Shared | None:
    try:
        found: Shared = pickle.loads((here / owner.FOUND).read_bytes())
    except FileNotFoundError:
        return None
    return found
