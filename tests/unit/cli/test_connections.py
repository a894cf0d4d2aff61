"""Connections that a command without a running Airflow finds in a profile's environment file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantry.cli import connections
from gantry.rest import profiles


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two profiles, each with a connection of its own."""
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    for name in ("one", "two"):
        file = tmp_path / f"{name}.env"
        profiles.write_environment(file, {"AIRFLOW_CONN_GANTRY_TEST": f"ssh://{name}@"})
        profiles.write(profiles.Profile(name, f"http://{name}", environment_file=file))
    monkeypatch.setenv("AIRFLOW_CONN_GANTRY_TEST", "")
    monkeypatch.delenv("AIRFLOW_CONN_GANTRY_TEST")
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")


@pytest.mark.usefixtures("kept", "airflow_log")
def test_connections_come_from_the_chosen_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    connections.prepare()
    assert "AIRFLOW_CONN_GANTRY_TEST" not in os.environ
    with pytest.raises(profiles.UnknownProfileError, match="unknown profile 'three'"):
        connections.prepare("three")
    connections.prepare("two")
    assert os.environ["AIRFLOW_CONN_GANTRY_TEST"] == "ssh://two@"


@pytest.mark.usefixtures("kept", "airflow_log")
def test_a_variable_that_is_set_already_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GANTRY_TEST", "ssh://mine@")
    connections.prepare("one")
    assert os.environ["AIRFLOW_CONN_GANTRY_TEST"] == "ssh://mine@"
