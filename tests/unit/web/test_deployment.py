"""A deployment's page."""

from __future__ import annotations

import datetime
import pathlib

import pytest

from gantry import definition, errors, inventory, names, plan
from gantry.state import run_records
from gantry.web.queries import cloud_facts
from gantry.web.routes import pages
from tests.unit.web import rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
FOUND = inventory.Inventory(
    tuple(
        inventory.Server(
            names.ServerName(f"bookshop-{tier}-1"), names.TierName(tier), names.Slot(1), f"i-{tier}",
            inventory.InstanceState.RUNNING, "ami-1", rig.NOW, "10.0.0.7", host_key="ssh-ed25519 AAAA", size="t3.small",
        )
        for tier in ("database", "application", "proxy")
    )
)  # fmt: skip


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cloud answers."""
    says(monkeypatch, cloud_facts.NOTHING)


def says(monkeypatch: pytest.MonkeyPatch, answer: cloud_facts.CloudAnswer) -> None:
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: answer)


def test_a_deployment_that_was_never_launched(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    answer = office.get("/gantry/deployments/bookshop")
    assert answer.status_code == 200, answer.text
    for text in (
        "STOPPED",
        "never launched",
        "There are no servers",
        "http://shop.example.com/",
        "Launch or redeploy",
    ):
        assert text in answer.text, text


def test_a_run_of_every_operation_has_a_page_with_the_steps_of_that_operation(office: rig.Airflow) -> None:
    office.deploy(
        f"{BOOKSHOP.read_text()}\nwatch: {{every: 1m}}\n"
        "backups: {of: {rows: db.catalog}, to: s3://shop/backups/, drill: {}}\n"
    )
    known = definition.loads(
        f"{BOOKSHOP.read_text()}\nbackups: {{of: {{rows: db.catalog}}, to: s3://shop/backups/, drill: {{}}}}\n"
    )
    for operation in names.Operation:
        dag = names.dag_id("bookshop", operation)
        path = f"dags/{dag}/runs/{office.run(dag, rig.AllOf('success'), state='success')}"
        assert office.get(f"/gantry/{path}").status_code == 200, operation
        steps = {each["id"] for each in office.get(f"/gantry/api/v1/{path}").json()["steps"]}
        assert steps == {each.id for each in plan.plan_of(known, operation)}, operation


def test_a_running_deployment_with_what_the_cloud_says(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    says(monkeypatch, cloud_facts.CloudAnswer(FOUND, console="https://console/#"))
    office.record(
        "bookshop",
        run_records.Record(
            "launch", "manual__0", "ada", "to see it", rig.EARLIER.isoformat(), run_records.Result.SUCCESS,
            (rig.EARLIER + datetime.timedelta(seconds=40)).isoformat(), versions={"app": "abcdef0123456789"},
            started={"bookshop-proxy-1": "i-proxy"},
        ),
    )  # fmt: skip
    text = office.get("/gantry/deployments/bookshop").text
    for wanted in (
        "RUNNING", "10.0.0.7", "https://console/#i-database", "abcdef01", "to see it", "ada", "40 s", "+1",
        "/gantry/dags/bookshop/runs/manual__0", "/gantry/deployments/bookshop/servers/bookshop-proxy-1/log",
    ):  # fmt: skip
        assert wanted in text, wanted


def test_a_definition_in_another_bundle_than_at_the_last_operation_is_said(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    head = "Its definition is in another DAG bundle"
    office.operated_from("bookshop", rig.BUNDLE)
    assert head not in office.get("/gantry/deployments/bookshop").text
    found = office.get("/gantry/api/v1/deployments/bookshop").json()
    assert (found["bundle"], found["left_bundle"]) == (rig.BUNDLE, "")
    office.operated_from("bookshop", "deployments")
    text = office.get("/gantry/deployments/bookshop").text
    assert head in text
    assert (
        f"Airflow has read it from {rig.BUNDLE} last, and the last operation worked with the one in deployments."
        in text
    )
    assert office.get("/gantry/api/v1/deployments/bookshop").json()["left_bundle"] == "deployments"


def test_a_record_that_nobody_closed_ends_as_its_run_did(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run("bookshop", {"turn": "success", "tier-database.scale_up": "failed"}, state="failed")
    office.record(
        "bookshop",
        *(
            run_records.Record("launch", run, "ada", f"reason of {run}", rig.NOW.isoformat())
            for run in ("manual__1", "deleted")
        ),
    )
    history = office.get("/gantry/api/v1/deployments/bookshop").json()["history"]
    assert {each["run"]: (each["result"], each["over"] is None) for each in history} == {
        "manual__1": ("failed", False),
        "deleted": ("failed", True),
    }


def test_a_cloud_that_refuses_is_told_of(office: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    office.deploy(BOOKSHOP)
    says(monkeypatch, cloud_facts.CloudAnswer(trouble="no credentials <here>"))
    text = office.get("/gantry/deployments/bookshop").text
    assert "no credentials &lt;here&gt;" in text


def test_accounts_and_roles_in_a_refusal_are_for_those_who_may_run_the_deployment(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.deploy(BOOKSHOP)
    arn, blob = "arn:aws:sts::123456789012:assumed-role/launcher/night", "Xq3-secretive_blob"
    said = (
        f"the cloud answered UnauthorizedOperation: User: {arn} is not authorized to perform: ec2:DescribeInstances "
        f"in 123456789012. Encoded authorization failure message: {blob}"
    )
    says(monkeypatch, cloud_facts.CloudAnswer(trouble=said))
    for path in ("/gantry/deployments/bookshop", "/gantry/api/v1/deployments/bookshop"):
        may_run, may_look = (office.get(path, role).text for role in (rig.USER, rig.VIEWER))
        for secret in (arn, "123456789012", blob):
            assert (secret in may_run, secret in may_look) == (True, False)
        assert "User: (ARN) is not authorized to perform: ec2:DescribeInstances" in may_look


def test_what_htmx_asks_for_is_the_part_that_changes(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    text = office.get("/gantry/deployments/bookshop", headers={"HX-Request": "true"}).text
    assert text.strip().startswith('<div id="deployment"')
    assert "<html" not in text


def test_the_tab_of_any_of_its_dags_shows_the_deployment(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    for dag in ("bookshop", "bookshop.scale", "bookshop.terminate"):
        assert "<h1>bookshop</h1>" in office.get(f"/gantry/dags/{dag}").text


def test_a_name_that_is_none_says_so(office: rig.Airflow) -> None:
    answer = office.get("/gantry/deployments/nosuch")
    assert answer.status_code == 404
    assert "nosuch" in answer.text


def test_a_run_shows_its_grid_and_its_timeline(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run(
        "bookshop",
        {"turn": "success", "tier-database.scale_up": "success", "tier-database.handshake": "failed"},
        dealt={"database": [["bookshop-database-1"]]},
    )
    answer = office.get("/gantry/dags/bookshop/runs/manual__1")
    assert answer.status_code == 200, answer.text
    for wanted in ("LAUNCHING", "FAILED", "bookshop-database-1", "Timeline", "task=tier-database.handshake"):
        assert wanted in answer.text, wanted
    live = office.get("/gantry/dags/bookshop/runs/manual__1", headers={"HX-Request": "true"}).text
    assert live.strip().startswith('<div id="run"')
    assert 'hx-swap-oob="morph"' in live


def test_a_run_of_another_version_of_the_definition_is_shown_as_it_was(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    office.deploy(BOOKSHOP.read_text().replace("min: 2, max: 6", "min: 3, max: 6"))
    assert ">application 2<" in office.get("/gantry/dags/bookshop/runs/manual__0").text
    office.launched("bookshop", run="later", asked=rig.NOW)
    assert ">application 3<" in office.get("/gantry/dags/bookshop/runs/later").text


def test_a_task_without_a_log_says_so(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run("bookshop", {"turn": "success"})
    answer = office.get("/gantry/dags/bookshop/runs/manual__1/log?task=turn")
    assert answer.status_code == 200, answer.text
    assert 'id="log-of-task"' in answer.text


def test_a_failed_task_shows_what_it_has_kept_of_its_failures(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.run("bookshop", {"turn": "failed"}, state="failed")
    office.failed(
        "bookshop",
        "turn",
        errors.Failure("db-1: <it> failed", "no disk", "Buy a disk.", "db-1", "startService", 7),
        errors.Failure("db-2: it failed", "no disk", "Buy a disk."),
        errors.Failure("db-3: no key; make one"),
    )
    text = office.get("/gantry/dags/bookshop/runs/manual__1/log?task=turn").text
    _, said, after = text.partition("<b>Buy a disk.</b>")
    assert said
    assert "<b>Buy a disk.</b>" not in after
    assert "db-1: &lt;it&gt; failed\nno disk\nBuy a disk.\ndb-2: it failed" in after
    assert "db-3: no key; make one" in after
    # A try that goes on has not failed, and one before the latest has its log.
    again = office.get("/gantry/dags/bookshop/runs/manual__1/log?task=turn&try_number=2").text
    assert "Buy a disk." not in again
