"""A server with a real HAProxy, as the tests of startProxy and its preview have it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from .server import Server, is_running, until

SHOP, BLOG = "a1", "a2"


def free_port() -> int:
    with socket.create_server(("", 0)) as listener:
        return int(listener.getsockname()[1])


def master_of(balancer: Server) -> int:
    return int(balancer.path("run/haproxy.pid").read_text())


def end(balancer: Server) -> None:
    """The master first, or it would start new workers."""
    master = master_of(balancer)
    children = workers(master)
    for pid in [master, *map(int, children)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not is_running(master), "HAProxy is dead")


def workers(master: int) -> set[str]:
    return set(Path(f"/proc/{master}/task/{master}/children").read_text().split())


def publish(balancer: Server, service: str, port: int, more: str = "") -> None:
    balancer.write(f"enstratus/ws/proxy/{service}/enstratus.cfg", f"port.1.publicPort={port}\r\n{more}")


def config(balancer: Server) -> str:
    return balancer.path("etc/haproxy/haproxy.cfg").read_text()
