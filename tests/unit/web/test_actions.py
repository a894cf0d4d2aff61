"""What people do: forms of operations and of questions, over Airflow's own API with the visitor's rights."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.hitl import HITLDetail
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session

from gantry import definition
from gantry.dag.operations import RECIPES
from tests.unit.web import rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
SCALE = "/gantry/deployments/bookshop/operations/scale"
TERMINATE = "/gantry/deployments/bookshop/operations/terminate"


@pytest.fixture
def shop(office: rig.Airflow) -> rig.Airflow:
    office.deploy(BOOKSHOP)
    with create_session() as session:
        session.execute(sa.update(DagModel).values(is_paused=False))
    return office


def mark(airflow: rig.Airflow, path: str, role: str = rig.USER) -> str:
    text = airflow.get(path, role).text
    found = re.search(r'name="gantry_mark" value="([^"]+)"', text)
    assert found, text
    return found[1]


def send(airflow: rig.Airflow, path: str, data: dict[str, Any], role: str = rig.USER, **more: Any) -> Any:
    return airflow.post(path, role, data=data, follow_redirects=False, **more)


def runs() -> list[tuple[str, dict[str, Any], str | None]]:
    with create_session() as session:
        found = session.scalars(sa.select(DagRun).order_by(DagRun.id))
        return [(each.dag_id, each.conf or {}, each.triggering_user_name) for each in found]


def test_a_scaling_is_asked_for_as_the_visitor(shop: rig.Airflow) -> None:
    text = shop.get(SCALE, rig.USER).text
    assert "Servers of tier application" in text
    answer = send(
        shop, SCALE, {"gantry_mark": mark(shop, SCALE), "servers_application": "3", "reason": "a sale"}
    )
    assert answer.status_code == 303, answer.text
    ((dag, conf, user),) = runs()
    assert (dag, user) == ("bookshop.scale", "uma")
    assert (conf["servers_application"], conf["reason"]) == (3, "a sale")
    assert answer.headers["location"].startswith("/gantry/dags/bookshop.scale/runs/manual__")
    assert shop.get(answer.headers["location"], rig.USER).status_code == 200


def test_every_operation_that_the_deployment_has_has_a_form(shop: rig.Airflow) -> None:
    page = shop.get("/gantry/deployments/bookshop", rig.USER).text
    offered = set(re.findall(r"/operations/([a-z-]+)", page))
    found = definition.load(BOOKSHOP)
    assert offered == {each.value for each, recipe in RECIPES.items() if recipe.needed(found)}
    assert {"launch", "scale", "terminate"} <= offered
    for operation in offered:
        assert shop.get(f"/gantry/deployments/bookshop/operations/{operation}", rig.USER).status_code == 200
    assert shop.get("/gantry/deployments/bookshop/operations/backup", rig.USER).status_code == 404
    assert shop.get("/gantry/deployments/bookshop/operations/nosuch", rig.USER).status_code == 422


def test_a_dags_name_is_no_deployments(shop: rig.Airflow) -> None:
    # It would lead to another operation's DAG under the launch's name.
    for operation in ("launch", "scale"):
        path = f"/gantry/deployments/bookshop.terminate/operations/{operation}"
        assert shop.get(path, rig.ADMIN).status_code == 404


def test_a_mistake_is_told_at_its_field_and_nothing_starts(shop: rig.Airflow) -> None:
    answer = send(shop, SCALE, {"gantry_mark": mark(shop, SCALE), "servers_application": "9"})
    assert answer.status_code == 422
    assert "At most 6" in answer.text
    assert 'value="9"' in answer.text
    assert runs() == []


def test_a_paused_dag_is_told_of_and_can_be_unpaused(shop: rig.Airflow) -> None:
    with create_session() as session:
        session.execute(sa.update(DagModel).values(is_paused=True))
    assert "is paused" in shop.get(TERMINATE, rig.USER).text
    given = {"gantry_mark": mark(shop, TERMINATE), "confirm": "bookshop"}
    refused = send(shop, TERMINATE, given)
    assert refused.status_code == 409
    assert runs() == []
    answer = send(shop, TERMINATE, {**given, "gantry_unpause": "yes"})
    assert answer.status_code == 303, answer.text
    with create_session() as session:
        paused = dict(session.execute(sa.select(DagModel.dag_id, DagModel.is_paused)).tuples().all())
    assert [dag for dag, is_paused in paused.items() if not is_paused] == ["bookshop.terminate"]


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        ({"servers_application": "3"}, {}),
        ({"gantry_mark": "nonsense"}, {}),
        (None, {"Sec-Fetch-Site": "cross-site"}),
        (None, {"Origin": "https://evil.example.com"}),
        (None, {"Origin": "null"}),
    ],
)
def test_another_site_cannot_make_somebody_start_anything(
    shop: rig.Airflow, data: dict[str, str] | None, headers: dict[str, str]
) -> None:
    answer = send(shop, SCALE, {"gantry_mark": mark(shop, SCALE)} if data is None else data, headers=headers)
    assert answer.status_code == 403
    assert runs() == []


def test_the_mark_of_one_is_none_of_another(shop: rig.Airflow) -> None:
    answer = send(shop, SCALE, {"gantry_mark": mark(shop, SCALE, rig.ADMIN)}, rig.USER)
    assert answer.status_code == 403
    assert runs() == []


def test_only_forms_are_taken(shop: rig.Airflow) -> None:
    found = mark(shop, SCALE)
    assert shop.post(SCALE, rig.USER, json={"gantry_mark": found}).status_code == 415
    big = send(shop, SCALE, {"gantry_mark": found, "reason": "x" * 300_000})
    assert big.status_code == 413


def test_who_may_not_is_refused_also_with_a_mark(shop: rig.Airflow) -> None:
    found = mark(shop, SCALE)
    assert send(shop, SCALE, {"gantry_mark": found}, rig.VIEWER).status_code == 403
    assert runs() == []


def test_the_cookie_of_the_ui_is_a_login_too(shop: rig.Airflow) -> None:
    found = mark(shop, SCALE)
    shop.client.cookies.set("_token", rig.token(rig.USER))
    try:
        answer = shop.client.post(
            SCALE, data={"gantry_mark": found, "servers_application": "4"}, follow_redirects=False
        )
    finally:
        shop.client.cookies.clear()
    assert answer.status_code == 303, answer.text
    assert [user for _, _, user in runs()] == ["uma"]


@pytest.fixture
def asking(shop: rig.Airflow) -> str:
    """A launch that waits for a person; the address of its question."""
    shop.deploy(BOOKSHOP.read_text().replace("deployment: bookshop", "deployment: bookshop\napproval: {}"))
    run = shop.run("bookshop", {"approve": "awaiting_input"})
    with create_session() as session:
        task = session.scalar(sa.select(TaskInstance.id).where(TaskInstance.task_id == "approve"))
        session.add(
            HITLDetail(
                ti_id=task,
                options=["Approve", "Reject"],
                subject="Launch <bookshop>?",
                body=BODY,
                params={"note": NOTE},
            )
        )
    return f"/gantry/dags/bookshop/runs/{run}/answer?task=approve"


BODY = """\
| tier | at least |
|---|---|
| data | 1 |

Reason: <script>alert(1)</script> ![](https://example.com/seen.png) [x](javascript:alert(2))
"""
NOTE = {"value": "", "description": "Why", "schema": {"type": "string", "title": "Note"}, "source": None}


def test_a_question_is_offered_to_who_may_answer_it(shop: rig.Airflow, asking: str) -> None:
    for page in ("/gantry/dags/bookshop/runs/manual__1", "/gantry/deployments/bookshop"):
        assert asking in shop.get(page, rig.USER).text
        assert asking not in shop.get(page, rig.VIEWER).text
    text = shop.get(asking, rig.USER).text
    assert "Launch &lt;bookshop&gt;?" in text
    assert "Reject" in text


def test_what_a_question_says_is_shown_as_airflow_shows_it_without_its_html(
    shop: rig.Airflow, asking: str
) -> None:
    text = shop.get(asking, rig.USER).text
    assert "<td>data</td>" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<img" not in text
    assert 'href="javascript' not in text


def test_a_question_is_answered_as_the_visitor(shop: rig.Airflow, asking: str) -> None:
    found = {"gantry_mark": mark(shop, asking), "note": "looks good"}
    assert send(shop, asking, found).status_code == 422
    assert send(shop, asking, {**found, "gantry_option": "Perhaps"}).status_code == 400
    answer = send(shop, asking, {**found, "gantry_option": "Approve"})
    assert answer.status_code == 303, answer.text
    with create_session() as session:
        kept = session.scalars(sa.select(HITLDetail)).one()
        assert (kept.chosen_options, kept.params_input) == (["Approve"], {"note": "looks good"})
        assert kept.responded_by is not None
        assert kept.responded_by["name"] == "uma"
