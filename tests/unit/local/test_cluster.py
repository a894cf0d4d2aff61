"""The cluster of several machines, as far as it can be told without root: what it is read from, what it lacks."""

from __future__ import annotations

import importlib.util
import pathlib
import shutil
import subprocess
import types
from typing import Any, cast

import pytest

from gantry.local.cloud import control
from gantry.local.cluster import __main__ as command
from gantry.local.cluster import bookshop, composition, stage, supervisor
from gantry.local.demo import cleanup
from tests import conftest

ROOT = pathlib.Path(__file__).parents[3]
CLUSTER = pathlib.Path(composition.__file__).parent


@pytest.fixture
def removed(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is removed, in a place of its own, and without a look at this machine's network."""
    monkeypatch.setenv("GANTRY_LOCAL_STATE", str(tmp_path))
    found: list[str] = []

    def remove(name: str) -> list[str]:
        found.append(name)
        return ["supervisord 12"]

    monkeypatch.setattr(bookshop, "remove", remove)
    monkeypatch.setattr(bookshop, "left", lambda _: [])
    return found


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


def test_without_what_it_is_made_of_nothing_is_begun(
    removed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    def lacking() -> None:
        raise stage.MissingError(["redis-server"])

    monkeypatch.setattr(stage, "require", lacking)
    monkeypatch.setattr(control, "up", lambda *_, **__: pytest.fail("a cloud was begun"))

    assert command.main(["--project", str(ROOT)]) == 1
    assert "the cluster needs redis-server" in capsys.readouterr().out
    assert removed == [bookshop.NAME]


def test_what_a_killed_one_left_is_removed_and_one_that_runs_is_left_alone(
    removed: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with cleanup.only_one(bookshop.NAME):
        assert command.main(["--clean"]) == 0
        assert command.main([]) == 1
    assert removed == []
    said = " ".join(capsys.readouterr().out.split())
    assert "is running already; interrupt it (Ctrl-C) first. A machine has one cluster at a time" in said
    # An option that this command does not have.
    assert "--name" not in said

    assert command.main(["--clean"]) == 0
    assert removed == [bookshop.NAME]
    assert "removed what a killed run left: supervisord 12" in capsys.readouterr().out


def test_without_a_docker_engine_there_is_no_more_to_remove(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANTRY_LOCAL_STATE", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.setattr(stage, "left", lambda _: [])
    ended: list[str] = []
    monkeypatch.setattr(stage, "remove", ended.append)
    assert command.main(["--clean"]) == 0
    assert ended == [bookshop.NAME]


def test_a_supervisor_that_was_killed_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    found = supervisor.Supervisor(tmp_path)
    assert found.own_pid() == 0
    # Its number belongs to another process by now.
    (tmp_path / "supervisord.pid").write_text("1\n")
    assert found.own_pid() == 0


def test_make_has_an_environment_of_its_own_for_it() -> None:

    def commands(*words: str) -> str:
        return subprocess.check_output(["make", "--dry-run", *words], cwd=ROOT, text=True)

    demo = commands("demo", "CLUSTER=1", "ONCE=1")
    assert "docker/setup-python.sh --environment .work/cluster" in demo
    assert "docker/with-machine.sh --cluster .work/cluster/bin/python -m gantry.local.cluster --once" in demo
    assert ".venv" not in demo
    assert "cluster" not in commands("demo", "ONCE=1")


def test_its_tests_run_only_where_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    def ignored(folder: str, *arguments: str) -> bool | None:
        config = cast("Any", types.SimpleNamespace(args=arguments))
        return conftest.pytest_ignore_collect(ROOT / "tests" / folder, config)

    assert ignored("cluster", "tests")
    assert ignored("cluster", "tests/unit")
    assert ignored("cluster", "tests/cluster") is None
    assert ignored("cluster", "tests/unit", "tests/cluster/test_faults.py::test_one") is None
    assert ignored("unit", "tests") is None
