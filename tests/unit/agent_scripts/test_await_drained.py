"""awaitDrained with real connections."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from .server import Server


@pytest.fixture
def node() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.3", 0)) as listening:
        yield listening


def port(node: socket.socket) -> int:
    found: int = node.getsockname()[1]
    return found


def test_it_waits_until_the_last_connection_to_the_node_is_over(server: Server, node: socket.socket) -> None:
    visitor = socket.create_connection(("127.0.0.3", port(node)))
    accepted, _ = node.accept()
    call = server.start("awaitDrained", "127.0.0.3", str(port(node)), "20")
    assert call.stderr is not None
    assert f"1 connections to 127.0.0.3:{port(node)} are under way" in call.stderr.readline()
    assert call.poll() is None
    visitor.close()
    accepted.close()
    _, told = call.communicate(timeout=10)
    assert call.returncode == 0
    assert "nothing is under way" in told


def test_connections_to_others_are_no_matter(server: Server, node: socket.socket) -> None:
    with socket.create_connection(("127.0.0.3", port(node))):
        other = server.call("awaitDrained", "127.0.0.4", str(port(node)), "20")
        assert (other.code, "nothing is under way" in other.err) == (0, True)
        elsewhere = server.call("awaitDrained", "127.0.0.3", "1", "20")
        assert (elsewhere.code, "nothing is under way" in elsewhere.err) == (0, True)


def test_who_takes_too_long_is_not_waited_for(server: Server, node: socket.socket) -> None:
    with socket.create_connection(("127.0.0.3", port(node))):
        found = server.call("awaitDrained", "127.0.0.3", str(port(node)), "1")
    assert found.code == 0
    assert "are not over after 1 s; nobody waits for them any longer" in found.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("10.0.0.1", "80"),
        ("10.0.0", "80", "1"),
        ("10.0.0.1.1", "80", "1"),
        ("fe80::1", "80", "1"),
        ("10.0.0.1", "x", "1"),
        ("10.0.0.1", "80", ""),
    ],
)
def test_wrong_arguments_are_refused(server: Server, arguments: tuple[str, ...]) -> None:
    assert server.call("awaitDrained", *arguments).code == 2


def test_it_leaves_a_line_in_the_journal(server: Server) -> None:
    assert server.call("awaitDrained", "127.0.0.9", "9", "1").code == 0
    assert "end awaitDrained" in "\n".join(server.journal())
