"""`gantry history` against a server that speaks Airflow's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import airflow_api
from tests.airflow_api import SUCCESS
from tests.unit.cli.conftest import Gantry

from gantry.status import records
from gantry.status.records import Record, Result

LAUNCH = Record(
    "launch", "r1", "ada", "a sale", "2026-11-20T05:00:00+00:00",
    Result.SUCCESS, "2026-11-20T05:01:30+00:00",
    versions={"app": "0123456789"}, started={"shop-app-1": "i-1", "shop-app-2": "i-2"},
)  # fmt: skip
TERMINATION = Record(
    "terminate", "r2", "bob", "", "2026-11-20T06:00:00+00:00",
    Result.SUCCESS, "2026-11-20T06:00:20+00:00", ended=("shop-app-1", "shop-app-2"),
)  # fmt: skip
OPEN = Record("launch", "r3", "schedule", "", "2026-11-20T07:00:00+00:00")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        serving.deployment("shop")
        serving.assets["deployment://shop-staging"] = {}
        serving.assets["deployment://shop"] = {
            "launch": {"run": "r1"},
            records.key("launch"): records.dump((LAUNCH, OPEN)),
            records.key("terminate"): records.dump((TERMINATION,)),
        }
        yield serving


def test_all_operations_are_told_of_the_newest_first(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop"].runs.append(airflow_api.Run("r3", [("failed", {})], asked="2026-11-20T07:00:05Z"))
    lines = gantry("history", "shop").out.splitlines()[1:]
    assert [line.split()[2:5] for line in lines] == [
        ["launch", "failed", "5"],
        ["terminate", "success", "20"],
        ["launch", "success", "90"],
    ]
    assert lines[1].split()[5:] == ["s", "bob", "-2"]
    assert lines[2].split()[5:] == ["s", "ada", "+2", "app=01234567", "a", "sale"]


def test_a_program_gets_everything(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    newest, termination, launch = gantry("history", "shop", "--json").json
    # Its run was deleted before anybody closed its record.
    assert (newest["run"], newest["result"]) == ("r3", "failed")
    assert termination["ended"] == ["shop-app-1", "shop-app-2"]
    assert launch["versions"] == {"app": "0123456789"}
    assert launch["started"] == {"shop-app-1": "i-1", "shop-app-2": "i-2"}
    assert [each["run"] for each in gantry("history", "shop", "--json", "--last", 1).json] == ["r3"]


def test_a_run_that_goes_on_and_one_that_arrived_are_what_they_are(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    run = airflow_api.Run("r3", [("running", {})])
    airflow.dags["shop"].runs.append(run)
    assert gantry("history", "shop", "--json").json[0]["result"] == "running"
    run.looks = [SUCCESS]
    assert gantry("history", "shop", "--json").json[0]["result"] == "success"


def test_the_status_names_the_last_one_when_airflow_has_forgotten_it(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    told = gantry("status", "shop").out
    assert "Airflow has forgotten its runs; the last one was a launch, began 2026-11-20T07:00:00" in told
    airflow.forbidden.add("/assets")
    assert "it was never launched" in gantry("status", "shop").out


def test_of_a_deployment_that_never_ran_nothing_is_told(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.assets.clear()
    found = gantry("history", "shop")
    assert (found.code, found.out) == (0, "Nothing is kept about shop: it has had no run yet.\n")
