"""A server between chef-client and the Chef server: keeps what it is asked, and changes what it is told to."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from .nodes import Kitchen

_ADD_ON = re.compile(r"/(data-collector|required_recipe|reports/nodes/[^/]+/runs[^?]*)$")
"""What the real client looks for at add-ons of a Chef server, and does without."""
_NOT_PASSED_ON = {"host", "content-length", "connection", "transfer-encoding"}


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    status: int
    body: bytes = b"{}"
    kind: str = "application/json"


Change = Callable[[Request, Answer], Answer]


@dataclass
class Proxy:
    """Requests so far. `answer` may answer instead of the Chef server; `change` may change what that has answered."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    answer: Callable[[Request], Answer | None] = lambda _: None
    change: Change = lambda _, answer: answer

    def wire(self) -> list[str]:
        """Methods and paths, in their order."""
        return [f"{each.method} {each.path}" for each in self.requests]


@contextlib.contextmanager
def before(kitchen: Kitchen, address: str) -> Iterator[Proxy]:
    """Stand before the Chef server, in plain HTTP on a port of its own."""
    proxy = Proxy()
    trust = ssl.create_default_context(cadata=kitchen.certificate)
    client = httpx.Client(base_url=kitchen.url, verify=trust, timeout=60)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if _ADD_ON.search(self.path):
                self.send_error(404)
                return
            request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            proxy.requests.append(request)
            answer = proxy.answer(request) or proxy.change(request, self.passed_on(request))
            self.send_response(answer.status)
            # Without it the real client takes JSON for text.
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def passed_on(self, request: Request) -> Answer:
            headers = {key: value for key, value in request.headers.items() if key not in _NOT_PASSED_ON}
            found = client.request(request.method, request.path, headers=headers, content=request.body)
            kind = found.headers.get("Content-Type", "application/octet-stream")
            return Answer(found.status_code, found.content, kind)

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((address, 0), Handler)
    proxy.url = f"http://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()
