"""Links on tasks in Airflow's own pages."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from gantry.web.queries import cloud_facts
from gantry.web.routes import pages
from tests.unit.web import rig
from tests.unit.web.test_deployment import FOUND

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"


def links(office: rig.Airflow, task: str, map_index: int = -1) -> dict[str, str]:
    answer = office.get(
        f"/api/v2/dags/bookshop/dagRuns/manual__1/taskInstances/{task}/links?map_index={map_index}"
    )
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["extra_links"])


@pytest.fixture
def shop(office: rig.Airflow) -> rig.Airflow:
    office.deploy(BOOKSHOP)
    office.run(
        "bookshop",
        {"turn": "success", "tier-database.scale_up": "success", "tier-database.handshake": "running"},
        dealt={"database": [["bookshop-database-1"]]},
    )
    return office


def test_every_task_leads_to_its_deployment(shop: rig.Airflow) -> None:
    there = "/plugin/deployments/gantry/deployments/bookshop"
    assert links(shop, "turn") == {"Deployment": there}
    assert links(shop, "finish_launch") == {
        "Deployment": there,
        "Application": "/gantry/deployments/bookshop/application",
    }


def test_a_task_on_a_server_leads_to_the_server(shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    found = links(shop, "tier-database.handshake", 0)["Server"]
    monkeypatch.setattr(
        pages.CLOUD, "ask", lambda *_: cloud_facts.CloudAnswer(FOUND, console="https://console/#")
    )
    answer = shop.get(found, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "https://console/#i-database")
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: cloud_facts.CloudAnswer(FOUND))
    assert shop.get(found, follow_redirects=False).headers["location"] == (
        "/gantry/deployments/bookshop#server-bookshop-database-1"
    )


def test_the_application_is_where_its_balancer_says(shop: rig.Airflow) -> None:
    answer = shop.get("/gantry/deployments/bookshop/application", follow_redirects=False)
    assert answer.headers["location"] == "http://shop.example.com/"


def test_who_loads_the_plugin_loads_neither_pages_nor_operators() -> None:
    script = (
        "import sys, airflow.plugins_manager; before = set(sys.modules); import gantry.airflow_plugin;"
        "print(sorted(m for m in set(sys.modules) - before if m.startswith(('fastapi', 'jinja2', 'asyncssh',"
        " 'gantry.operators', 'gantry.web.app', 'gantry.web.routes.pages', 'gantry.definition', 'gantry.plan'))))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
