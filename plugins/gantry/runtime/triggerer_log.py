"""Wait until the triggerer has written what a trigger has logged.

A triggerer's supervisor (Airflow 3.3.2) reads at most 4 KiB of its triggers' lines in each round of its loop, and
closes a trigger's log file in the round in which the trigger ends. Lines that it reads later are written to the
triggerer's own log, and are missing in the task's. See `findings/airflow-triggerer-log-4k.sh`.
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
import time

import structlog

_PAUSE = 0.05
"""Seconds between two checks."""

_LIMIT = 120.0
"""Maximum seconds to wait. The socket contains at most some 200 KiB: that is fewer than 100 rounds."""


async def written(limit: float = _LIMIT) -> None:
    """Return when what this process has logged until now has been read, or after `limit` seconds."""
    descriptor = _socket()
    if descriptor is None:
        return
    end = time.monotonic() + limit
    before = outstanding = _unread(descriptor)
    while outstanding > 0 and time.monotonic() < end:
        await asyncio.sleep(_PAUSE)
        now = _unread(descriptor)
        # Other triggers continue to log: the decrease is a minimum of what has been read.
        outstanding -= max(0, before - now)
        before = now


def _socket() -> int | None:
    """Return the socket in which this process logs; None outside a triggerer."""
    output = getattr(structlog.get_config()["logger_factory"], "io", None)
    try:
        return None if output is None else int(output.fileno())
    except (OSError, ValueError):
        return None


def _unread(descriptor: int) -> int:
    """Return the size of what the other end has not read; 0 where the operating system does not report it."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))[0])
    except OSError:
        return 0
