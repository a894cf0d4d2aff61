"""Gantry's pages in a real browser: Airflow's own API server, its database as the scheduler would have written it."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import re
import socket
import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import uvicorn
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from playwright.sync_api import Browser, Page, expect

from gantry import errors, status
from gantry.state import config_history, installed_versions, run_records
from gantry.web.queries import cloud_facts
from gantry.web.routes import pages as app_pages
from tests.unit.web import rig
from tests.web import legible, scenes, viewer

NOW = datetime.datetime.now(datetime.UTC)
RUN, FAILED_RUN = "manual__2026-11-27T08:00:00+00:00", "manual__2026-11-27T09:00:00+00:00"


@dataclasses.dataclass(frozen=True)
class House:
    """An API server that a browser can visit."""

    url: str
    office: rig.Airflow


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with rig.started() as office, contextlib.ExitStack() as stack:
        office.clear()
        furnish(office)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(app_pages.CLOUD, "ask", _asked)
        yield House(stack.enter_context(open_to_browsers(office)), office)
        office.clear()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with viewer.browser() as found:
        yield found


@contextlib.contextmanager
def open_to_browsers(office: rig.Airflow) -> Iterator[str]:
    """The API server's own application, at an address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(office.client.app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


def _asked(definition: object, *_: object) -> cloud_facts.CloudAnswer:
    name = getattr(definition, "deployment", "")
    if name == "bookshop":
        return cloud_facts.CloudAnswer(
            scenes.bookshop(-1).inventory, console="https://console.example.com/#InstanceDetails:instanceId="
        )
    if name == "dark":
        return cloud_facts.CloudAnswer(trouble="EC2 in eu-central-1: RequestLimitExceeded")
    return cloud_facts.NOTHING


def furnish(office: rig.Airflow) -> None:
    """A bookshop that runs and whose redeploy has failed, a large launch under way, and some others."""
    done, failed, large = scenes.bookshop(-1), scenes.bookshop_failed(), scenes.large()
    office.deploy(scenes.UNIT / "bookshop.yaml")
    _run(office, "bookshop", RUN, "success", done, NOW - datetime.timedelta(hours=26))
    _run(office, "bookshop", FAILED_RUN, "failed", failed, NOW - datetime.timedelta(hours=2))
    # The other one was ended from outside, and has kept nothing.
    why = (
        "bookshop-application-1: configureService ended with exit code 3.\n"
        "Its last words: no such database 'catalog'. Look at enstratus-configure, then clear this task."
    )
    office.failed("bookshop", "service-app.configure", errors.Failure.of(why), run=FAILED_RUN, map_index=0)
    office.record(
        "bookshop",
        *(
            run_records.Record(
                "launch", run, "ada", reason, begun.isoformat(), result,
                (begun + datetime.timedelta(seconds=216)).isoformat(),
                versions={"app": "3f9a2c1d77aa", "db": "77e01bd0a1b2"}, started={"bookshop-proxy-1": "i-1"},
            )
            for run, reason, begun, result in (
                (RUN, "first launch", rig.EARLIER, run_records.Result.SUCCESS),
                (FAILED_RUN, "a greeting in two languages", rig.NOW, run_records.Result.FAILED),
            )
        ),
    )  # fmt: skip
    _note(office, done)
    for name, tags in (("intranet", ["team-blue"]), ("shop-staging", ["shops", "team-red"]), ("dark", [])):
        office.deploy(_small(name, tags))
    office.launched("intranet")
    office.launched("dark")
    office.deploy(scenes.text_of_large())
    _run(office, "large", RUN, "running", large, NOW - datetime.timedelta(minutes=9))


def _note(office: rig.Airflow, scene: scenes.Scene) -> None:
    """An update that stopped between two servers, and what one of them was handed."""
    noted = {"bookshop-application-1": "9f86d081884c7d65", "bookshop-application-2": "3f9a2c1d77aa"}
    for server, version in noted.items():
        instance = next(each.instance_id for each in scene.inventory if each.name == server)
        found = installed_versions.Installed(version, instance, "launch", RUN, rig.NOW.isoformat())
        office.installed("bookshop", "app", server, found)
    path = "/mnt/services/a1002/cfg/enstratus.cfg"
    lines = (
        f"--- {path}", f"+++ {path}", "@@ -24,4 +24,4 @@", " [dataSource]",
        "-dataSource.catalog.read=10.0.0.11", "+dataSource.catalog.read=10.0.0.11,10.0.0.12",
        "-dataSource.catalog.servicePassword=(secret)", "+dataSource.catalog.servicePassword=(secret, changed)",
        f" greeting={'a value without any space'.replace(' ', '-') * 7}",
    )  # fmt: skip
    office.handed(
        "bookshop", "app", "bookshop-application-1",
        config_history.ConfigDelivery(
            "launch", RUN, rig.EARLIER.isoformat(), "i-0123456789abcdef0", "51b8a2c0" * 8, lines[:5]
        ),
        config_history.ConfigDelivery(
            "launch", RUN, rig.NOW.isoformat(), "i-0123456789abcdef0", "0badc0de" * 8, lines, 12
        ),
    )  # fmt: skip


def _small(name: str, tags: list[str]) -> str:
    text = (scenes.UNIT / "bookshop.yaml").read_text()
    return text.replace("deployment: bookshop", f"deployment: {name}\ntags: {tags}")


def _run(
    office: rig.Airflow, dag: str, run: str, state: str, scene: scenes.Scene, asked: datetime.datetime
) -> None:
    """A run whose tasks stand as they do in a scene."""
    later = asked - min(each.started for each in scene.tasks if each.started)
    dealt: dict[str, list[list[str]]] = {}
    for each in scene.plan.tiers:
        batches = [
            [str(name) for name in each.names[batch :: scene.definition.fan_out]]
            for batch in range(scene.definition.fan_out)
        ]
        dealt[each.tier] = [batch for batch in batches if batch]
    office.run(dag, {}, state=state, run=run, asked=asked, dealt=dealt)
    views = {(each.task_id, each.map_index): each for each in scene.tasks}
    with create_session() as session:
        for row in session.scalars(
            sa.select(TaskInstance).where(TaskInstance.dag_id == dag, TaskInstance.run_id == run)
        ):
            # An instance that was never expanded has no number, and what is newer than the recording took no time.
            view = (
                views.get((row.task_id, row.map_index))
                or views.get((row.task_id, -1))
                or status.TaskView(row.task_id, row.map_index, status.TaskState.SUCCESS)
            )
            if view.state is status.TaskState.NONE:
                continue
            row.state = view.state.value
            row.start_date = view.started and view.started + later
            row.end_date = view.ended and view.ended + later
            row.try_number = 1 if view.started else 0
            if view.servers:
                row._rendered_map_index = (
                    view.servers[0]
                    if len(view.servers) == 1
                    else f"{view.servers[0]} … {view.servers[-1]} ({len(view.servers)})"
                )


@contextlib.contextmanager
def visit(
    house: House,
    chromium: Browser,
    path: str,
    *,
    width: int = 1440,
    theme: str = "light",
    role: str = rig.ADMIN,
) -> Iterator[Page]:
    with viewer.looked_at(
        chromium,
        f"{house.url}{path}",
        width=width,
        theme=theme,
        token=rig.token(role),
        missing=path.endswith("nosuch"),
    ) as page:
        yield page


PLACES = {
    "list": "/gantry/",
    "list-empty": "/gantry/?q=nosuch",
    "deployment": "/gantry/deployments/bookshop",
    "deployment-new": "/gantry/deployments/shop-staging",
    "deployment-no-cloud": "/gantry/deployments/dark",
    "deployment-large": "/gantry/deployments/large",
    "server-facts": "/gantry/deployments/bookshop/servers/bookshop-application-1/facts",
    "server-facts-none": "/gantry/deployments/bookshop/servers/bookshop-proxy-1/facts",
    "run-failed-page": f"/gantry/dags/bookshop/runs/{FAILED_RUN.replace('+', '%2B')}",
    "run-large-page": f"/gantry/dags/large/runs/{RUN.replace('+', '%2B')}",
    "scale": "/gantry/deployments/bookshop/operations/scale",
    "nowhere": "/gantry/deployments/nosuch",
}


@pytest.mark.parametrize(("theme", "width"), legible.VIEWS)
@pytest.mark.parametrize("name", PLACES)
def test_a_page_is_legible(house: House, chromium: Browser, name: str, theme: str, width: int) -> None:
    with visit(house, chromium, PLACES[name], width=width, theme=theme) as page:
        legible.show(page, f"{name}-{theme}-{width}")
        legible.hold(page)


@pytest.mark.parametrize("name", ["list", "deployment", "server-facts", "run-failed-page", "scale"])
def test_the_keyboard_gets_everywhere(house: House, chromium: Browser, name: str) -> None:
    with visit(house, chromium, PLACES[name]) as page:
        assert viewer.unreached(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_airflows_own_interface_shows_the_pages_in_its_frame(
    house: House, chromium: Browser, theme: str
) -> None:
    with visit(house, chromium, "/plugin/deployments", theme=theme) as page:
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name="bookshop", exact=True).click()
        expect(frame.get_by_role("heading", name="bookshop", exact=True)).to_be_visible()
        legible.show(page, f"airflow-{theme}")


def test_a_run_of_a_dag_has_a_tab_with_its_launch(house: House, chromium: Browser) -> None:
    run = FAILED_RUN.replace("+", "%2B")
    with visit(house, chromium, f"/dags/bookshop/runs/{run}") as page:
        page.get_by_role("link", name="Launch", exact=True).click()
        frame = page.frame_locator("iframe")
        cell = frame.locator("a.entry.bad").first
        viewer.click_until(cell, frame.locator("#log-title"), "service app: configure")
        legible.show(page, "airflow-run-tab")
        # From there to exactly that task instance in Airflow's own pages, out of the frame.
        log = frame.get_by_role("complementary", name="Log of a step")
        log.get_by_role("link", name="Open in Airflow").click()
        page.wait_for_url("**/dags/bookshop/runs/*/tasks/service-app.configure/mapped/0**")


def test_a_log_that_grows_is_followed_by_its_end_and_shown_once_more_when_it_is_over(
    house: House, chromium: Browser
) -> None:
    run = house.office.run("intranet", {"turn": "running"}, run="followed", asked=NOW)
    folder = pathlib.Path(os.environ["AIRFLOW_HOME"], "logs/dag_id=intranet/run_id=followed/task_id=turn")
    folder.mkdir(parents=True)

    def say(*texts: str) -> None:
        with (folder / "attempt=1.log").open("a") as file:
            for text in texts:
                at = datetime.datetime.now(datetime.UTC).isoformat()
                file.write(json.dumps({"timestamp": at, "level": "info", "event": text}) + "\n")

    say("the first line")
    with visit(house, chromium, f"/gantry/dags/intranet/runs/{run}") as page:
        page.locator("a[data-opens]").first.click()
        lines = page.locator("#log-lines > li")
        expect(lines).to_have_text([re.compile("the first line")])
        say("the second line")
        expect(lines).to_have_text([re.compile("the first line"), re.compile("the second line")])
        say(*(f"line {number}" for number in range(1100)))
        expect(lines.last).to_contain_text("line 1099")
        expect(lines).to_have_count(1000)
        # The end of the log is in sight. It is scrolled there a moment after it has come.
        page.wait_for_function(
            "() => { const log = document.querySelector('[data-tail]');"
            " return log.scrollHeight - log.scrollTop - log.clientHeight < 24; }"
        )
        say("the last line")
        with create_session() as session:
            found = session.scalar(
                sa.select(TaskInstance).where(TaskInstance.run_id == run, TaskInstance.task_id == "turn")
            )
            assert found is not None
            found.state, found.end_date = "success", NOW
        expect(page.locator("#log-state")).to_contain_text("success", ignore_case=True)
        expect(page.locator("#log-more")).to_have_count(0)
        expect(lines.last).to_contain_text("the last line")
        expect(page.locator("#log")).to_contain_text("103 earlier lines left out")
