"""`gantry status` says the same of all deployments with the pages' API and without it; here both are the real ones."""

from __future__ import annotations

import datetime
import io
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from rich.console import Console

from gantry.cli.output import status_text
from gantry.cli.queries import deployment_status
from gantry.rest import client, login, transport
from gantry.web.http import mount
from gantry.web.queries import deployment_queries, listing
from tests.unit.web import crowd, rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
MINUTE = datetime.timedelta(minutes=1)
REFUSED = {"turn": "success", "approve": "failed"}


class Caller:
    """The command's own client, on the API server of this process."""

    def __init__(self, office: rig.Airflow, monkeypatch: pytest.MonkeyPatch, role: str = rig.ADMIN) -> None:
        self.asked: list[str] = []
        headers = office.headers(role)

        def request(_: object, call: str, method: str, place: str, **more: Any) -> Any:
            self.asked.append(call)
            return office.client.request(method, place, **{**more, "headers": headers})

        monkeypatch.setattr(transport.Connection, "_request", request)
        # One at a time: all of them share a connection to one file.
        monkeypatch.setattr(deployment_status, "_SIDE_BY_SIDE", 1)
        self.api = client.AirflowApi(
            login.AirflowLogin("http://airflow.example.com", token="of this process")
        )

    def both(self) -> list[dict[str, Any]]:
        """What is said, after a look that it is the same both ways, for programs and for people."""
        found, without = deployment_status.every(self.api), deployment_status.by_runs(self.api)
        assert [each.as_json() for each in found] == [each.as_json() for each in without]
        assert drawn(found) == drawn(without)
        return [each.as_json() for each in found]


def drawn(found: list[deployment_status.DeploymentLine]) -> str:
    told = io.StringIO()
    Console(file=told, width=300).print(status_text.table(found))
    return told.getvalue()


@pytest.fixture
def shop(office: rig.Airflow) -> rig.Airflow:
    office.deploy(BOOKSHOP)
    return office


@pytest.fixture
def caller(shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> Caller:
    return Caller(shop, monkeypatch)


def test_the_pages_are_where_the_command_looks_for_them() -> None:
    assert client.PAGES.startswith(f"{mount.PREFIX}/")


def test_one_request_for_all_of_them(shop: rig.Airflow, caller: Caller) -> None:
    shop.run("bookshop", rig.AllOf("success"), state="success", conf={"reason": "sale", "converge": []})
    crowd.multiply("bookshop", 5)
    assert len(caller.both()) == 6
    caller.asked.clear()
    (line, *_) = deployment_status.every(caller.api)
    assert caller.asked == [f"GET {client.PAGES}/deployments"]
    assert line.as_json()["run"] == {
        "dag": "bookshop",
        "id": "manual__1",
        "state": "success",
        "started": "2026-11-27T08:00:00Z",
        "ended": "2026-11-27T08:00:40Z",
        "user": "ada",
        "reason": "sale",
    }


def test_pages_of_the_list_are_put_together(
    shop: rig.Airflow, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 2)
    crowd.multiply("bookshop", 4)
    found = [each.name for each in deployment_status.every(caller.api)]
    assert found == ["bookshop", *(f"bookshop-{number:04}" for number in range(4))]
    assert len(caller.asked) == 3


def test_never_launched(caller: Caller) -> None:
    (line,) = caller.both()
    assert (line["state"], line["run"]) == ("STOPPED", None)


def test_a_failure_of_what_ran(shop: rig.Airflow, caller: Caller) -> None:
    shop.launched("bookshop")
    shop.run("bookshop", {"turn": "success", "tier-database.scale_up": "failed"}, state="failed")
    (line,) = caller.both()
    assert (line["state"], line["failed"], line["run"]["id"]) == ("MAINTENANCE", True, "manual__1")


def test_failures_of_what_ran(shop: rig.Airflow, caller: Caller) -> None:
    shop.launched("bookshop")
    for number in range(1, 5):
        shop.run(
            "bookshop",
            {"turn": "success", "tier-database.scale_up": "failed"},
            state="failed",
            run=f"manual__{number}",
            asked=rig.NOW + number * MINUTE,
        )
    (line,) = caller.both()
    assert (line["state"], line["failed"], line["run"]["id"]) == ("MAINTENANCE", True, "manual__4")


def test_a_termination_that_got_no_further_than_its_final_backup(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.deploy(f"{BOOKSHOP.read_text()}\nbackups: {{of: {{rows: db.catalog}}, to: s3://shop/backups/}}\n")
    office.launched("bookshop")
    tasks = {"turn": "success", "ask_servers": "success", "backup-rows.back_up": "failed"}
    office.run("bookshop.terminate", tasks, state="failed")
    (line,) = Caller(office, monkeypatch).both()
    assert (line["state"], line["failed"], line["run"]["id"]) == ("RUNNING", False, "manual__1")


def test_one_that_waits_for_its_turn_is_listed_with_when_it_was_asked_for(
    shop: rig.Airflow, caller: Caller
) -> None:
    shop.launched("bookshop")
    shop.run("bookshop.terminate", {"turn": "deferred"}, run="manual__t", asked=rig.NOW)
    shop.run("bookshop.scale", {}, state="queued", run="manual__s", asked=rig.NOW - MINUTE)
    with create_session() as session:
        for run in session.scalars(sa.select(DagRun).where(DagRun.run_id.in_(["manual__t", "manual__s"]))):
            # A run that is cleared is queued again: that is not when it was asked for.
            run.start_date, run.queued_at = None, run.run_after + datetime.timedelta(seconds=5)
    (line,) = caller.both()
    # Both wait; which of them is told of is the same each time.
    assert (line["state"], line["run"]["id"]) == ("RUNNING", "manual__s")
    assert "07:59:00" in drawn(deployment_status.every(caller.api))


def test_a_schedule_is_no_user(shop: rig.Airflow, caller: Caller) -> None:
    shop.launched("bookshop")
    with create_session() as session:
        for run in session.scalars(sa.select(DagRun)):
            run.run_type, run.triggering_user_name = "scheduled", None
    (line,) = caller.both()
    assert line["run"]["user"] is None


@pytest.mark.parametrize("most", [3, 50])
def test_where_the_newest_runs_did_nothing_older_ones_are_asked_for(
    shop: rig.Airflow, caller: Caller, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(deployment_queries, "_MOST", most)
    shop.launched("bookshop")
    for number in range(1, 5):
        asked = rig.NOW + number * MINUTE
        shop.run("bookshop", REFUSED, state="failed", run=f"manual__{number}", asked=asked)
    (line,) = caller.both()
    assert (line["state"], line["run"]["id"]) == ("RUNNING", "manual__4")
    (raw,) = shop.get(f"{client.PAGES}/deployments").json()["deployments"]
    # Pages look back a limited number of runs, and say so where that is not enough.
    assert (raw["settled"], raw["state"]) == ((True, "RUNNING") if most > 4 else (False, "STOPPED"))


def test_nobody_sees_more_than_they_may(shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.launched("bookshop")
    assert deployment_status.every(Caller(shop, monkeypatch, rig.POWERLESS).api) == []
    assert len(deployment_status.every(Caller(shop, monkeypatch, rig.VIEWER).api)) == 1
