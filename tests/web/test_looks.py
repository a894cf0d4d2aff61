"""The pages as people see them: in both of Airflow's themes, on a laptop and on a phone, by keyboard and by ear."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.web import legible, pages, scenes, viewer

MIDDLE = len(scenes.moments()) // 2
PAGES: dict[str, Callable[[], viewer.Answer]] = {
    "/parts": lambda: (200, pages.of_parts()),
    "/topology": lambda: (200, pages.of_topology(scenes.bookshop(-1))),
    "/topology-large": lambda: (200, pages.of_topology(scenes.large())),
    "/run": lambda: (200, pages.of_run(scenes.bookshop(-1))),
    "/run-middle": lambda: (200, pages.of_run(scenes.bookshop(MIDDLE))),
    "/run-failed": lambda: (200, pages.of_run(scenes.bookshop_failed())),
    "/run-large": lambda: (200, pages.of_run(scenes.large())),
    "/log": lambda: (200, pages.of_log()),
    viewer.AROUND: lambda: (200, viewer.AIRFLOWS_FRAME.format(src="/parts")),
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with viewer.browser() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with viewer.served(PAGES) as found:
        yield found


@pytest.mark.parametrize(("theme", "width"), legible.VIEWS)
@pytest.mark.parametrize("name", ["parts", "topology-large", "run-middle", "run-failed"])
def test_a_page_is_legible(chromium: Browser, url: str, name: str, theme: str, width: int) -> None:
    with viewer.looked_at(chromium, f"{url}/{name}", width=width, theme=theme) as page:
        if name == "run-failed":
            page.locator("a.entry.bad").first.click()
            page.locator("#log .lines").wait_for()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        legible.show(page, f"{name}-{theme}-{width}")
        legible.hold(page)


@pytest.mark.parametrize("name", ["parts", "topology", "run-failed"])
def test_the_keyboard_gets_everywhere(chromium: Browser, url: str, name: str) -> None:
    with viewer.looked_at(chromium, f"{url}/{name}") as page:
        assert viewer.unreached(page) == []


def test_a_cell_opens_its_log_beside_it_and_gives_the_focus_back(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}/run-failed") as page:
        cell = page.locator("a.entry.bad").first
        cell.focus()
        page.keyboard.press("Enter")
        expect(page.locator("#log-title")).to_be_focused()
        expect(page.locator("#log")).to_contain_text("no such database 'catalog'")
        expect(cell).to_have_attribute("aria-current", "true")
        expect(cell).to_be_in_viewport()
        assert page.url == f"{url}/run-failed"
        # Who opens a log wants to see its end. It is scrolled there a moment after it has come.
        page.wait_for_function(
            "() => { const each = document.querySelector('.lines');"
            " return each.scrollTop + each.clientHeight >= each.scrollHeight - 1; }"
        )
        page.get_by_role("button", name="Close the log").press("Enter")
        expect(cell).to_be_focused()
        expect(page.locator("#log")).to_be_empty()
        expect(page.locator("[aria-current=true]")).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1060, 1440])
def test_a_log_stands_beside_the_grid_or_right_below_it(chromium: Browser, url: str, width: int) -> None:
    with viewer.looked_at(chromium, f"{url}/run-failed", width=width) as page:
        page.locator("a.entry.bad").first.click()
        expect(page.locator("#log-title")).to_be_focused()
        steps, log, timeline = (page.locator(each).bounding_box() for each in ("#steps", "#log", "#timeline"))
        assert steps is not None
        assert log is not None
        assert timeline is not None
        if width == 1440:
            assert steps["x"] + steps["width"] <= log["x"]
        else:
            assert steps["y"] + steps["height"] <= log["y"]
            assert log["y"] + log["height"] <= timeline["y"]


def test_on_a_phone_the_grid_begins_with_what_failed(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}/run-failed", width=390) as page:
        expect(page.locator("a.entry.bad").first).to_be_in_viewport(ratio=1)
    with viewer.looked_at(chromium, f"{url}/run", width=390) as page:
        assert page.locator(".scroll:has(#grid)").evaluate("box => box.scrollLeft") == 0


def test_a_launch_is_followed_without_a_flicker(chromium: Browser) -> None:
    launch = pages.Launch((scenes.bookshop(MIDDLE), scenes.bookshop(MIDDLE + 2), scenes.bookshop(-1)))
    with (
        viewer.served({"/": launch.page, "/live": launch.part, "/log": PAGES["/log"]}) as url,
        viewer.looked_at(chromium, url, width=1100) as page,
    ):
        # By its id: cells become links as the launch goes on.
        cell = page.locator("id=entry-bookshop-database-1/tier-database.install_services/0")
        cell.click()
        expect(page.locator("#log-title")).to_be_focused()
        cell.focus()
        page.evaluate(
            """() => {
                window.gantryCell = document.activeElement;
                window.gantryChanges = [];
                document.querySelector('.scroll').scrollLeft = 120;
                window.scrollTo(0, 90);
                new MutationObserver(list => window.gantryChanges.push(...list.map(each => each.type)))
                    .observe(document.querySelector('#run'), {subtree: true, childList: true, characterData: true});
            }"""
        )
        scrolled = page.evaluate("[document.querySelector('.scroll').scrollLeft, window.scrollY]")
        for _ in range(2):
            with page.expect_response("**/live"):
                pass
        # The first of these answers was read before the second was asked for. Nothing was new, so nothing was touched.
        assert page.evaluate("window.gantryChanges") == []
        launch.at = 1
        with page.expect_response("**/live"):
            pass
        launch.at = 2
        expect(page.locator(".grid .current")).to_have_count(0)
        expect(page.locator("#run [role=status]")).to_have_text("all phases are done")
        assert page.evaluate("window.gantryChanges.length") > 0
        assert page.evaluate("document.activeElement === window.gantryCell && window.gantryCell.isConnected")
        assert page.evaluate("[document.querySelector('.scroll').scrollLeft, window.scrollY]") == scrolled
        expect(cell).to_have_attribute("aria-current", "true")
        expect(page.locator("#log")).to_contain_text("no such database 'catalog'")
        # The run is over: nobody asks any more, for longer than a page ever waits.
        asked = launch.asked
        page.wait_for_timeout(3000)
        assert launch.asked == asked


def test_who_reads_is_told_when_airflow_does_not_answer_and_when_it_does_again(chromium: Browser) -> None:
    launch = pages.Launch((scenes.bookshop(MIDDLE), scenes.bookshop(-1)))
    with viewer.served({"/": launch.page, "/live": launch.part}) as url:
        context = chromium.new_context()
        page = context.new_page()
        page.set_default_timeout(viewer.PATIENCE)
        page.goto(url)
        context.set_offline(True)
        expect(page.locator("#connection")).to_contain_text(
            "Airflow does not answer", timeout=viewer.PATIENCE
        )
        context.set_offline(False)
        expect(page.locator("#connection")).to_be_hidden(timeout=viewer.PATIENCE)
        context.close()


@pytest.mark.parametrize(
    ("status", "told"), [(401, "You are signed out"), (404, "This is gone"), (500, "does not answer")]
)
def test_who_reads_is_told_why_a_page_is_not_kept_up_to_date(
    chromium: Browser, status: int, told: str
) -> None:
    launch = pages.Launch((scenes.bookshop(MIDDLE), scenes.bookshop(-1)))
    answers = {"/": launch.page, "/live": lambda: (status, "no")}
    with viewer.served(answers) as url, viewer.looked_at(chromium, url, of="never") as page:
        expect(page.locator("#connection")).to_contain_text(told)
        # What was there stays.
        expect(page.locator(".grid .current")).not_to_have_count(0)


def test_times_are_in_the_readers_zone(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}/parts") as page:
        time = page.locator("time[data-time]")
        expect(time).to_have_attribute("datetime", "2026-11-27T09:00:00Z")
        expect(time).to_contain_text("18:00:00")
        expect(time).to_have_attribute("title", re.compile("27 November 2026 at 18:00:00 GMT.9"))
        expect(page.locator("time[data-ago]")).not_to_contain_text("UTC")


def test_in_airflows_frame_the_page_has_airflows_theme(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}{viewer.AROUND}", theme="light") as page:
        root = page.frame_locator("iframe").locator("html")
        expect(root).to_have_attribute("data-theme", "dark")
        page.evaluate("document.documentElement.className = 'light'")
        expect(root).to_have_attribute("data-theme", "light")


def test_alone_the_page_has_the_theme_that_was_chosen_in_airflow(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}/parts", theme="light") as page:
        page.evaluate("localStorage.setItem('theme', 'dark')")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.evaluate("localStorage.setItem('theme', 'system')")
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_links_lead_out_of_airflows_frame(chromium: Browser, url: str) -> None:
    with viewer.looked_at(chromium, f"{url}{viewer.AROUND}") as page:
        frame = page.frame_locator("iframe")
        page.context.route(
            "https://example.com/**", lambda route: route.fulfill(body="<title>console</title>")
        )
        with page.context.expect_page() as opened:
            frame.get_by_role("link", name="Cloud console").click()
        assert opened.value.url == "https://example.com/"
        frame.get_by_role("link", name="Its DAG").click()
        page.wait_for_url(f"{url}/dags/bookshop")
