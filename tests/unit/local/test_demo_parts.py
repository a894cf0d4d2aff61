"""The demo's parts, without a cloud: what it shows, what it checks, what it takes away."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry import local
from gantry.local.cloud import inspect_servers
from gantry.local.demo import cleanup, shop, verify


class _Balancer(http.server.BaseHTTPRequestHandler):
    turn = 0

    def do_GET(self) -> None:
        _Balancer.turn += 1
        name = f"shop-application-{_Balancer.turn % 2 + 1}"
        known = self.headers["Host"] == "shop.test"
        body = (
            b'{"server": "x", "count": 2, "books": [{"title": "A"}, {"title": "B"}]}'
            if self.path.startswith("/books.json")
            else f"<h1>Hello &amp; from {name}</h1>".encode()
        )
        self.send_response(200 if known else 503)
        self.send_header("X-Served-By", name)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def balancer() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Balancer) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_visitor_sees_both_servers_their_greetings_and_the_books(balancer: str) -> None:
    visited = shop.Shop(balancer, "shop.test")
    assert visited.books().titles == ("A", "B")
    assert {name: page.greeting for name, page in visited.pages_of(2).items()} == {
        "shop-application-1": "Hello & from shop-application-1",
        "shop-application-2": "Hello & from shop-application-2",
    }


def test_a_shop_that_does_not_answer_is_named(balancer: str) -> None:
    with pytest.raises(shop.ShopError, match="status 503"):
        shop.Shop(balancer, "somebody.else").page()
    with pytest.raises(shop.ShopError, match="3 servers should answer"):
        shop.Shop(balancer, "shop.test").pages_of(3, seconds=0.2)


BEFORE = verify.Snapshot(
    {"a-1": "i-1"}, {"a-1": frozenset({("haproxy", 7, 100)})}, {"a-1": ("startService",)}
)


@pytest.mark.parametrize(
    ("after", "promise"),
    [
        (verify.Snapshot({"a-1": "i-2"}, BEFORE.programs, BEFORE.scripts), "keeps the servers"),
        (
            verify.Snapshot(BEFORE.instances, {"a-1": frozenset({("haproxy", 7, 101)})}, BEFORE.scripts),
            "restarts",
        ),
        (
            verify.Snapshot(BEFORE.instances, BEFORE.programs, {"a-1": ("startService", "stopService")}),
            "changes",
        ),
    ],
)
def test_a_second_launch_that_touches_something_is_noticed(after: verify.Snapshot, promise: str) -> None:
    assert verify.unchanged(BEFORE, BEFORE)
    with pytest.raises(verify.CheckFailedError, match=promise):
        verify.unchanged(BEFORE, after)


def test_the_agents_journal_and_the_kernel_tell_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    journal = (
        "2026-11-20T04:00:00Z begin startService a1 pid=7 job=x\n2026-11-20T04:00:00Z begin checkService a1\n"
    )
    stat = (
        "7 (haproxy) S 1 " + " ".join(str(number) for number in range(5, 40)) + "\n8 (my (odd) sh) S 1 2 3\n"
    )
    server = inspect_servers.Inside("a-1", "i-1", None)  # type: ignore[arg-type] # no container is asked
    monkeypatch.setattr(
        inspect_servers.Inside,
        "sh",
        lambda _, command: journal if "journal" in command or "log" in command else stat,
    )
    assert server.scripts() == ("startService",)
    assert server.programs() == {("haproxy", 7, 22)}


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTRY_LOCAL_STATE", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("state_dir")
def test_two_demos_of_one_name_are_refused() -> None:
    with (
        cleanup.only_one("demo-unit"),
        pytest.raises(cleanup.AlreadyRunningError, match="running already"),
        cleanup.only_one("demo-unit"),
    ):
        pass


def test_an_airflow_is_found_by_its_home_and_ended_with_its_children(tmp_path: Path) -> None:
    home = tmp_path / "airflow"
    # As Airflow does, the child hides its environment.
    script = "import subprocess, time; subprocess.Popen(['env', '-i', 'sleep', '300']); time.sleep(300)"
    airflow = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "AIRFLOW_HOME": str(home)},
        start_new_session=True,
    )
    group = Path(f"/proc/{airflow.pid}/task/{airflow.pid}/children")
    deadline = time.monotonic() + 120
    while not group.read_text().split():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(cleanup.end_airflow(home)) == 1
    with pytest.raises(ProcessLookupError):
        os.killpg(airflow.pid, 0)
    assert cleanup.end_airflow(home) == []


def test_everything_that_the_package_offers_is_there() -> None:
    """What `gantry.local` loads only when it is asked for stands elsewhere, under a name that nothing else checks."""
    assert [name for name in local.__all__ if getattr(local, name, None) is None] == []
