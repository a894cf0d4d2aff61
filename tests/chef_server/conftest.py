"""A real Chef server (goiardi) on this machine, and a made-up one that keeps what it is asked."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_server as goiardi


@dataclass(frozen=True)
class Goiardi:
    """The Chef server, and its clients' names and keys."""

    found: goiardi.Running

    def server(self, name: str = goiardi.ADMIN) -> chef_server.ChefServer:
        return chef_server.ChefServer(self.found.url, self.actor(name), self.found.certificate)

    def actor(self, name: str = goiardi.ADMIN) -> chef_server.Actor:
        return chef_server.Actor(name, (self.found.folder / f"{name}.pem").read_text())


@dataclass
class Recorder:
    """A server that answers what it is told to. Requests: (method, path, headers, body)."""

    url: str
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture(scope="session")
def chef(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Goiardi]:
    if shutil.which(goiardi.PROGRAM) is None:
        pytest.skip("there is no goiardi: run docker/setup-machine.sh")
    # A loopback address of this test run's own.
    address = f"127.66.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    with goiardi.running(address, tmp_path_factory.mktemp("goiardi") / "chef") as found:
        found.await_answer()
        yield Goiardi(found)


@pytest.fixture
def server(chef: Goiardi) -> chef_server.ChefServer:
    """The Chef server as its administrator, with nothing in it."""
    server = chef.server()
    for kind in ("nodes", "roles"):
        for name in server.get(f"/{kind}"):
            server.delete(f"/{kind}/{name}")
    for name, cookbook in server.get("/cookbooks").items():
        for version in cookbook["versions"]:
            server.delete(f"/cookbooks/{name}/{version['version']}")
    return server


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.requests.append((self.command, self.path, dict(self.headers), body))
            status, answer = found.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *args: object) -> None:
            pass

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Recorder(f"http://127.0.0.1:{http_server.server_port}")
    thread = threading.Thread(target=http_server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    http_server.shutdown()
    thread.join()
    http_server.server_close()
