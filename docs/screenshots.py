"""Takes the pictures of the documentation: a real launch in a real Airflow, looked at with a real browser.

usage: screenshots.py FOLDER     (in the root of the project; see `make screenshots`)
"""

from __future__ import annotations

import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from gantry.local.demo import cleanup, environment
from gantry.local.demo import run as demo

NAME = "demo-pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
PATIENCE = 120_000  # milliseconds, for a busy machine


def main(folder: Path) -> None:
    """Launch the bookshop, take the pictures, remove everything."""
    folder.mkdir(parents=True, exist_ok=True)
    with cleanup.only_one(NAME), demo.attended(cleanup.remove, cleanup.left, NAME):
        on = environment.start(NAME, Path.cwd(), demo.say)
        demo.launch(on)
        # The shop by its own name, as a visitor would type it.
        shop = urllib.parse.urlsplit(on.shop().url)
        with browser(f"--host-resolver-rules=MAP {on.balancer.name} {shop.hostname}") as chromium:
            graph(chromium, on).screenshot(path=folder / "graph.png")
            deployment(chromium, on, "dark").screenshot(path=folder / "deployment-page.png")
            launch(chromium, on).screenshot(path=folder / "launch-page.png")
            visit(chromium, f"http://{on.balancer.name}:{shop.port}/").screenshot(path=folder / "shop.png")


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """Debian's Chromium: Playwright's own would have to be downloaded."""
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])


def graph(chromium: Browser, on: environment.DemoStage) -> Page:
    """The graph of the bookshop's last run, all groups open, from top to bottom."""
    page = new_page(chromium, {"width": 1600, "height": 1000})
    log_in(page, on, f"/dags/{environment.DAG}")
    run = page.locator(f'a[href*="/dags/{environment.DAG}/runs/"]').first
    run.wait_for()
    # What a person sets under "Options", and what the browser then remembers.
    page.evaluate(
        """dag => {
            localStorage.setItem('default_dag_view', JSON.stringify('graph'));
            localStorage.setItem('direction-' + dag, JSON.stringify('DOWN'));
        }""",
        environment.DAG,
    )
    page.goto(f"{on.airflow.url}{run.get_attribute('href')}")
    page.get_by_label("Expand all task groups").click()
    page.get_by_label("Collapse Details Panel").click()
    # Only now: a narrow window hides the buttons.
    page.set_viewport_size({"width": 940, "height": 1500})
    # The layout is computed in the background; it is there when it stops moving.
    settled(page)
    page.get_by_label("Fit View").click()
    settled(page)
    return page


def deployment(chromium: Browser, on: environment.DemoStage, theme: Literal["light", "dark"]) -> Page:
    """The bookshop's own page, in Airflow's frame."""
    page = new_page(chromium, {"width": 1280, "height": 960}, theme)
    log_in(page, on, "/plugin/deployments")
    frame = page.frame_locator("iframe")
    frame.get_by_role("link", name=environment.DAG, exact=True).click()
    # The cloud is asked in the background, and the page goes on without its answer.
    frame.get_by_role("link", name="agent's log").first.wait_for()
    return page


def launch(chromium: Browser, on: environment.DemoStage) -> Page:
    """The bookshop's last launch: its grid, and the log of one of its steps beside it."""
    page = deployment(chromium, on, "light")
    page.set_viewport_size({"width": 2040, "height": 1080})
    frame = page.frame_locator("iframe")
    frame.locator("#history a").first.click()
    # What the log of a service's configuration says is what people come for.
    frame.locator(".entry", has_text="app: configure").first.click()
    frame.locator("#log .lines").wait_for()
    return page


def log_in(page: Page, on: environment.DemoStage, path: str) -> None:
    """Go to a page of Airflow's, as a person who has to log in first."""
    page.goto(f"{on.airflow.url}{path}")
    page.locator("input[name=username]").fill(on.airflow.user)
    page.locator("input[name=password]").fill(on.airflow.password)
    page.locator("button[type=submit]").click()


def visit(chromium: Browser, url: str) -> Page:
    """A page of the shop."""
    page = new_page(chromium, {"width": 940, "height": 620})
    page.goto(url)
    return page


def new_page(chromium: Browser, size: ViewportSize, theme: Literal["light", "dark"] = "light") -> Page:
    """A window of that size, for screens with a high resolution."""
    page = chromium.new_page(viewport=size, device_scale_factor=1.5, color_scheme=theme)
    page.set_default_timeout(PATIENCE)
    return page


def settled(page: Page) -> None:
    """Wait until the graph has not moved for a second."""
    page.wait_for_function(
        """() => {
            const graph = document.querySelector('.react-flow__viewport');
            const nodes = [...document.querySelectorAll('.react-flow__node')].map(node => node.style.transform);
            const now = [graph && graph.style.transform, ...nodes].join();
            if (now !== window.gantryLast) { window.gantryLast = now; window.gantrySince = Date.now(); }
            return nodes.length > 0 && Date.now() - window.gantrySince > 1000;
        }""",
        polling=200,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
