"""Chromium, and pages that are served to it as the app serves them, under the same content security policy."""

from __future__ import annotations

import contextlib
import http.server
import mimetypes
import pathlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

CHROMIUM = pathlib.Path(__file__).with_name("chromium")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
PATIENCE = 180_000
"""Milliseconds for what takes an idle machine less than one second: CI has two cores, sometimes at half their speed."""
_LOST = 5_000
"""Milliseconds after which a click that has shown nothing is made again."""
_MOST_SHOWN = 5_000  # characters of a page, where a test has failed
expect.set_options(timeout=PATIENCE)
STATIC = pathlib.Path(__file__).parents[2] / "plugins" / "gantry" / "web" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
Answer = tuple[int, str]
"""Status and HTML."""

AROUND = "/around"
"""The page around ours, as Airflow's UI is. Its policy is not ours."""

AIRFLOWS_FRAME = """<!doctype html><html lang="en" class="dark"><head><title>Airflow</title></head><body>
<iframe title="Deployments" sandbox="allow-scripts allow-same-origin allow-forms allow-downloads" src="{src}"
width="900" height="700"></iframe></body></html>"""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def served(pages: Mapping[str, Callable[[], Answer]]) -> Iterator[str]:
    """A server of these pages, by path, and of our static files; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/gantry/static/"):
                file = STATIC / path.removeprefix("/gantry/static/")
                self._send(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")
            elif path in pages:
                code, text = pages[path]()
                self._send(code, text.encode(), "text/html; charset=utf-8", path)
            else:
                self._send(200, b"<title>elsewhere</title>elsewhere", "text/html")

        def _send(self, code: int, content: bytes, kind: str, path: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            if path != AROUND:
                self.send_header("Content-Security-Policy", POLICY)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def looked_at(
    chromium: Browser,
    url: str,
    *,
    width: int = 1440,
    theme: str = "light",
    token: str = "",
    missing: bool = False,
    of: str = "",
) -> Iterator[Page]:
    """A page in a window of its own. What the browser complains about, scripts and policies too, fails the test.

    Args:
        chromium: the browser.
        url: the page's address.
        width: of the window, in pixels.
        theme: what the reader's system prefers.
        token: of the reader's login to Airflow.
        missing: the page itself is not there, and says so.
        of: only what is complained of addresses with this in them counts.
    """
    context = chromium.new_context(
        viewport={"width": width, "height": 900 if width > 1000 else 844},
        color_scheme="dark" if theme == "dark" else "light",
        timezone_id="Asia/Tokyo",
        locale="en-GB",
    )
    if token:
        origin = "/".join(url.split("/")[:3])
        context.add_cookies([{"name": "_token", "value": token, "url": origin}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.extend(_complaint(message)))
    page.on("pageerror", lambda error: complaints.append(error.stack or str(error)))
    page.goto(url)
    yield page
    # Shown where the test has failed: what was there instead of what it waited for.
    for frame in page.frames:
        print(f"{frame.url}\n{frame.locator('body').inner_text(timeout=PATIENCE)[:_MOST_SHOWN]}\n")
    context.close()
    left = [each for each in complaints if of in each and not (missing and "404" in each)]
    assert not left, "\n".join(left)


def click_until(clicked: Locator, shown: Locator, text: str) -> None:
    """Click until a text is shown. A click that comes while Airflow loads its frame once more is lost."""
    deadline = time.monotonic() + PATIENCE / 1000
    is_shown = False
    while not is_shown:
        clicked.click()
        with contextlib.suppress(AssertionError):
            expect(shown).to_have_text(text, timeout=_LOST)
            is_shown = True
        assert is_shown or time.monotonic() < deadline, f"no click has shown {text!r}"


def _complaint(message: ConsoleMessage) -> Iterator[str]:
    if message.type == "error":
        yield f"{message.location['url']}: {message.text}"


OVERLAPS = (pathlib.Path(__file__).parent / "overlaps.js").read_text()


def overlaps(page: Page) -> list[str]:
    """Texts that are drawn upon each other, in pairs."""
    found: list[str] = page.evaluate(OVERLAPS)
    return found


def sideways(page: Page) -> int:
    """How many pixels a window would have to be scrolled sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def unreached(page: Page) -> list[str]:
    """What a mouse can use and the tab key does not get to, or where it cannot be seen that it got there."""
    page.evaluate(
        "document.activeElement?.blur(); window.gantryReached = new Set(); window.gantryUnseen = []"
    )
    wanted = page.locator("a[href], button, input:not([type=hidden]), select, summary, textarea").count()
    for _ in range(wanted + 40):
        page.keyboard.press("Tab")
        again = page.evaluate(
            """() => {
                const at = document.activeElement;
                if (!at || at === document.body) return true;
                const reached = window.gantryReached.has(at);
                window.gantryReached.add(at);
                const marked = at.closest('svg') ? at.querySelector('rect') : at;
                const style = getComputedStyle(marked);
                if (at.closest('svg') ? parseFloat(style.strokeWidth) < 2 : style.outlineStyle === 'none')
                    window.gantryUnseen.push('cannot be seen: ' + at.outerHTML.slice(0, 200));
                return reached;
            }"""
        )
        if again:
            break
    missed: list[str] = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary, textarea')]
            .filter(each => each.checkVisibility() && !each.disabled && !window.gantryReached.has(each))
            .map(each => each.outerHTML.slice(0, 200)).concat(window.gantryUnseen)"""
    )
    return missed
