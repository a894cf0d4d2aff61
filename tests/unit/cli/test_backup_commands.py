"""`gantry backup`, `restore` and `drill` against a server that speaks Airflow's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.cli.queries import run_follower
from tests import airflow_api
from tests.airflow_api import states
from tests.unit.cli.conftest import Gantry

MADE = ("backup-catalog.back_up", "backup-catalog.keep_backup")
RESTORED = ("confirm_restore", "backup-catalog.restore", "backup-files.restore")
DRILLED = ("choose_backups", "backup-catalog.restore", "remove_drill_servers", "finish_drill")
CHOICE = {"value": [], "schema": {"type": "array", "items": {"type": "string", "enum": ["catalog", "files"]}}}
ONE = {"value": "catalog", "schema": {"type": "string", "enum": ["catalog", "files"]}}
RUNNING = ("success", states(3))


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    """An Airflow with the deployments `shop`, which has backups, and `bare`, which has none."""
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
    monkeypatch.setattr(run_follower, "_PAUSE", 0.01)
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        serving.deployment("bare")
        serving.deployment("shop").runs.append(
            airflow_api.Run("first", [RUNNING], asked="2026-11-20T01:00:00Z")
        )
        serving.add(
            airflow_api.Dag("shop.backup", ("gantry", "backup"), tasks=MADE, params={"backups": CHOICE})
        )
        serving.add(
            airflow_api.Dag("shop.restore", ("gantry", "restore"), tasks=RESTORED, params={"backup": ONE})
        )
        serving.add(airflow_api.Dag("shop.drill", ("gantry", "drill"), tasks=DRILLED))
        yield serving


def test_backups_are_made_and_shown(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    dag = airflow.dags["shop.backup"]
    dag.next_looks = [("running", states(1, working=True, tasks=MADE)), ("success", states(2, tasks=MADE))]
    found = gantry("backup", "shop", "--only", "catalog", "--reason", "sale")
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {"backups": ["catalog"], "reason": "sale"}
    assert "backup-catalog.back_up" in found.out
    assert found.out.splitlines()[-1].startswith("shop.backup is done: ")


def test_a_backup_that_fails_or_is_unknown_ends_with_1(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop.backup"].next_looks = [("failed", states(0, failed=True, tasks=MADE))]
    assert gantry("backup", "shop").code == 1
    found = gantry("backup", "shop", "--only", "catalogue")
    assert (found.code, "did you mean 'catalog'?" in found.err) == (1, True)
    found = gantry("backup", "bare")
    assert (found.code, "does its definition say `backups:`?" in found.err) == (1, True)
    assert gantry("backup", "nobody").code == 1


def test_a_restore_wants_the_name_and_takes_a_backup_that_there_is(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    dag = airflow.dags["shop.restore"]
    done: dict[str, str | None] = dict(zip(RESTORED, ("success", "success", "skipped"), strict=True))
    dag.next_looks = [("success", done)]
    assert gantry("restore", "shop", "catalog").code == 64
    found = gantry("restore", "shop", "catalog", "--confirm", "bookshop")
    assert (found.code, "nothing was restored" in found.err) == (1, True)
    assert gantry("restore", "shop", "cat", "--confirm", "shop").code == 1
    assert dag.runs == []
    found = gantry("restore", "shop", "catalog", "--object", "x.sql", "--confirm", "shop")
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {"backup": "catalog", "object": "x.sql", "confirm": "shop"}
    assert found.out.splitlines()[-1].startswith("shop.restore is done: ")


def test_a_drill_is_held_and_shown(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    dag = airflow.dags["shop.drill"]
    dag.next_looks = [
        ("running", states(1, working=True, tasks=DRILLED)),
        ("success", states(4, tasks=DRILLED)),
    ]
    found = gantry("drill", "shop", "--reason", "new scripts")
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {"reason": "new scripts"}
    assert found.out.splitlines()[-1].startswith("shop.drill is done: ")


def test_a_drill_that_fails_or_is_none_ends_with_1(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop.drill"].next_looks = [("failed", states(1, failed=True, tasks=DRILLED))]
    assert gantry("drill", "shop").code == 1
    assert airflow.dags["shop.drill"].runs[0].conf == {}
    found = gantry("drill", "bare")
    assert (found.code, "`drill:` in it" in found.err) == (1, True)
    assert gantry("status", "shop", "--json").json["state"] == "RUNNING"


def test_neither_changes_what_the_deployment_is(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    before = gantry("status", "shop", "--json").json["state"]
    for name, tasks in (("shop.backup", MADE), ("shop.restore", RESTORED)):
        looks: list[tuple[str, dict[str, str | None]]] = [("failed", states(1, failed=True, tasks=tasks))]
        airflow.dags[name].runs.append(airflow_api.Run(f"{name}-1", looks, asked="2026-11-20T06:00:00Z"))
    found = gantry("status", "shop", "--json").json
    assert (before, found["state"], found["failed"], found["run"]["id"]) == (
        "RUNNING",
        "RUNNING",
        False,
        "first",
    )
    every = {each["deployment"]: each["state"] for each in gantry("status", "--json").json}
    assert every == {"bare": "STOPPED", "shop": "RUNNING"}


def test_what_was_restored_nowhere_is_no_success(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    nothing: dict[str, str | None] = dict(zip(RESTORED, ("success", "skipped", "skipped"), strict=True))
    airflow.dags["shop.restore"].next_looks = [("success", nothing)]
    assert gantry("restore", "shop", "catalog", "--confirm", "shop").code == 1


def test_a_run_of_backups_that_goes_on_can_be_watched(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    going = ("running", states(1, working=True, tasks=MADE))
    looks = [going, going, ("success", states(2, tasks=MADE))]
    airflow.dags["shop.backup"].runs.append(airflow_api.Run("now", looks, asked="2026-11-20T06:00:00Z"))
    found = gantry("status", "shop", "--watch")
    assert found.code == 0, found.err
    assert "shop.backup is done" in found.out
