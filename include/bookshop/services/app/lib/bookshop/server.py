"""The HTTP server: three addresses, a thread a request, and an end that loses none."""

from __future__ import annotations

import http
import http.server
import logging
import re
import signal
import socketserver
import threading
import urllib.parse
from types import FrameType

from bookshop import page
from bookshop.catalog import Catalog, CatalogError
from bookshop.settings import Settings

_log = logging.getLogger(__name__)
_PAGE_ROWS = 50
_MOST_ROWS = 1000
_LIMIT = re.compile(r"[0-9]{1,4}")
_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; charset=utf-8"


class Server(http.server.ThreadingHTTPServer):
    """Ends in order: what has been accepted, or waits to be, is answered first."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalog = Catalog(settings.database)
        # A header holds one line of Latin-1; the page shows the name as it is.
        self.header_name = (
            " ".join(settings.server_name.split()).encode("latin-1", "replace").decode("latin-1")
        )
        self._drained = False
        super().__init__(("", settings.port), Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the machine's own name that HTTPServer does: it is not needed."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.settings.server_name, self.settings.port

    def run(self) -> None:
        """Serve until TERM or INT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        _log.info("%s listens on port %d", self.settings.server_name, self.settings.port)
        self.serve_forever(poll_interval=0.1)
        self.timeout = 0
        while not self._drained:
            self.handle_request()
        _log.info("no new requests; finishing the running ones")
        self.server_close()
        _log.info("ended")

    def handle_timeout(self) -> None:
        """Note that no connection waits to be accepted."""
        self._drained = True

    def _end(self, number: int, _frame: FrameType | None) -> None:
        _log.info("%s received", signal.Signals(number).name)
        # shutdown() waits for the loop that this handler interrupts, so it needs a thread of its own.
        threading.Thread(target=self.shutdown).start()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD. One request a connection: an idle one could hold up the end."""

    server: Server
    # Seconds that a silent client may keep a thread.
    timeout = 10

    def version_string(self) -> str:
        """What the Server header says: no versions, which help attackers only."""
        return "Bookshop"

    def do_GET(self) -> None:
        """Answer one request."""
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query)
        answers = {"/": self._page, "/books.json": self._json, "/health": self._health}
        answer = answers.get(url.path)
        try:
            if answer is None:
                self._send(http.HTTPStatus.NOT_FOUND, _TEXT, "There is no such page.\n")
            else:
                answer(query)
        except CatalogError as error:
            _log.warning("%s: %s", url.path, error)
            self._send(http.HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, "The catalogue is not available.\n")

    do_HEAD = do_GET  # noqa: N815 - the name that the base class calls

    def _page(self, query: dict[str, list[str]]) -> None:
        words = query.get("q", [""])[0].strip()
        selection = self.server.catalog.find(words, _PAGE_ROWS)
        self._send(http.HTTPStatus.OK, _HTML, page.page(self.server.settings, words, selection))

    def _json(self, query: dict[str, list[str]]) -> None:
        limit = query.get("limit", [str(_PAGE_ROWS)])[0]
        if not (_LIMIT.fullmatch(limit) and 1 <= int(limit) <= _MOST_ROWS):
            self._send(http.HTTPStatus.BAD_REQUEST, _TEXT, f"limit is a number from 1 to {_MOST_ROWS}.\n")
            return
        selection = self.server.catalog.find(query.get("q", [""])[0].strip(), int(limit))
        self._send(http.HTTPStatus.OK, _JSON, page.books_json(self.server.settings, selection))

    def _health(self, _query: dict[str, list[str]]) -> None:
        self.server.catalog.check()
        self._send(http.HTTPStatus.OK, _TEXT, "OK")

    def _send(self, status: http.HTTPStatus, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Served-By", self.server.header_name)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"
        )
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request, but not the balancer's question of each second that went well."""
        if self.path != "/health" or code != http.HTTPStatus.OK:
            super().log_request(code, size)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log by the logging module; the line names the client."""
        _log.info(
            "%s " + format, self.address_string(), *(repr(a)[1:-1] if isinstance(a, str) else a for a in args)
        )
