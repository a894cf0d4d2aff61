"""Who is answered what by each route with FAB's auth manager, whose rights can be those of a single DAG."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from airflow.api_fastapi import app as api
from airflow.models.dagrun import DagRun
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils import db
from airflow.utils.session import create_session
from fastapi.testclient import TestClient

from gantry.state import installed_versions, run_records
from gantry.web.http import access
from tests.unit.web import rig, routes

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
ROUTES = routes.every()
RUNNERS = frozenset({access.deployment_runner, access.operation_runner, access.answerer})
SEEN = [("can_read", "DAG Runs"), ("can_read", "Task Instances"), ("can_read", "Task Logs")]
ROLES = {
    "powerless": [],
    # Of this deployment's DAGs, and of nothing else.
    "visitor": [("can_read", f"DAG:bookshop{each}") for each in ("", ".scale", ".terminate")] + SEEN,
    # Of the launch, and of no other operation.
    "narrow": [("can_read", "DAG:bookshop"), *SEEN],
    # Of the DAG, and not of its runs: a page shows both.
    "half": [("can_read", "DAG:bookshop")],
    # Of another deployment's.
    "neighbour": [
        ("can_read", "DAG:toyshop"),
        ("can_edit", "DAG:toyshop"),
        ("can_create", "DAG Runs"),
        *SEEN,
    ],
}


@pytest.fixture(scope="module")
def fab(airflow: rig.Airflow) -> Iterator[rig.Airflow]:
    """The same Airflow with FAB, and a user of each role."""
    before = os.environ["AIRFLOW__CORE__AUTH_MANAGER"]
    os.environ["AIRFLOW__CORE__AUTH_MANAGER"] = FAB
    api.purge_cached_app()
    try:
        db.initdb()
        application = api.create_app("core")
        with get_application_builder() as builder:
            manager = builder.sm
            for name, rights in ROLES.items():
                role = manager.add_role(name)
                for right in rights:
                    manager.add_permission_to_role(role, manager.create_permission(*right))
            tokens = {}
            for name in (*ROLES, "Viewer", "User"):
                role = manager.find_role(name)
                user = manager.add_user(name, name, name, f"{name}@example.com", role, password="secret")
                tokens[name] = api.get_auth_manager().generate_jwt(user)
        yield rig.Airflow(TestClient(application), login=tokens.__getitem__)
    finally:
        os.environ["AIRFLOW__CORE__AUTH_MANAGER"] = before
        api.purge_cached_app()
        api.create_auth_manager()


@pytest.fixture(scope="module")
def shop(fab: rig.Airflow) -> Iterator[rig.Airflow]:
    fab.clear()
    fab.deploy(BOOKSHOP)
    fab.launched("bookshop")
    yield fab
    fab.clear()


def ask(airflow: rig.Airflow, route: routes.Route, name: str | None) -> int:
    headers = airflow.headers(name)
    answer = airflow.client.request(
        route.method, route.address, params=route.query, headers=headers, follow_redirects=False
    )
    return int(answer.status_code)


OPEN = {"/", "/api/v1/deployments", "/api/v1/openapi.json"}
READERS = [each for each in ROUTES if each.method == "GET" and not each.depends_on(RUNNERS)]
OF_ASSETS = [each for each in READERS if each.depends_on(frozenset({access.facts_reader}))]


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_nobody_is_answered_without_a_login(shop: rig.Airflow, route: routes.Route) -> None:
    assert ask(shop, route, None) == 401


@pytest.mark.parametrize("name", ["powerless", "half", "neighbour"])
@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_who_has_no_right_is_refused(shop: rig.Airflow, route: routes.Route, name: str) -> None:
    assert ask(shop, route, name) == (200 if route.path in OPEN else 403)


@pytest.mark.parametrize("name", ["visitor", "Viewer"])
@pytest.mark.parametrize("route", READERS, ids=str)
def test_who_may_read_is_answered(shop: rig.Airflow, route: routes.Route, name: str) -> None:
    refused = name == "visitor" and route in OF_ASSETS
    assert ask(shop, route, name) in ((403,) if refused else (200, 307))


@pytest.mark.parametrize("name", ["visitor", "Viewer"])
@pytest.mark.parametrize("route", [each for each in ROUTES if each not in READERS], ids=str)
def test_who_may_only_read_may_not_act(shop: rig.Airflow, route: routes.Route, name: str) -> None:
    assert ask(shop, route, name) == 403


@pytest.mark.parametrize(
    ("name", "seen"),
    {"powerless": False, "half": False, "neighbour": False, "visitor": True, "User": True}.items(),
)
def test_the_list_has_what_may_be_read(shop: rig.Airflow, name: str, *, seen: bool) -> None:
    assert ("bookshop" in shop.get("/gantry/", name).text) is seen


def test_records_are_for_who_may_read_assets(shop: rig.Airflow) -> None:
    assert "You may not read assets" in shop.get("/gantry/deployments/bookshop", "visitor").text
    assert shop.get("/gantry/api/v1/deployments/bookshop", "visitor").json()["history"] is None
    assert "You may not read assets" not in shop.get("/gantry/deployments/bookshop", "Viewer").text


def test_a_run_is_for_who_may_read_its_dag_and_its_state_for_who_may_read_the_launchs(
    shop: rig.Airflow,
) -> None:
    run = shop.run(
        "bookshop.terminate",
        {"confirm": "success", "turn": "success", "balancer-front.stop_proxy": "running"},
        run="manual__end",
        conf={"reason": "bankrupt"},
    )
    try:
        for name, is_shown in (("narrow", False), ("visitor", True)):
            (line,) = shop.get("/gantry/api/v1/deployments", name).json()["deployments"]
            assert line["state"] == "STOPPING"
            assert ((line["last_run"] or {}).get("id") == run) is is_shown
            assert ((line["worked"] or {}).get("reason") == "bankrupt") is is_shown
            assert (line["progress"] is not None) is is_shown
            found = shop.get("/gantry/api/v1/deployments/bookshop", name).json()
            assert found["state"] == "STOPPING"
            assert (found["run"] is not None) is is_shown
            for path in ("/gantry/", "/gantry/deployments/bookshop"):
                page = shop.get(path, name).text
                assert "STOPPING" in page
                assert (run in page) is is_shown
    finally:
        with create_session() as session:
            session.execute(sa.delete(DagRun).where(DagRun.run_id == run))


def test_versions_in_records_are_for_who_may_read_assets(shop: rig.Airflow) -> None:
    record = run_records.Record("launch", "manual__0", "ada", "", "2026-11-27T07:00:00+00:00")
    shop.record("bookshop", dataclasses.replace(record, versions={"app": "feedface" * 8}))
    for name, is_shown in (("visitor", False), ("Viewer", True)):
        for path in ("/gantry/", "/gantry/deployments/bookshop", "/gantry/api/v1/deployments"):
            assert ("feedface" in shop.get(path, name).text) is is_shown, path


def test_what_is_noted_is_for_who_may_read_assets(shop: rig.Airflow) -> None:
    assert {each.path for each in OF_ASSETS} == {
        "/deployments/{name}/servers/{server}/facts",
        "/api/v1/deployments/{name}/servers/{server}/facts",
    }
    server = "bookshop-application-1"
    shop.installed(
        "bookshop", "app", server, installed_versions.Installed("0badc0de" * 8, "i-1", "launch", "r", "")
    )
    for name, is_shown in (("visitor", False), ("Viewer", True)):
        page = shop.get("/gantry/deployments/bookshop", name).text
        assert ("0badc0de" in page) is is_shown
        assert (f"/servers/{server}/facts" in page) is is_shown
        found = shop.get("/gantry/api/v1/deployments/bookshop", name).json()
        assert all((each["installed"] is not None) is is_shown for each in found["services"])
        assert all((each["installed"] is not None) is is_shown for each in found["servers"])


def test_what_may_be_done_is_offered(shop: rig.Airflow) -> None:
    assert "/operations/" in shop.get("/gantry/deployments/bookshop", "User").text
    assert "/operations/" not in shop.get("/gantry/deployments/bookshop", "visitor").text
