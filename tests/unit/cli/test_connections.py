"""Connections that a command without a running Airflow finds in a profile's environment file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantry import cli
from gantry.cli.support import connections
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
    # What tests may have left, or whoever runs them has.
    for name in [each for each in os.environ if each.startswith(connections.ELSEWHERE)]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("kept")
def test_connections_come_from_the_chosen_profile() -> None:
    with pytest.raises(
        profiles.UnknownProfileError, match=r"two profiles, one and two .* --profile or GANTRY"
    ):
        connections.prepare()
    assert "AIRFLOW_CONN_GANTRY_TEST" not in os.environ
    with pytest.raises(profiles.UnknownProfileError, match="unknown profile 'three'"):
        connections.prepare("three")
    connections.prepare("two")
    assert os.environ["AIRFLOW_CONN_GANTRY_TEST"] == "ssh://two@"


@pytest.mark.usefixtures("kept")
def test_a_variable_that_is_set_already_goes_before_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GANTRY_TEST", "ssh://mine@")
    connections.prepare("one")
    assert os.environ["AIRFLOW_CONN_GANTRY_TEST"] == "ssh://mine@"


@pytest.mark.usefixtures("kept")
def test_where_connections_are_said_to_be_elsewhere_no_profile_has_to_be_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "aws://")
    connections.prepare()
    assert "AIRFLOW_CONN_GANTRY_TEST" not in os.environ


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("command", ["plan", "archive"])
@pytest.mark.parametrize("choice", [("--profile", "three"), ()], ids=["unknown", "none"])
def test_commands_that_ask_the_cloud_take_a_profile(
    command: str,
    choice: tuple[str, ...],
    tmp_path: Path,
    bookshop_text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop = tmp_path / "shop.yaml"
    shop.write_text(bookshop_text)
    service = tmp_path / "app" / "bin"
    service.mkdir(parents=True)
    for name in ("configure", "start", "stop"):
        (service / f"enstratus-{name}").write_text("#!/bin/sh\n")
        (service / f"enstratus-{name}").chmod(0o755)
    what = [str(shop)] if command == "plan" else [str(service.parent), "s3://shop/app.tar.gz"]
    monkeypatch.setattr("sys.argv", ["gantry", command, *what, *choice])
    with pytest.raises(SystemExit):
        cli.main()
    told = "unknown profile 'three'" if choice else "two profiles, one and two"
    assert told in " ".join(capsys.readouterr().err.split())
