"""Rate limit of this process's EC2 calls: the account's API quota is shared with all its other users.

EC2 lets an account read about 20 consoles a second, and refuses more (docs/aws.md). A wait for many servers makes many
calls, so their rate is limited: a burst at first, then two per second. Consoles are never read in bursts.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Iterator
from typing import Any

from gantry import names

_PER_SECOND = 2.0
"""Calls per second to one account and region, once the burst is used up."""

_AT_ONCE = 10
"""Size of the burst: a short step, or a command, does not wait."""

_AT_ONCE_TOGETHER = 40
"""Size of the burst for all processes together that share a limit. EC2 refuses the second hundred."""

_NEVER_AT_ONCE = frozenset({"GetConsoleOutput"})


class _Row:
    """Consecutive time slots, of which some may be taken at once after an idle period."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._next = 0.0

    def take(self, now: float, interval: float) -> float:
        """Reserve the next free slot and return its time."""
        self._next = max(self._next, now - (self._at_once - 1) * interval)
        place, self._next = self._next, self._next + interval
        return max(place, now)


class Pace:
    """The rate limit of this process for one account's EC2 in one region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hands = 0
        self._all = self._single = _Row(1)

    def reserve(self, operation: str) -> float:
        """Reserve the slot of a call, by its operation's name.

        Returns:
            Seconds until its slot.
        """
        with self._lock:
            hands = _HANDS.get()
            if self._hands != hands:
                self._hands = hands
                self._all = _Row(min(_AT_ONCE, max(1, _AT_ONCE_TOGETHER // hands)))
                self._single = _Row(1)
            now, interval = time.monotonic(), hands / _PER_SECOND
            place = self._all.take(now, interval)
            if operation in _NEVER_AT_ONCE:
                place = max(place, self._single.take(now, interval))
            return place - now

    def wait(self, operation: str) -> None:
        """Block until a call may be made. Returns at once if the caller has already waited for a reserved slot."""
        place = _RESERVED.get()
        if place is not None and place.unused:
            place.unused = False
            return
        time.sleep(self.reserve(operation))


class _Reserved:
    """A slot that has already been waited for."""

    unused = True


_RESERVED: contextvars.ContextVar[_Reserved | None] = contextvars.ContextVar("gantry_reserved", default=None)
_HANDS: contextvars.ContextVar[int] = contextvars.ContextVar("gantry_hands", default=1)
_paces: dict[tuple[str, str], Pace] = {}


def of(connection: names.ConnectionId, region: str) -> Pace:
    """Return this process's only rate limit for a connection's account and a region."""
    return _paces.setdefault((connection, region), Pace())


@contextlib.contextmanager
def reserved() -> Iterator[None]:
    """Within this context, the first call has its slot already."""
    token = _RESERVED.set(_Reserved())
    try:
        yield
    finally:
        _RESERVED.reset(token)


@contextlib.contextmanager
def shared(hands: int) -> Iterator[None]:
    """Within this context, that many processes make calls in parallel: together they keep the rate of one."""
    token = _HANDS.set(max(1, hands))
    try:
        yield
    finally:
        _HANDS.reset(token)


def keep(client: Any, found: Pace) -> None:  # noqa: ANN401 - a botocore client of whatever service
    """Make each call of a client, including retries, wait for its slot."""

    def wait(event_name: str, **_: object) -> None:
        found.wait(event_name.rpartition(".")[2])

    # As botocore's adaptive mode does. The signature is valid for some minutes.
    client.meta.events.register_first("before-send.ec2", wait)
