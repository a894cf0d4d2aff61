"""What was noted of servers: the versions on a deployment's page, and the page of what a server was handed."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.utils.session import create_session

from gantry import names
from gantry.state import config_history, installed_versions, keys
from gantry.web.queries import cloud_facts
from gantry.web.routes import pages
from tests.unit.web import rig
from tests.unit.web.test_deployment import FOUND

BOOKSHOP = pathlib.Path(__file__).parents[1] / "bookshop.yaml"
PAGE, API = "/gantry/deployments/bookshop", "/gantry/api/v1/deployments/bookshop"
ONE, TWO = "bookshop-application-1", "bookshop-application-2"
OLD, NEW = "51b8a2c0" * 8, "9f86d081" * 8
HEAD = (
    "--- /mnt/services/a1002/cfg/enstratus.cfg",
    "+++ /mnt/services/a1002/cfg/enstratus.cfg",
    "@@ -1 +1 @@",
)
FILE = config_history.ConfigDelivery(
    "launch", "manual__0", rig.EARLIER.isoformat(), "i-application", "ab" * 32
)


def version(found: str | None, instance: str = "i-application") -> installed_versions.Installed:
    return installed_versions.Installed(found, instance, "update", "manual__7", rig.NOW.isoformat())


@pytest.fixture
def shop(office: rig.Airflow, monkeypatch: pytest.MonkeyPatch) -> rig.Airflow:
    """It runs, and its cloud says nothing."""
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: cloud_facts.NOTHING)
    office.deploy(BOOKSHOP)
    application = {"application": [[ONE], [TWO]]}
    office.run("bookshop", rig.AllOf("success"), state="success", run="manual__0", dealt=application)
    return office


def app(shop: rig.Airflow) -> dict[str, Any]:
    """The service in the API."""
    (found,) = (each for each in shop.get(API).json()["services"] if each["name"] == "app")
    return dict(found)


@pytest.mark.parametrize("other", [NEW, None])
def test_servers_with_several_versions_are_told_of(shop: rig.Airflow, other: str | None) -> None:
    shop.installed("bookshop", "app", ONE, version(OLD))
    shop.installed("bookshop", "app", TWO, version(other))
    text = shop.get(PAGE).text
    for wanted in (
        "servers differ",
        "51b8a2c0",
        "9f86d081" if other else "unfinished",
        f"on {ONE}",
        f"on {TWO}",
    ):
        assert wanted in text, wanted
    found = app(shop)
    assert found["differs"] is True
    assert found["installed"] == {
        server: {
            "version": each, "instance": "i-application", "operation": "update", "run": "manual__7",
            "at": rig.NOW.isoformat(),
        }
        for server, each in ((ONE, OLD), (TWO, other))
    }  # fmt: skip


def test_servers_with_one_version_are_not(shop: rig.Airflow) -> None:
    for server in (ONE, TWO):
        shop.installed("bookshop", "app", server, version(OLD))
    text = shop.get(PAGE).text
    assert "51b8a2c0" in text
    assert "servers differ" not in text
    assert app(shop)["differs"] is False


def test_what_was_noted_of_another_instance_is_not_said_of_this_one(
    shop: rig.Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.installed("bookshop", "app", ONE, version(OLD, "i-replaced"))
    assert ONE in app(shop)["installed"]
    monkeypatch.setattr(pages.CLOUD, "ask", lambda *_: cloud_facts.CloudAnswer(FOUND))
    assert app(shop)["installed"] == {}
    assert "51b8a2c0" not in shop.get(PAGE).text


def test_a_server_that_was_handed_nothing_says_so(shop: rig.Airflow) -> None:
    answer = shop.get(f"{PAGE}/servers/{ONE}/facts")
    assert answer.status_code == 200
    assert "No configuration was sent to this server" in answer.text
    assert shop.get(f"{API}/servers/{ONE}/facts").json() == {"server": ONE, "services": {}}


@pytest.mark.parametrize(("slots", "wanted"), [((1, 2, 3), 3), ((1,), 2)])
def test_a_tier_that_was_scaled_wants_as_many_as_it_had(
    shop: rig.Airflow, slots: tuple[int, ...], wanted: int
) -> None:
    shop.arrived("bookshop", application=slots)
    for path in (API, "/gantry/api/v1/deployments"):
        found = shop.get(path).json()
        tiers = (found if path == API else found["deployments"][0])["tiers"]
        assert [each["wanted"] for each in tiers if each["name"] == "application"] == [wanted], path
    assert f"application 2/{wanted}" in shop.get(PAGE).text


def test_what_a_server_was_handed(shop: rig.Airflow) -> None:
    later = dataclasses.replace(
        FILE, run="manual__1", digest="cd" * 32, at=rig.NOW.isoformat(),
        diff=(*HEAD, "-read=10.0.0.11", "+read=10.0.0.12", "--- no head", " same=1"), left_out=3,
    )  # fmt: skip
    shop.handed("bookshop", "app", ONE, FILE, later)
    shop.handed("bookshop", "db", TWO, dataclasses.replace(FILE, digest="ef" * 32))
    text = shop.get(f"{PAGE}/servers/{ONE}/facts").text
    for wanted in (
        "Configuration of app", "i-application", "cd" * 32, "ab" * 32, "/gantry/dags/bookshop/runs/manual__1",
        '<span class="head">--- /mnt', '<span class="head">+++ /mnt', '<span class="head">@@',
        '<span class="removed">-read=10.0.0.11', '<span class="added">+read=10.0.0.12',
        '<span class="removed">--- no head', '<span class="same"> same=1', "3 more lines were not kept",
        "It changed nothing",
    ):  # fmt: skip
        assert wanted in text, wanted
    assert text.index("cd" * 32) < text.index("ab" * 32)
    assert "ef" * 32 not in text
    found = shop.get(f"{API}/servers/{ONE}/facts").json()
    assert [each["run"] for each in found["services"]["app"]] == ["manual__1", "manual__0"]
    assert found["services"]["app"][0]["diff"] == list(later.diff)
    assert f"/servers/{ONE}/facts" in shop.get(PAGE).text


def test_an_operation_of_a_later_gantry_is_told_of_without_a_link(shop: rig.Airflow) -> None:
    shop.handed("bookshop", "app", ONE, dataclasses.replace(FILE, operation="transmogrify"))
    text = shop.get(f"{PAGE}/servers/{ONE}/facts").text
    assert "transmogrify" in text
    assert "/runs/manual__0" not in text


def test_another_deployment_s_and_what_only_looks_alike_are_not_shown(shop: rig.Airflow) -> None:
    shop.deploy(BOOKSHOP.read_text().replace("deployment: bookshop", "deployment: toyshop"))
    shop.handed("toyshop", "app", ONE, FILE)
    shop.handed("bookshop", "app", ONE.upper(), FILE)
    assert shop.get(f"{API}/servers/{ONE}/facts").json()["services"] == {}
    assert shop.get(f"{API}/servers/%25/facts").json()["services"] == {}


def test_a_diff_is_escaped(shop: rig.Airflow) -> None:
    markup = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    bad = config_history.ConfigDelivery(
        markup, markup, rig.NOW.isoformat(), markup, markup, (f"+a={markup}", markup)
    )
    shop.handed("bookshop", "app", ONE, bad)
    shop.installed(
        "bookshop", "app", ONE, installed_versions.Installed(markup, markup, markup, markup, markup)
    )
    for path in (PAGE, f"{PAGE}/servers/{ONE}/facts"):
        text = shop.get(path).text
        assert "&lt;script&gt;" in text
        assert "<script>" not in text
        assert "<img" not in text


@pytest.mark.parametrize("base", [PAGE, API])
def test_a_deployment_that_is_none_has_no_servers(shop: rig.Airflow, base: str) -> None:
    answer = shop.get(f"{base.replace('bookshop', 'nosuch')}/servers/x/facts")
    assert answer.status_code == 404


def test_what_an_earlier_gantry_has_noted_is_shown_until_it_has_been_moved(shop: rig.Airflow) -> None:
    for server in (ONE, TWO):
        shop.installed("bookshop", "app", server, version(OLD))
    earlier(shop)
    shop.installed("bookshop", "app", ONE, version(NEW))
    found = {server: each["version"] for server, each in app(shop)["installed"].items()}
    assert found == {ONE: NEW, TWO: OLD}
    shop._note("bookshop", keys.MOVED, rig.NOW.isoformat())
    assert list(app(shop)["installed"]) == [ONE]


def earlier(shop: rig.Airflow) -> None:
    """All that is kept is where an earlier Gantry had it."""
    with create_session() as session:
        ids = dict(session.execute(sa.select(AssetModel.name, AssetModel.id)).tuples().all())
        session.execute(
            sa.update(AssetStateStoreModel)
            .where(AssetStateStoreModel.asset_id == ids[names.state("bookshop")])
            .values(asset_id=ids[names.asset("bookshop")])
        )
