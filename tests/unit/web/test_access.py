"""Who is answered what by each route, with Airflow's simple auth manager; `test_access_fab.py` asks FAB."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount

from gantry.web import app
from gantry.web.http import access
from tests.unit.web import rig, routes

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
ROUTES = routes.every()
OPEN = {"/", "/api/v1/deployments", "/api/v1/openapi.json"}
"""Routes that show to everybody what they may see, and so ask for no right themselves."""

RUNNERS = (access.deployment_runner, access.operation_runner, access.answerer)


@pytest.fixture(scope="module")
def shop(airflow: rig.Airflow) -> Iterator[rig.Airflow]:
    airflow.clear()
    airflow.deploy(BOOKSHOP)
    airflow.launched("bookshop")
    yield airflow
    airflow.clear()


def ask(airflow: rig.Airflow, route: routes.Route, role: str | None) -> int:
    headers = airflow.headers(role)
    answer = airflow.client.request(
        route.method, route.address, params=route.query, headers=headers, follow_redirects=False
    )
    return int(answer.status_code)


def test_there_is_nothing_but_routes_with_a_login_and_static_files() -> None:
    others = [route for route in app.create().routes if not isinstance(route, APIRoute)]
    assert [each.path for each in others if isinstance(each, Mount)] == ["/static"]
    assert len(others) == 1


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_each_route_asks_for_a_login_and_for_a_right(route: routes.Route) -> None:
    assert route.depends_on(frozenset({access.visitor}))
    assert route.path in OPEN or route.depends_on(access.CHECKS)


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_nobody_is_answered_without_a_login(shop: rig.Airflow, route: routes.Route) -> None:
    assert ask(shop, route, rig.NOBODY) == 401
    answer = shop.client.request(route.method, route.address, headers={"Authorization": "Bearer nonsense"})
    assert answer.status_code in (401, 403)
    assert "bookshop-application" not in answer.text


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_who_has_no_right_is_refused(shop: rig.Airflow, route: routes.Route) -> None:
    status = ask(shop, route, rig.POWERLESS)
    assert status == (200 if route.path in OPEN else 403)


@pytest.mark.parametrize("route", [each for each in ROUTES if each.depends_on(frozenset(RUNNERS))], ids=str)
def test_who_may_only_read_may_not_act(shop: rig.Airflow, route: routes.Route) -> None:
    assert ask(shop, route, rig.VIEWER) == 403


@pytest.mark.parametrize(
    "route",
    [each for each in ROUTES if each.method == "GET" and not each.depends_on(frozenset(RUNNERS))],
    ids=str,
)
def test_who_may_read_is_answered(shop: rig.Airflow, route: routes.Route) -> None:
    assert ask(shop, route, rig.VIEWER) in (200, 307)


def test_who_has_no_right_to_a_deployment_does_not_see_it_in_the_list(shop: rig.Airflow) -> None:
    text = shop.get("/gantry/", rig.POWERLESS).text
    assert "bookshop" not in text
    assert "No deployments yet" in text


def test_what_may_not_be_done_is_not_offered(shop: rig.Airflow) -> None:
    assert "/operations/" in shop.get("/gantry/deployments/bookshop", rig.USER).text
    viewed = shop.get("/gantry/deployments/bookshop", rig.VIEWER).text
    assert "/operations/" not in viewed
    assert "/log" not in viewed


def test_static_files_need_no_login(airflow: rig.Airflow) -> None:
    assert airflow.get("/gantry/static/gantry.css", rig.NOBODY).status_code == 200
    assert airflow.get("/gantry/static/../pages.py", rig.NOBODY).status_code in (401, 404)


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_the_application_does_not_describe_itself_to_anybody(airflow: rig.Airflow, path: str) -> None:
    assert airflow.get(f"/gantry{path}", rig.NOBODY).status_code == 404


@pytest.mark.parametrize(
    "path", ["/gantry/", "/gantry/deployments/bookshop", "/gantry/nothing", "/gantry/static/gantry.css"]
)
def test_every_answer_forbids_what_pages_do_not_need(shop: rig.Airflow, path: str) -> None:
    for role in (rig.ADMIN, rig.NOBODY):
        answer = shop.get(path, role)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'self'" in policy
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "static" not in path:
            assert answer.headers["cache-control"] == "no-store"


def test_no_page_has_an_inline_script_or_style(shop: rig.Airflow) -> None:
    for route in ROUTES:
        if route.method == "GET":
            text = shop.get(route.address, params=route.query, follow_redirects=False).text
            assert "<script>" not in text
            assert " style=" not in text
            assert "<style" not in text
            assert " onclick=" not in text
            assert "javascript:" not in text


MARKUP = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def test_what_a_definition_says_is_escaped(office: rig.Airflow) -> None:
    text = BOOKSHOP.read_text().replace("Hello from {{ server.name }}", MARKUP.replace('"', "'"))
    office.deploy(
        text.replace(
            "deployment: bookshop", f"deployment: bookshop\ndescription: '{MARKUP}'\ntags: ['{MARKUP}']"
        )
    )
    office.run("bookshop", {"turn": "success", "tier-database.scale_up": "running"}, conf={"reason": MARKUP})
    for path in (
        "/gantry/",
        "/gantry/?q=<script>",
        "/gantry/deployments/bookshop",
        "/gantry/dags/bookshop/runs/manual__1",
    ):
        answer = office.get(path)
        assert answer.status_code == 200
        for bad in ("<script>alert", "<img", '<script>"'):
            assert bad not in answer.text, path
    assert "&lt;script&gt;alert" in office.get("/gantry/deployments/bookshop").text
    assert "&lt;script&gt;alert" in office.get("/gantry/dags/bookshop/runs/manual__1").text


def test_a_mistake_of_ours_tells_nobody_what_it_was(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("password=swordfish")

    monkeypatch.setattr("gantry.web.queries.listing.listing", break_down)
    client = TestClient(office.client.app, raise_server_exceptions=False)
    answer = client.get("/gantry/", headers=office.headers(rig.ADMIN))
    assert answer.status_code == 500
    assert "Something went wrong" in answer.text
    assert "swordfish" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert client.get("/gantry/?page=x", headers=office.headers(rig.ADMIN)).status_code == 422
