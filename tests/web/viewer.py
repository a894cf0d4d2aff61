"""Chromium, and pages that are served to it as the app serves them: static files, and the same content security policy."""

from __future__ import annotations

import contextlib
import http.server
import mimetypes
import pathlib
import threading
from collections.abc import Callable, Iterator

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-gpu"]
STATIC = pathlib.Path(__file__).parents[2] / "plugins" / "gantry" / "web" / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
Answer = tuple[int, str]
"""Status and HTML."""


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@contextlib.contextmanager
def served(pages: dict[str, Callable[[], Answer]]) -> Iterator[str]:
    """A server of these pages, by path; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/gantry/static/"):
                file = STATIC / path.removeprefix("/gantry/static/")
                self._send(200, file.read_bytes(), mimetypes.guess_type(file.name)[0] or "text/plain")
            elif path in pages:
                code, text = pages[path]()
                self._send(code, text.encode(), "text/html; charset=utf-8")
            else:
                self._send(404, b"not here", "text/plain")

        def _send(self, code: int, content: bytes, kind: str) -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
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
