"""The pages of a real Airflow during real launches, looked at with a real browser.

Screenshots are left in `test-results/pages`: both themes, a laptop's and a phone's width.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from gantry.local import airflow_process
from tests.airflow.stage import Stage, archive, eventually, probe
from tests.web import viewer

pytestmark = pytest.mark.airflow

NAME = "paged"
PICTURES = Path(__file__).parents[2] / "test-results" / "pages"
PATIENCE = 120_000  # milliseconds, for what servers do; on a slow machine that is much
BROKEN = '#!/bin/sh\necho "no room left for the probe" >&2\nexit 3\n'
WIDTHS = {"laptop": 1440, "phone": 390}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with viewer.browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(chromium: Browser, stage: Stage) -> Iterator[Page]:
    """A browser whose user is logged in to Airflow."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, timezone_id="Europe/Berlin")
    context.set_default_timeout(PATIENCE)
    found = context.new_page()
    log_in(found, stage.airflow)
    yield found
    context.close()


def log_in(page: Page, airflow: airflow_process.Airflow) -> None:
    page.goto(f"{airflow.url}/")
    page.locator("input[name=username]").fill(airflow.user)
    page.locator("input[name=password]").fill(airflow.password)
    page.locator("button[type=submit]").click()
    page.get_by_role("link", name="Deployments").or_(page.get_by_text("Deployments")).first.wait_for()


@pytest.fixture(scope="module")
def shop(stage: Stage) -> Iterator[str]:
    url = stage.upload("paged.tar.gz", archive())
    text = probe(NAME, url, image="gantry-debian-12-prepared").replace(
        "servers: 1", "servers: {min: 1, max: 2}"
    )
    stage.define(NAME, text)
    stage.api.await_dag(f"{NAME}.scale")
    yield NAME
    stage.scrap(NAME)


def test_the_pages_follow_a_deployment_s_life(stage: Stage, page: Page, shop: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))

    # In Airflow's own navigation, in its frame.
    page.goto(f"{stage.airflow.url}/plugin/deployments")
    inside = page.frame_locator("iframe")
    row = inside.locator(f"#deployment-{shop}")
    expect(row).to_contain_text("STOPPED", timeout=PATIENCE)
    expect(row).to_contain_text("only 0/1")
    row.get_by_role("link", name=shop, exact=True).click()
    expect(inside.locator("h1")).to_have_text(shop)

    # A launch from the form, followed from PAUSED to RUNNING without a hand on the page.
    inside.get_by_role("link", name="Launch or redeploy").click()
    inside.get_by_label("Reason").fill("<b>first</b>")
    unpause(inside)
    inside.get_by_role("button", name="Launch or redeploy").click()
    summary = inside.locator("#run-summary")
    expect(summary).to_contain_text("<b>first</b>")
    for state in ("PAUSED", "RUNNING"):
        expect(summary).to_contain_text(f"probe {state}", timeout=PATIENCE)
    expect(summary).to_contain_text("success", timeout=PATIENCE)
    page.goto(f"{stage.airflow.url}/gantry/dags/{shop}/runs/{newest(stage, shop)}")
    expect(page.locator("#grid")).to_contain_text(f"{shop}-only-1")
    pictures(page, "launch")

    # A scaling from the form.
    page.goto(f"{stage.airflow.url}/gantry/deployments/{shop}/operations/scale")
    page.get_by_label("Servers of tier only").fill("2")
    pictures(page, "form")
    unpause(page)
    page.get_by_role("button", name="Scale").click()
    expect(page.locator("#run-summary")).to_contain_text("only 2/2", timeout=PATIENCE)
    expect(page.locator("#run-summary")).to_contain_text("success", timeout=PATIENCE)

    # What the deployment's page says is what the cloud says.
    page.goto(f"{stage.airflow.url}/gantry/deployments/{shop}")
    machines = stage.machines(shop)
    assert sorted(machines) == ["only-1", "only-2"]
    for name, machine in machines.items():
        line = page.locator(f"#server-{shop}-{name}")
        expect(line).to_contain_text(machine.instance_id, timeout=PATIENCE)
        expect(line).to_contain_text("RUNNING")
    expect(page.locator("#service-probe")).to_contain_text("RUNNING")
    expect(page.locator("#history")).to_contain_text("scale")
    pictures(page, "deployment")

    # The agent's own log, over SSH.
    page.locator(f"#server-{shop}-only-2").get_by_role("link", name="agent's log").click()
    expect(page.locator("#agent-log")).to_contain_text("startService", timeout=PATIENCE)
    pictures(page, "agent-log")

    # A redeploy that fails: the step shows, and leads to exactly its log, beside the grid.
    stage.upload("paged.tar.gz", archive({"enstratus-start": BROKEN}))
    broken = stage.launch(shop)
    page.goto(f"{stage.airflow.url}/gantry/dags/{shop}/runs/{broken.run}")
    expect(page.locator("#run-summary")).to_contain_text("FAILED", timeout=PATIENCE)
    failed = page.locator("#grid .entry.bad").first
    expect(failed).to_contain_text("restart", timeout=PATIENCE)
    failed.click()
    log = page.locator("#log")
    expect(log).to_contain_text("no room left for the probe", timeout=PATIENCE)
    expect(log).to_contain_text("startService")
    pictures(page, "failed-launch")
    page.goto(f"{stage.airflow.url}/gantry/?state=failed")
    expect(page.locator(f"#deployment-{shop}")).to_contain_text("MAINTENANCE", timeout=PATIENCE)
    pictures(page, "deployments")
    assert complaints == []


def unpause(where: Page | FrameLocator) -> None:
    """Tick what a form of a paused DAG has."""
    box = where.get_by_role("checkbox", name="Unpause it first")
    if box.count():
        box.check()


def newest(stage: Stage, dag: str) -> str:
    """The id of the newest run of a DAG."""
    return eventually(lambda: next((each.id for each in stage.api.runs(dag)), None), f"a run of {dag}")


def pictures(page: Page, name: str) -> None:
    """Screenshots of a page as it is, in both themes and at both widths."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size
    assert size is not None
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        for kind, width in WIDTHS.items():
            page.set_viewport_size({"width": width, "height": size["height"]})
            page.screenshot(path=PICTURES / f"{name}-{theme}-{kind}.png", full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
                f"{name} at {width}"
            )
    page.set_viewport_size(size)
