"""`gantry status` of all deployments: asked of Gantry's pages where they are, else of each deployment's runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantry import names, plan
from tests import airflow_api
from tests.unit.cli.conftest import Gantry

LIST = "GET /gantry/api/v1/deployments"
RUN = airflow_api.Run("r1", [airflow_api.SUCCESS], {"reason": "sale"})
WORKED = {
    "dag": "shop", "id": "r1", "state": "success", "asked": RUN.asked,
    "started": RUN.asked, "ended": RUN.asked, "user": "ada", "reason": "sale",
}  # fmt: skip
SHOP = {
    "name": "shop", "state": "RUNNING", "failed": False, "paused": True, "import_error": False,
    "worked": WORKED, "settled": True,
}  # fmt: skip


def page(*found: dict[str, Any]) -> dict[str, Any]:
    return {"deployments": list(found), "page": 1, "pages": 1}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[airflow_api.Airflow]:
    """Somebody's Airflow with a deployment that runs, and is paused."""
    monkeypatch.setenv("GANTRY_PROFILES", str(tmp_path / "profiles.toml"))
    for name in ("GANTRY_PROFILE", "GANTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANTRY_USERNAME", "ada")
    monkeypatch.setenv("GANTRY_PASSWORD", "secret")
    with airflow_api.serving() as serving:
        monkeypatch.setenv("GANTRY_URL", serving.url)
        dag = serving.deployment("shop")
        dag.is_paused = True
        dag.runs.append(RUN)
        yield serving


def test_both_ways_say_the_same_and_one_asks_once(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    without = gantry("status").out, gantry("status", "--json").json
    airflow.pages = [page(SHOP)]
    airflow.asked.clear()
    assert (gantry("status").out, gantry("status", "--json").json) == without
    assert airflow.asked == ["POST /auth/token", LIST] * 2
    assert "shop" in without[0]


@pytest.mark.parametrize("strange", [{"settled": False, "state": "STOPPED"}, {"state": "A NEW ONE"}])
def test_what_the_list_cannot_say_of_one_its_runs_do(
    airflow: airflow_api.Airflow, gantry: Gantry, strange: dict[str, Any]
) -> None:
    airflow.pages = [page(SHOP | {"worked": None} | strange)]
    (line,) = gantry("status", "--json").json
    assert (line["state"], line["paused"], line["run"]["id"]) == ("RUNNING", True, "r1")
    assert "GET /api/v2/dags/shop/dagRuns" in airflow.asked


@pytest.mark.parametrize("operation", sorted({*names.Operation} - plan.KEEPS_STATE))
def test_a_run_is_called_by_its_operation_in_the_list_and_alone(
    airflow: airflow_api.Airflow, gantry: Gantry, operation: names.Operation
) -> None:
    last = "finish_termination" if operation is names.Operation.TERMINATE else "finish_launch"
    later = airflow_api.Run(
        "r2", [("success", {"turn": "success", last: "success"})], asked="2026-11-20T05:00:00Z"
    )
    dag = names.dag_id("shop", operation)
    airflow.dags.setdefault(dag, airflow_api.Dag(dag, ("gantry", operation.value))).runs.append(later)
    noun = plan.OPERATIONS[operation].noun
    assert f"{noun} success" in " ".join(gantry("status").out.split())
    assert f"last {noun}: success" in gantry("status", "shop").out
    airflow.pages = [page(SHOP | {"worked": WORKED | {"dag": dag, "id": "r2"}})]
    assert f"{noun} success" in " ".join(gantry("status").out.split())


def test_a_run_of_an_operation_of_a_newer_gantry_is_just_a_run(
    airflow: airflow_api.Airflow, gantry: Gantry
) -> None:
    airflow.pages = [page(SHOP | {"worked": WORKED | {"dag": "shop.transmogrify"}})]
    assert "run success" in " ".join(gantry("status").out.split())


def test_no_deployments(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.pages = [page()]
    assert gantry("status").out == "This Airflow has no deployments.\n"


def test_a_refusal_is_told_and_nothing_else_asked(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.pages = [page(SHOP)]
    airflow.forbidden.add("/gantry/")
    found = gantry("status")
    assert (found.code, found.out) == (1, "")
    assert "'ada' may not do this in Airflow" in " ".join(found.err.split())
    assert airflow.asked == ["POST /auth/token", LIST]


def test_a_broken_answer_is_passed_over(airflow: airflow_api.Airflow, gantry: Gantry) -> None:
    airflow.pages = [page({"name": "shop"})]
    (line,) = gantry("status", "--json").json
    assert (line["state"], line["run"]["id"]) == ("RUNNING", "r1")
