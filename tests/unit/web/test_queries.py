"""How often pages ask the database: as often for many deployments as for few."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from airflow.models.dag import clear_team_name_cache

from airflow import settings
from gantry.state import config_history, installed_versions
from gantry.web.queries import cloud_facts
from gantry.web.routes import pages
from tests.unit.web import crowd, rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
MOST = 16
"""Queries of the list. Where a page needs more, think first."""


@contextlib.contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that are sent to the database."""
    said: list[str] = []

    def note(connection: object, cursor: object, statement: str, *_: object) -> None:
        said.append(statement)

    engine = settings.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def ask(office: rig.Airflow, path: str) -> list[str]:
    """The statements of a second look, in a moment in which Airflow does not remember the team of any DAG.

    It asks for a visitor's rights on each DAG, and remembers the answer for 30 seconds: what a page asks changes with
    the clock otherwise.
    """
    office.get(path)
    clear_team_name_cache()
    with counted() as said:
        assert office.get(path).status_code == 200
    return said


def test_the_list_asks_as_often_for_many_as_for_few(office: rig.Airflow) -> None:
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    office.run("bookshop.scale", {"turn": "success", "tier-application.scale_up": "running"})
    crowd.multiply("bookshop", 2)
    few = ask(office, "/gantry/")
    crowd.multiply("bookshop-0001", 57)
    text = office.get("/gantry/").text
    assert "60 deployments" in text
    assert "Page 1 of 2" in text
    many = ask(office, "/gantry/")
    assert len(many) == len(few), "\n\n".join(many)
    assert len(many) <= MOST


def test_a_deployment_s_page_asks_as_often_among_many_as_among_few(
    office: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: cloud_facts.NOTHING)
    office.deploy(BOOKSHOP)
    office.launched("bookshop")
    few = ask(office, "/gantry/deployments/bookshop")
    for place in range(1, 4):
        server = f"bookshop-application-{place}"
        office.installed(
            "bookshop", "app", server, installed_versions.Installed(str(place), "i", "launch", "r", "")
        )
    assert len(ask(office, "/gantry/deployments/bookshop")) == len(few)
    crowd.multiply("bookshop", 30)
    assert len(ask(office, "/gantry/deployments/bookshop")) == len(few)


def test_what_a_server_was_handed_is_asked_as_often_for_many_services_as_for_none(
    office: rig.Airflow,
) -> None:
    office.deploy(BOOKSHOP)
    path = "/gantry/deployments/bookshop/servers/bookshop-application-1/facts"
    few = ask(office, path)
    file = config_history.ConfigDelivery(
        "launch", "manual__0", rig.NOW.isoformat(), "i-1", "51b8a2c0", ("+a=1",)
    )
    for place in range(8):
        office.handed("bookshop", f"app-{place}", "bookshop-application-1", *[file] * config_history.MOST)
    assert len(ask(office, path)) == len(few)
