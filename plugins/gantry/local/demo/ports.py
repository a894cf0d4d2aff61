"""TCP ports of this machine for servers that are about to start.

A server listens only seconds after its port was chosen. Until then another demo could choose the same one, and so could
the kernel, for any outgoing connection.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

from gantry.local import errors

_HOST = "127.0.0.1"
_RANGE = range(20_000, 32_768)
"""Below Linux's default `ip_local_port_range`, which outgoing connections get their ports from."""


class PortTakenError(errors.LocalCloudError):
    """A program listens on the port already, or is about to."""

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} of {_HOST} is taken; choose another one")


@contextlib.contextmanager
def claimed(port: int | None = None, *, preferred: int | None = None) -> Iterator[int]:
    """Within this context, no other demo or test of Gantry claims the yielded port.

    Start the server, and wait until it listens, before leaving the context.

    Args:
        port: the only one that will do.
        preferred: the one to take if it is free. By default, and otherwise, any free one.

    Raises:
        PortTakenError: `port` is taken.
    """
    candidates = [port] if port else [*([preferred] if preferred else []), *random.sample(_RANGE, 1000)]
    for candidate in candidates:
        with socket.socket(socket.AF_UNIX) as claim:
            try:
                # An abstract address leaves no file, ends with the process, and belongs to the network namespace, as
                # TCP ports do.
                claim.bind(f"\0gantry-port-{candidate}")
            except OSError:
                continue
            if _is_free(candidate):
                yield candidate
                return
    raise PortTakenError(candidates[-1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that has just ended must not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True
