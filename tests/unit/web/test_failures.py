"""Failed tasks on a run's page and in its JSON: to each visitor as much as they may read in Airflow."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

from gantry import errors
from gantry.state import run_records
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
        "no disk left", "<b>Buy a disk.</b>", "No reason was recorded; see the task's log.",
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


@pytest.fixture
def forgotten(shop: rig.Airflow) -> rig.Airflow:
    """The same run, after Airflow's history was cleaned: its record is left, and what its failed task has kept."""
    record = run_records.Record("launch", "manual__1", "ada", "sale", rig.NOW.isoformat())
    shop.record("bookshop", record)
    shop.kept_failures("bookshop", ("tier-database.scale_up", -1), "manual__1", FAILURE)
    shop.kept_failures("bookshop", ("tier-proxy.scale_up", -1), "manual__0", errors.Failure("of another run"))
    with create_session() as session:
        for model in (XComModel, TaskInstance, DagRun):
            session.execute(sa.delete(model))
    return shop


def test_a_run_that_airflow_has_forgotten_is_shown_from_its_record(forgotten: rig.Airflow) -> None:
    text = forgotten.get(PAGE).text
    for wanted in (
        "Airflow no longer has this run", "1 failed task", "tier-database.scale_up</b> on db-1",
        "db-1: &lt;it&gt; failed", "startService ended with 7 on db-1", "no disk left", "<b>Buy a disk.</b>", "sale",
    ):  # fmt: skip
        assert wanted in text, wanted
    for wanted in ("of another run", "The run in Airflow", "Open in Airflow"):
        assert wanted not in text, wanted
    found = forgotten.get(JSON).json()
    assert (found["recorded"], found["run"]["state"], found["run"]["by"]) == (True, "failed", "ada")
    assert (found["reason"], found["steps"], found["progress"]) == ("sale", [], None)
    (task,) = found["failures"]
    (failure,) = task["failures"]
    assert (task["task"], task["servers"]) == ("tier-database.scale_up", "db-1")
    assert errors.Failure.load(failure) == FAILURE


def test_of_a_forgotten_run_each_visitor_sees_what_they_might_have_seen_before(
    forgotten: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without(patch, DagAccessEntity.TASK_LOGS)
        answers = [forgotten.get(PAGE).text, forgotten.get(JSON).text]
        assert not [text for text in answers if "no disk left" in text]
        assert "<b>Buy a disk.</b>" in answers[0]
    with monkeypatch.context() as patch:
        without(patch, DagAccessEntity.XCOM)
        answers = [forgotten.get(PAGE).text, forgotten.get(JSON).text]
        assert not [text for text in answers if "it&gt; failed" in text or "Buy a disk." in text]
        assert "You may not read XComs" in answers[0]
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_asset", lambda _, **__: False)
    assert [forgotten.get(each).status_code for each in (PAGE, JSON)] == [404, 404]


def test_failures_outlive_the_xcoms_of_a_run_that_airflow_still_has(
    shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.kept_failures("bookshop", ("tier-database.scale_up", -1), "manual__1", FAILURE)
    with create_session() as session:
        session.execute(sa.delete(XComModel))
    database, proxy = shop.get(JSON).json()["failures"]
    assert errors.Failure.load(database["failures"][0]) == FAILURE
    assert proxy["failures"] == []
    monkeypatch.setattr(SimpleAuthManager, "is_authorized_asset", lambda _, **__: False)
    assert [each["failures"] for each in shop.get(JSON).json()["failures"]] == [[], []]


def test_a_record_of_an_older_gantry_has_no_failures(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.record("bookshop", run_records.Record("launch", "manual__1", "schedule", "", rig.NOW.isoformat()))
    found = office.get(JSON).json()
    assert (found["run"]["by"], found["run"]["state"], found["failures"]) == ("schedule", "failed", [])
    assert office.get(PAGE).status_code == 200
    assert office.get(PAGE.replace("manual__1", "unknown")).status_code == 404
