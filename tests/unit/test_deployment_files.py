"""The files for several machines: each setting in them is one that Airflow, or a provider of it, has."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from airflow import configuration, providers_manager
from gantry import warm_up

DOCKER = pathlib.Path(__file__).parents[2] / "docker"
COMPOSE = DOCKER / "compose.yaml"
HELM = (DOCKER / "helm" / "values.yaml", DOCKER / "helm" / "kubernetes-executor.yaml")
VARIABLE = re.compile(r"AIRFLOW__(?P<section>[A-Z0-9_]+?)__(?P<option>[A-Z0-9_]+?)(?P<command>_CMD)?")

# Providers that are in Airflow's image and not in this environment: what the files set of theirs, read in the providers
# celery 3.26.0 and cncf.kubernetes 10.25.0. Where they are installed, they are asked themselves.
NOT_HERE = {
    "celery": {
        "broker_url": True,
        "result_backend": True,
        "extra_celery_config": False,
        "worker_concurrency": False,
    },
    "kubernetes_executor": {
        "delete_worker_pods_on_failure": False,
        "worker_pods_creation_batch_size": False,
    },
}


def known() -> dict[str, dict[str, bool]]:
    """Every option by section, and whether a command may tell it (Airflow allows that for secrets only)."""
    found: dict[str, dict[str, bool]] = {name: dict(options) for name, options in NOT_HERE.items()}
    described = dict(configuration.retrieve_configuration_description())
    manager: Any = providers_manager.ProvidersManager
    for _, section in manager().provider_configs:
        described |= section
    for name, section in described.items():
        options = {
            option.lower(): bool(about.get("sensitive")) for option, about in section["options"].items()
        }
        found[name.lower()] = options
    return found


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load(COMPOSE.read_text()))


def settings_of(service: Mapping[str, Any]) -> Iterator[tuple[str, str, bool]]:
    for variable in service.get("environment", {}):
        match = VARIABLE.fullmatch(variable)
        if match is not None:
            yield match["section"].lower(), match["option"].lower(), match["command"] is not None
        else:
            assert not variable.startswith("AIRFLOW__"), f"{variable} is no setting"


def airflows(services: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in services.items() if each["image"] == "airflow-gantry"}


def test_compose_sets_what_airflow_has() -> None:
    options = known()

    for name, service in airflows(compose()["services"]).items():
        settings = list(settings_of(service))
        assert len(settings) > 10, name
        for section, option, by_command in settings:
            assert option in options.get(section, {}), f"{name}: [{section}] {option}"
            if by_command:
                assert options[section][option], f"{name}: no command may tell [{section}] {option}"


@pytest.mark.parametrize("path", HELM, ids=lambda path: str(path.name))
def test_the_chart_sets_what_airflow_has(path: pathlib.Path) -> None:
    options = known()
    values = yaml.safe_load(path.read_text())

    assert values["config"]
    for section, wanted in values["config"].items():
        for option in wanted:
            assert option in options.get(section, {}), f"[{section}] {option}"


def test_compose_and_the_chart_set_the_same() -> None:
    ours = {
        (section, option): str(value)
        for section, wanted in yaml.safe_load(HELM[0].read_text())["config"].items()
        for option, value in wanted.items()
        # Compose has no store of objects; and how many versions of which file are parsed is said by the bundle.
        if section != "logging"
    }
    theirs = {
        (match["section"].lower(), match["option"].lower()): value
        for variable, value in compose()["x-settings"].items()
        if (match := VARIABLE.fullmatch(variable)) is not None
    }

    assert {name: theirs.get(name) for name in ours} == ours


def test_a_worker_gets_neither_the_database_nor_the_keys() -> None:
    services = compose()["services"]
    worker = services["worker"]
    kept = {("database", "sql_alchemy_conn"), ("core", "fernet_key"), ("api_auth", "jwt_secret")}

    assert kept & {(section, option) for section, option, _ in settings_of(worker)} == set()
    assert set(worker["secrets"]) == {"celery_broker_url", "celery_result_backend", "api_secret_key"}
    assert kept <= {(section, option) for section, option, _ in settings_of(services["scheduler"])}


def test_each_secret_that_is_read_is_given_and_made(tmp_path: pathlib.Path) -> None:
    subprocess.run(["sh", str(DOCKER / "airflow" / "make-secrets.sh"), str(tmp_path)], check=True)
    whole = compose()

    assert {name: each["file"] for name, each in whole["secrets"].items()} == {
        path.name: f"./secrets/{path.name}" for path in tmp_path.iterdir()
    }
    for name, service in whole["services"].items():
        read = set(re.findall(r"/run/secrets/([\w.]+)", json.dumps(service)))
        assert read <= set(service.get("secrets", ())), name


def test_made_secrets_fit_each_other_and_stay(tmp_path: pathlib.Path) -> None:
    from cryptography import fernet  # noqa: PLC0415 - only here

    made = []
    for _ in range(2):
        subprocess.run(["sh", str(DOCKER / "airflow" / "make-secrets.sh"), str(tmp_path)], check=True)
        made.append({path.name: path.read_text() for path in tmp_path.iterdir()})

    assert made[0] == made[1]
    # Airflow takes all that a command prints, a newline too.
    assert [name for name, text in made[0].items() if text.endswith("\n")] == ["connections.json"]
    assert f":{made[0]['postgres_password']}@postgres:" in made[0]["sql_alchemy_conn"]
    assert f":{made[0]['redis_password']}@redis:" in made[0]["celery_broker_url"]
    fernet.Fernet(made[0]["fernet_key"])
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_what_celery_imports_loads_what_tasks_need(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[bool] = []
    monkeypatch.setattr(warm_up, "load", lambda: loaded.append(True))

    for module in json.loads(compose()["x-settings"]["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])["imports"]:
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.import_module(module)

    assert loaded


PATIENCE = """
import statistics
import tenacity
from airflow.sdk.api import client

retry = client.Client.request.retry


def waited():
    state = tenacity.RetryCallState(retry, None, (), {})
    total = 0.0
    for state.attempt_number in range(1, retry.stop.max_attempt_number):
        total += retry.wait(state)
    return total


found = sorted(waited() for _ in range(400))
print(statistics.mean(found), found[4], found[-4])
"""
"""How long the client of a task goes on asking an API server that refuses each time: mean, 1 % and 99 %, in seconds."""


def test_a_task_waits_for_an_api_server_as_long_as_the_page_says(tmp_path: pathlib.Path) -> None:
    settings = compose()["x-settings"]
    patience = {name: str(value) for name, value in settings.items() if "EXECUTION_API_RETR" in name}
    assert len(patience) == 2
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), **patience}

    # Read when it is imported, so in a process of its own.
    said = subprocess.check_output([sys.executable, "-c", PATIENCE], env=environment, text=True)

    mean, shortest, longest = map(float, said.splitlines()[-1].split())
    # Two minutes of absence and a slow start fit in. Much longer is of no use: the task counts as dead after 300 s.
    assert 275 < mean < 305
    assert shortest > 215
    assert longest < 370


def test_the_image_is_of_the_airflow_that_is_tested() -> None:
    here = importlib.metadata.version("apache-airflow")
    dockerfile = (DOCKER / "airflow" / "Dockerfile").read_text()

    assert f"apache/airflow:{here}-python" in dockerfile
    assert yaml.safe_load(HELM[0].read_text())["airflowVersion"] == here
