"""A person at a browser: Airflow's own interface, Gantry's pages in it, and a real launch that they follow."""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, FrameLocator, Locator, Page, Request, expect

from gantry.local.demo import example
from tests.airflow.stage import PATIENCE as PATIENCE_SECONDS
from tests.airflow.stage import Launch, Stage, archive, eventually
from tests.web import legible, viewer

pytestmark = pytest.mark.airflow

Name = Callable[[str], str]
PATIENCE = 1000 * PATIENCE_SECONDS
"""In milliseconds."""

WAITS = """#!/bin/sh
number=0
while [ "$number" -lt 600 ] && [ ! -e /tmp/hurry ]; do
    number=$((number + 1))
    sleep 0.5
done
touch /tmp/probe-runs
"""
"""Five minutes, or as soon as /tmp/hurry is there."""

FAILS = """#!/bin/sh
echo "there is no catalogue on <b>any</b> shelf"
exit 7
"""

DEFINITION = """\
deployment: {name}
description: Books that <script>nobody</script> reads
tags: [watched]
cloud: {{connection: aws_default, region: eu-central-1}}
launch_configurations:
  debian: {{image: gantry-debian-12, size: t3.small, ssh: {{connection: bookshop_ssh}}}}
tiers:
  data: {{launch_configuration: debian, servers: 1}}
  web: {{launch_configuration: debian, servers: {{min: 1, max: 2}}}}
services:
  store: {{id: a2001, tier: data, archive: "{store}"}}
  shop: {{id: a2002, tier: web, archive: "{shop}", depends_on: [store]}}
"""

ASKING = """\
deployment: {name}
approval: {{}}
cloud: {{connection: aws_default, region: eu-central-1}}
launch_configurations:
  debian: {{image: gantry-debian-12-prepared, ssh: {{connection: bookshop_ssh}}}}
tiers:
  data: {{launch_configuration: debian, servers: 1}}
services:
  store: {{id: a2001, tier: data, archive: "{store}"}}
backups:
  of: {{files: store}}
  to: s3://{bucket}/forms/
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with viewer.browser() as found:
        yield found


@pytest.fixture
def page(stage: Stage, chromium: Browser) -> Iterator[Page]:
    """Airflow's interface, logged in, at the deployments."""
    with viewer.looked_at(chromium, f"{stage.airflow.url}/plugin/deployments", of="/gantry/") as found:
        found.set_default_timeout(PATIENCE)
        found.locator("input[name=username]").fill(stage.airflow.user)
        found.locator("input[name=password]").fill(stage.airflow.password)
        found.locator("button[type=submit]").click()
        loads: list[tuple[str, str]] = []
        found.on("request", lambda request: loads.extend(_load(request)))
        yield found
    # Airflow's frame loads a page once more whose address it takes for another one, and a form that was sent is lost.
    assert [each for each, after in itertools.pairwise(loads) if each == after] == []


def _load(request: Request) -> Iterator[tuple[str, str]]:
    """A page that is asked for: by which method, and where."""
    if request.is_navigation_request():
        yield request.method, urllib.parse.unquote(request.url)


def test_a_launch_is_followed_a_failure_read_and_a_scale_asked_for(
    stage: Stage, scrapped: Name, page: Page
) -> None:
    name = scrapped("seen")
    define(stage, name)
    frame = find_deployment(page, name)
    expect(frame.locator("#summary")).to_contain_text("STOPPED", timeout=PATIENCE)
    expect(frame.locator("main")).to_contain_text("Books that <script>nobody</script> reads")

    ask(frame, "Launch or redeploy", reason="to see it")
    summary = frame.locator("#run-summary")
    # The store's start waits for us; the shop waits for the store.
    expect(summary).to_contain_text("store STARTING", timeout=PATIENCE)
    expect(summary).to_contain_text("shop PAUSED")
    expect(entry(frame, f"{name}-data-1", "store: configure: ", "busy")).to_be_visible(timeout=PATIENCE)
    legible.show(page, "live-waiting")
    frame.locator("body").evaluate("body => { body.dataset.stayed = 'yes' }")
    stage.machines(name)["data-1"].sh("touch /tmp/hurry")

    failed = entry(frame, f"{name}-web-1", "shop: configure: ", "bad")
    expect(failed).to_be_visible(timeout=PATIENCE)
    expect(summary).to_contain_text("store RUNNING", timeout=PATIENCE)
    expect(summary).to_contain_text("Failed at")
    failed.click()
    log = frame.locator("#log")
    expect(log).to_contain_text("there is no catalogue on <b>any</b> shelf", timeout=PATIENCE)
    expect(log).to_contain_text("startService")
    # All of this came to the page that was there.
    assert frame.locator("body").get_attribute("data-stayed") == "yes"
    legible.show(page, "live-failed")
    # Mended, also for the server that comes later.
    stage.upload(f"{name}-shop.tar.gz", archive())

    open_deployment(frame, name)
    ask(frame, "Launch or redeploy", reason="once more")
    expect(summary).to_contain_text("shop RUNNING", timeout=PATIENCE)
    expect(summary).to_contain_text("store RUNNING")
    expect(frame.locator("#run [role=status]")).to_have_text("all phases are done", timeout=PATIENCE)
    legible.show(page, "live-running")

    open_deployment(frame, name)
    ask(frame, "Scale", **{"Servers of tier web": "2", "Reason": "more readers"})
    expect(summary).to_contain_text("success", timeout=PATIENCE)
    open_deployment(frame, name)
    expect(frame.locator(f"#server-{name}-web-2")).to_contain_text("RUNNING", timeout=PATIENCE)
    assert set(stage.machines(name)) == {"data-1", "web-1", "web-2"}
    expect(frame.locator("#summary")).to_contain_text("web 2/2", timeout=PATIENCE)
    expect(frame.locator("#history")).to_contain_text("more readers", timeout=PATIENCE)
    legible.show(page, "live-scaled")
    # What is said about a server by the server itself, over SSH, and by a task's links.
    read_the_agent(frame, name)
    links_lead_on(stage, name)


def test_an_approval_a_backup_a_recovery_and_a_termination_are_asked_for_by_forms(
    stage: Stage, scrapped: Name, page: Page
) -> None:
    name = scrapped("asked-for")
    store = stage.upload(f"{name}-store.tar.gz", archive())
    stage.define(name, ASKING.format(name=name, store=store, bucket=example.BUCKET))
    stage.api.await_dag(f"{name}.backup")
    stage.api.await_dag(f"{name}.recover")
    stage.api.await_dag(f"{name}.terminate")
    frame = find_deployment(page, name)
    summary = frame.locator("#run-summary")

    ask(frame, "Launch or redeploy")
    question(stage, frame, name, f"Launch the deployment {name}?", "Servers of tier data")
    legible.show(page, "live-question")
    frame.get_by_role("button", name="Approve", exact=True).click()
    expect(summary).to_contain_text("store RUNNING", timeout=PATIENCE)
    expect(summary).to_contain_text("approved")
    expect(frame.locator("#run [role=status]")).to_have_text("all phases are done", timeout=PATIENCE)

    open_deployment(frame, name)
    ask(frame, "Back up", reason="for tomorrow")
    expect(summary).to_contain_text("success", timeout=PATIENCE)
    kept = stage.cloud.client("s3").list_objects_v2(Bucket=example.BUCKET, Prefix=f"forms/{name}/files/")
    assert len(kept["Contents"]) >= 1

    lost = stage.machine(name).instance_id
    stage.cloud.client("ec2").terminate_instances(InstanceIds=[lost])
    eventually(lambda: not list(stage.instances(name)) or None, "the server to be gone")
    open_deployment(frame, name)
    ask(frame, "Recover", reason="somebody was at the console")
    asks = f"Replace lost servers of the deployment {name}?"
    question(stage, frame, f"{name}.recover", asks, "somebody was at the console")
    frame.get_by_role("button", name="Approve", exact=True).click()
    expect(summary).to_contain_text("success", timeout=PATIENCE)
    assert stage.machine(name).instance_id != lost
    open_deployment(frame, name)
    expect(frame.locator("#summary")).to_contain_text("RUNNING", timeout=PATIENCE)

    ask(frame, "Terminate", **{"Name of the deployment": name})
    expect(summary).to_contain_text("success", timeout=PATIENCE)
    open_deployment(frame, name)
    expect(frame.locator("#summary")).to_contain_text("STOPPED", timeout=PATIENCE)
    assert not list(stage.instances(name))


def question(stage: Stage, frame: FrameLocator, dag: str, asks: str, says: str) -> None:
    """Go from a run's page to what it asks."""
    stage.await_question(Launch(stage, dag, next(iter(stage.api.runs(dag))).id))
    frame.locator("#run-summary").get_by_role("link", name="Answer", exact=True).click(timeout=PATIENCE)
    expect(frame.get_by_role("heading", name=asks)).to_be_visible(timeout=PATIENCE)
    expect(frame.get_by_role("cell", name=says, exact=True)).to_be_visible()


def find_deployment(page: Page, name: str) -> FrameLocator:
    """Look for it in the list, and open its page. Other tests have left more than one page of the list has."""
    frame = page.frame_locator("iframe")
    frame.get_by_label("Search", exact=True).fill(name)
    frame.get_by_role("button", name="Search", exact=True).click()
    frame.get_by_role("link", name=name, exact=True).click()
    return frame


def read_the_agent(frame: FrameLocator, name: str) -> None:
    frame.locator(f"#server-{name}-web-2").get_by_role("link", name="agent's log").click()
    expect(frame.locator("#agent-log")).to_contain_text("startService", timeout=PATIENCE)


def links_lead_on(stage: Stage, name: str) -> None:
    """Airflow's own API knows the links of a task; ours knows the same deployment as its page."""
    run = next(iter(stage.api.runs(name)))
    task = f"/dags/{name}/dagRuns/{run.id}/taskInstances/service-shop.configure/links?map_index=0"
    links = stage.api.call("GET", task)["extra_links"]
    assert links["Deployment"] == f"/plugin/deployments/gantry/deployments/{name}"
    assert links["Server"].startswith(f"/gantry/dags/{name}/runs/")


def define(stage: Stage, name: str) -> None:
    store = stage.upload(f"{name}-store.tar.gz", archive({"enstratus-start": WAITS}))
    shop = stage.upload(f"{name}-shop.tar.gz", archive({"enstratus-start": FAILS}))
    stage.define(name, DEFINITION.format(name=name, store=store, shop=shop))
    stage.api.await_dag(f"{name}.scale")


def ask(frame: FrameLocator, operation: str, reason: str = "", **fields: str) -> None:
    """Ask for an operation by its form."""
    frame.get_by_role("link", name=operation, exact=True).click()
    for label, value in {**({"Reason": reason} if reason else {}), **fields}.items():
        frame.get_by_label(label, exact=True).fill(value)
    unpause = frame.get_by_label("Unpause it first")
    if unpause.count():
        unpause.check()
    frame.get_by_role("button", name=operation, exact=True).click()
    expect(frame.locator("#run-summary")).to_be_visible(timeout=PATIENCE)


def open_deployment(frame: FrameLocator, name: str) -> None:
    frame.get_by_role("navigation", name="Where you are").get_by_role("link", name=name, exact=True).click()
    expect(frame.get_by_role("heading", name=name, exact=True)).to_be_visible(timeout=PATIENCE)


def entry(frame: FrameLocator, server: str, title: str, tone: str) -> Locator:
    """A step on a server, as soon as it is shown as busy, bad, …"""
    return frame.locator(f"[id='row-{server}'] .entry.{tone}[title^='{title}']")
