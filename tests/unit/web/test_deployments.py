"""The list of deployments."""

from __future__ import annotations

import dataclasses
import datetime
import pathlib

import pytest

from gantry import names, plan
from tests.unit.web import rig

LATER = datetime.timedelta(minutes=1)
BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"


def test_an_airflow_without_deployments_says_how_to_make_one(office: rig.Airflow) -> None:
    answer = office.get("/gantry/")
    assert answer.status_code == 200
    assert "No deployments yet" in answer.text


def test_a_deployment_that_was_never_launched_is_stopped(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    answer = office.get("/gantry/")
    assert answer.status_code == 200, answer.text
    for text in ("bookshop", "STOPPED", "application 0/2", "never"):
        assert text in answer.text


def row(office: rig.Airflow, name: str, query: str = "") -> str:
    """A deployment's row."""
    text = office.get(f"/gantry/{query}").text
    _, found, rest = text.partition(f'<tr id="deployment-{name}">')
    return rest.partition("</tr>")[0] if found else ""


def test_a_launch_shows_its_phase_and_its_servers(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run(
        "bookshop",
        {
            "turn": "success",
            "find_lost": "success",
            "tier-database.scale_up": "success",
            "tier-database.handshake": "success",
            "tier-application.scale_up": "success",
            "tier-application.handshake": "running",
        },
        dealt={
            "database": [["bookshop-database-1"]],
            "application": [["bookshop-application-1"], ["bookshop-application-2"]],
        },
    )
    found = row(office, "bookshop")
    for text in ("LAUNCHING", "scale up", "database 1/1", "application 0/2", "running"):
        assert text in found, found


def test_looks_are_no_runs_to_tell_of(office: rig.Airflow) -> None:
    office.deploy(f"{BOOKSHOP.read_text()}\nwatch: {{every: 1m}}\n")
    office.run("bookshop.watch", {"watch": "success"}, state="success", run="manual__1")
    assert "never" in row(office, "bookshop")
    office.launched("bookshop")
    office.run("bookshop.watch", {"watch": "running"}, run="manual__2", asked=rig.NOW + LATER)
    found = row(office, "bookshop")
    assert ">launch</a> success" in found
    assert "watch" not in found


def test_a_launched_deployment_runs(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    found = row(office, "bookshop")
    for text in ("RUNNING", "database 1/1", "application 2/2", "40 s", "success"):
        assert text in found, found


def test_a_failed_redeploy_is_told_from_a_failed_launch(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    office.run("bookshop", {"turn": "success", "tier-database.scale_up": "failed"}, state="failed")
    found = row(office, "bookshop")
    assert "MAINTENANCE" in found
    assert "FAILED" in found


def test_a_refused_launch_leaves_what_was(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    office.run("bookshop", rig.AllOf("skipped"), state="success", run="refused")
    assert "RUNNING" in row(office, "bookshop")


def test_a_terminated_deployment_is_stopped(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    office.run("bookshop.terminate", rig.AllOf("success"), state="success", run="gone")
    found = row(office, "bookshop")
    assert "STOPPED" in found
    assert "terminate" in found


def test_search_state_and_tag_narrow_the_list(office: rig.Airflow) -> None:
    text = BOOKSHOP.read_text()
    office.deploy(text)
    office.deploy(
        text.replace("deployment: bookshop", "deployment: toyshop\ntags: [toys]\ndescription: Bears")
    )
    office.launched("toyshop")
    for query, ours in {
        "": {"bookshop", "toyshop"}, "?q=bear": {"toyshop"}, "?q=BOOK": {"bookshop"}, "?tag=toys": {"toyshop"},
        "?state=RUNNING": {"toyshop"}, "?state=STOPPED": {"bookshop"}, "?q=none": set(),
    }.items():  # fmt: skip
        assert {name for name in ("bookshop", "toyshop") if row(office, name, query)} == ours, query
    assert "None of 2 deployments is like that" in office.get("/gantry/?q=none").text


def test_only_what_the_definition_says_describes_a_deployment_whatever_its_dag_is_called(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = dataclasses.replace(plan.OPERATIONS[names.Operation.LAUNCH], purpose="Bring up")
    monkeypatch.setitem(plan.OPERATIONS, names.Operation.LAUNCH, launch)
    text = BOOKSHOP.read_text()
    office.deploy(text.replace("deployment: bookshop", "deployment: plainshop"))
    office.deploy(text.replace("deployment: bookshop", "deployment: toyshop\ndescription: Bears"))
    found = office.get("/gantry/api/v1/deployments").json()["deployments"]
    assert {each["name"]: each["description"] for each in found} == {"plainshop": "", "toyshop": "Bears"}


def test_the_list_can_be_ordered(office: rig.Airflow) -> None:
    text = BOOKSHOP.read_text()
    for name in ("alpha", "beta"):
        office.deploy(text.replace("deployment: bookshop", f"deployment: {name}"))
    office.launched("beta")

    def order(query: str) -> list[str]:
        found = office.get(f"/gantry/{query}").text
        return sorted(("alpha", "beta"), key=lambda name: found.index(f"deployment-{name}"))

    assert order("") == ["alpha", "beta"]
    assert order("?order=down") == ["beta", "alpha"]
    assert order("?sort=last") == ["beta", "alpha"]
    assert order("?sort=state&order=down") == ["beta", "alpha"]


def test_a_backup_does_not_hide_the_last_launch(office: rig.Airflow) -> None:
    backed_up = "services:"
    text = BOOKSHOP.read_text().replace(
        backed_up, f"backups: {{of: {{books: db.catalog}}, to: s3://bookshop/backups/}}\n{backed_up}", 1
    )
    office.deploy(text)
    office.run("bookshop.backup", rig.AllOf("success"), state="success", run="nightly", asked=rig.NOW)
    assert "backup</a> success" in row(office, "bookshop")
    office.launched("bookshop")
    assert "launch</a> success" in row(office, "bookshop")
    page = office.get("/gantry/dags/bookshop.backup/runs/nightly")
    assert page.status_code == 200
    assert "Deployment</dt>" not in page.text
