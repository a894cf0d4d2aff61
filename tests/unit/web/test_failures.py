"""Failed tasks on a run's page and in its JSON: to each visitor as much as they may read in Airflow."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from gantry import errors
from tests.unit.web import rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
PAGE = "/gantry/dags/bookshop/runs/manual__1"
JSON = "/gantry/api/v1/dags/bookshop/runs/manual__1"
FAILURE = errors.Failure("db-1: <it> failed", "no disk left", "Buy a disk.", "db-1", "startService", 7)


@pytest.fixture
def shop(office: rig.Airflow) -> rig.Airflow:
    office.deploy(BOOKSHOP)
    tasks = {"turn": "success", "tier-database.scale_up": "failed", "tier-proxy.scale_up": "failed"}
    office.run("bookshop", tasks, state="failed")
    office.failed("bookshop", "tier-database.scale_up", FAILURE)
    return office


def without(monkeypatch: pytest.MonkeyPatch, *rights: DagAccessEntity) -> None:
    """Take rights from everybody."""
    allowed = SimpleAuthManager.is_authorized_dag

    def is_authorized(self: SimpleAuthManager, **what: Any) -> bool:
        return what.get("access_entity") not in rights and allowed(self, **what)

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized)


def test_a_failed_task_is_shown_with_its_reason_and_what_to_do(shop: rig.Airflow) -> None:
    text = shop.get(PAGE).text
    for wanted in (
        "2 failed tasks", "tier database: scale up", "db-1: &lt;it&gt; failed", "startService ended with 7 on db-1",
        "no disk left", "<b>Buy a disk.</b>", "It has kept no reason; its log says more.",
    ):  # fmt: skip
        assert wanted in text, wanted
    database, proxy = shop.get(JSON).json()["failures"]
    assert (database["task"], proxy["task"]) == ("tier-database.scale_up", "tier-proxy.scale_up")
    (failure,) = database["failures"]
    assert (failure["headline"], failure["detail"], failure["code"]) == (
        FAILURE.headline,
        FAILURE.detail,
        FAILURE.code,
    )
    assert proxy["failures"] == []


def test_who_may_not_read_xcoms_sees_that_it_failed_and_where_to_ask(
    shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, DagAccessEntity.XCOM)
    answers = [shop.get(PAGE).text, shop.get(JSON).text]
    for secret in ("db-1", "no disk left", "Buy a disk.", "startService"):
        assert not [text for text in answers if secret in text], secret
    assert "tier database: scale up" in answers[0]
    assert "You may not read XComs" in answers[0]
    assert [each["failures"] for each in shop.get(JSON).json()["failures"]] == [None, None]


def test_who_may_not_read_logs_sees_no_text_of_them(
    shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, DagAccessEntity.TASK_LOGS)
    answers = [shop.get(PAGE).text, shop.get(JSON).text]
    assert not [text for text in answers if "no disk left" in text]
    assert "db-1: &lt;it&gt; failed" in answers[0]
    assert "<b>Buy a disk.</b>" in answers[0]
    assert "which you may not read" in answers[0]
    (failure,) = shop.get(JSON).json()["failures"][0]["failures"]
    assert (failure["detail"], failure["advice"]) == (None, "Buy a disk.")


def test_a_run_without_failed_tasks_has_no_failures(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run("bookshop", {"turn": "success"})
    assert 'id="failures"' not in office.get(PAGE).text
    assert office.get(JSON).json()["failures"] == []
