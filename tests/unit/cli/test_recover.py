"""`gantry recover` against a server that speaks Airflow's API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.cli.queries import run_follower
from tests import airflow_api
from tests.airflow_api import states
from tests.unit.cli.conftest import Gantry

TASKS = ("turn", "find_lost", "tier-only.scale_up", "tier-only.retire_servers", "finish_launch")
DUMPS = {"value": [], "schema": {"type": "array", "items": {"type": "string", "enum": ["db.main"]}}}
LAUNCHED = ("success", states(5, tasks=TASKS))


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    """An Airflow with the launched deployment `shop`."""
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    monkeypatch.setenv("GANTRY_DEFINITIONS", str(tmp_path))
    monkeypatch.setattr(run_follower, "_PAUSE", 0.01)
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        shop = serving.deployment("shop")
        shop.params = {**airflow_api.PARAMS, "from_dump": DUMPS, "reload_dump": DUMPS}
        shop.runs.append(airflow_api.Run("first", [LAUNCHED], asked="2026-11-20T01:00:00Z"))
        params = {"servers": {}, "anyway": {}, "from_dump": DUMPS}
        serving.add(airflow_api.Dag("shop.recover", ("gantry", "recover"), tasks=TASKS, params=params))
        yield serving


def test_all_that_is_lost_is_replaced_where_nobody_is_named(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    dag = airflow.dags["shop.recover"]
    dag.next_looks = [LAUNCHED]
    found = gantry("recover", "shop")
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {}
    assert found.out.splitlines()[-1].startswith("shop is RUNNING: ")


def test_servers_are_named_and_data_may_begin_anew(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    dag = airflow.dags["shop.recover"]
    words = ("only-1", "shop-only-2", "--anyway", "--from-dump", "db.main", "--reason", "smoke", "--no-wait")
    found = gantry("recover", "shop", *words)
    assert found.code == 0, found.err
    assert dag.runs[0].conf == {
        "servers": ["only-1", "shop-only-2"],
        "anyway": True,
        "from_dump": ["db.main"],
        "reason": "smoke",
    }


def test_a_launch_is_told_the_same_of_data(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    found = gantry("launch", "shop", "--from-dump", "db.main", "--no-wait")
    assert found.code == 0, found.err
    assert airflow.dags["shop"].runs[-1].conf == {"from_dump": ["db.main"]}


def test_a_launch_replaces_live_data_only_where_it_is_told_to(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    found = gantry("launch", "shop", "--reload-dump", "db.main", "--no-wait")
    assert found.code == 0, found.err
    assert airflow.dags["shop"].runs[-1].conf == {"reload_dump": ["db.main"]}
    found = gantry("launch", "shop", "--reload-dump", "db.mian", "--no-wait")
    assert (found.code, "did you mean 'db.main'?" in found.err) == (1, True)


def test_an_unknown_datasource_is_refused_before_anything_starts(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    found = gantry("recover", "shop", "--from-dump", "db.mian")
    assert (found.code, "did you mean 'db.main'?" in found.err) == (1, True)
    assert airflow.dags["shop.recover"].runs == []


def test_what_is_refused_at_its_first_step_is_told(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.dags["shop.recover"].next_looks = [("failed", states(1, failed=True, tasks=TASKS))]
    found = gantry("recover", "shop")
    assert found.code == 1
    assert "find_lost" in found.err
