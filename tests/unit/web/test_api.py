"""The facts of the pages for programs."""

from __future__ import annotations

import pathlib

import pytest

from gantry.web.queries import cloud_facts
from gantry.web.routes import pages
from tests.unit.web import rig
from tests.unit.web.test_deployment import FOUND

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"


@pytest.fixture
def shop(office: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> rig.Airflow:
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: cloud_facts.CloudAnswer(FOUND))
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    return office


def test_the_list(shop: rig.Airflow) -> None:
    found = shop.get("/gantry/api/v1/deployments?q=book").json()
    assert (found["found"], found["total"], found["page"], found["pages"]) == (1, 1, 1, 1)
    (line,) = found["deployments"]
    assert (line["name"], line["state"], line["failed"]) == ("bookshop", "RUNNING", False)
    assert line["tiers"][0] == {"name": "database", "running": 1, "wanted": 1}
    assert line["last_run"]["by"] == "ada"
    assert shop.get("/gantry/api/v1/deployments?q=none").json()["deployments"] == []


def test_a_deployment(shop: rig.Airflow) -> None:
    found = shop.get("/gantry/api/v1/deployments/bookshop").json()
    assert (found["state"], found["failed_at"], found["run"]["id"]) == ("RUNNING", None, "manual__0")
    assert found["servers"][0]["instance"]["private_address"] == "10.0.0.7"
    assert found["addresses"] == {"front": "http://shop.example.com/"}
    assert {each["name"]: each["state"] for each in found["services"]} == {"db": "RUNNING", "app": "IMPAIRED"}


def test_a_run(shop: rig.Airflow) -> None:
    shop.run("bookshop", {"turn": "success", "tier-database.scale_up": "failed"}, conf={"reason": "why not"})
    found = shop.get("/gantry/api/v1/dags/bookshop/runs/manual__1").json()
    assert (found["state"], found["failed_at"], found["reason"]) == ("MAINTENANCE", "scale up", "why not")
    steps = {each["id"]: each for each in found["steps"]}
    assert steps["tier-database.scale_up"]["progress"] == "failed"
    assert steps["finish_launch"]["started"] is None


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        ("/deployments/nosuch", rig.ADMIN, 404),
        ("/deployments/bookshop", rig.NOBODY, 401),
        ("/deployments/bookshop", rig.POWERLESS, 403),
        ("/deployments?page=x", rig.ADMIN, 422),
    ],
)
def test_what_cannot_be_answered_is_json_too(shop: rig.Airflow, path: str, role: str, status: int) -> None:
    answer = shop.get(f"/gantry/api/v1{path}", role)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_it_describes_itself_to_who_is_logged_in(shop: rig.Airflow) -> None:
    found = shop.get("/gantry/api/v1/openapi.json").json()
    assert "/api/v1/deployments/{name}" in found["paths"]
    assert "wanted" in found["components"]["schemas"]["TierResponse"]["properties"]
