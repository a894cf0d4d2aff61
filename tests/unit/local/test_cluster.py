"""The cluster of several machines, as far as it can be told without root: what it is read from, what it lacks."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import subprocess

import pytest

from gantry.local.cluster import composition, stage

CLUSTER = pathlib.Path(composition.__file__).parent


def test_each_service_of_the_compose_file_is_a_machine() -> None:
    roles = {role.name: role for role in composition.read()}

    assert [name for name in roles if name != composition.PREPARE] == [
        "postgres", "redis", "api-server", "scheduler-1", "scheduler-2", "dag-processor",
        "triggerer-1", "triggerer-2", "worker-1", "worker-2",
    ]  # fmt: skip
    assert roles["worker-2"].command == ("airflow", "celery", "worker")
    assert roles["worker-2"].service == "worker"
    assert roles["scheduler-1"].environment["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "0.1"


def test_a_worker_of_the_cluster_has_neither_the_database_nor_the_keys() -> None:
    (worker, _) = [role for role in composition.read() if role.service == "worker"]

    assert not {"sql_alchemy_conn", "fernet_key", "jwt_secret", "connections.json"} & set(worker.secrets)
    assert not [name for name in worker.environment if "SQL_ALCHEMY_CONN" in name or "FERNET" in name]


def test_what_a_container_would_be_told_is_told_to_a_machine() -> None:
    roles = {role.name: role for role in composition.read()}

    assert roles["prepare"].command[:2] == ("/bin/bash", "-ceu")
    assert "airflow db migrate" in roles["prepare"].command[2]
    redis = roles["redis"].command[2]
    # Compose writes a dollar sign twice; and the image's volume is the machine's own folder.
    assert "$(cat /run/secrets/redis_password)" in redis
    assert "$$" not in redis
    assert "dir /opt/airflow" in redis


def test_what_is_missing_is_said_at_once_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "celery" else object())
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "redis-server" else name)

    with pytest.raises(stage.MissingError) as caught:
        stage.require()

    assert caught.value.missing == ("celery", "redis-server")
    assert "airflow-provider-gantry[cluster]" in str(caught.value)
    assert "apt-get install" in str(caught.value)


@pytest.mark.parametrize("script", sorted(CLUSTER.glob("*.sh")), ids=lambda path: str(path.name))
def test_the_scripts_are_clean(script: pathlib.Path) -> None:
    seen = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
    assert seen.stdout == ""
