"""How often this process asks EC2: the account's budget of calls is shared with everybody else in the account.

EC2 lets an account read about 20 consoles a second, and refuses more (docs/aws.md). Whoever waits for many servers asks
often, so calls have a pace: some at once, then two a second. Consoles are never read at once.
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
"""Calls to one account and region, once those are used up that may come at once."""

_AT_ONCE = 10
"""Calls that may come at once: a short step, or a command, does not wait."""

_AT_ONCE_TOGETHER = 40
"""The same of all processes that share a pace. EC2 refuses the second hundred."""

_NEVER_AT_ONCE = frozenset({"GetConsoleOutput"})


class _Row:
    """Places in time, one after the other, of which some may be taken at once after a rest."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._next = 0.0

    def take(self, now: float, interval: float) -> float:
        """The moment of the next free place, which is taken with it."""
        self._next = max(self._next, now - (self._at_once - 1) * interval)
        place, self._next = self._next, self._next + interval
        return max(place, now)


class Pace:
    """The pace of this process towards one account's EC2 in one region."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hands = 0
        self._all = self._single = _Row(1)

    def reserve(self, operation: str) -> float:
        """Take the place of a call, by the name of its operation.

        Returns:
            Seconds until its time has come.
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
        """Block until a call may be made. What was reserved by whoever began it is not waited for again."""
        place = _RESERVED.get()
        if place is not None and place.unused:
            place.unused = False
            return
        time.sleep(self.reserve(operation))


class _Reserved:
    """A place that has been waited for already."""

    unused = True


_RESERVED: contextvars.ContextVar[_Reserved | None] = contextvars.ContextVar("gantry_reserved", default=None)
_HANDS: contextvars.ContextVar[int] = contextvars.ContextVar("gantry_hands", default=1)
_paces: dict[tuple[str, str], Pace] = {}


def of(connection: names.ConnectionId, region: str) -> Pace:
    """The one pace of this process for a connection's account and a region."""
    return _paces.setdefault((connection, region), Pace())


@contextlib.contextmanager
def reserved() -> Iterator[None]:
    """The first call that is made inside has its place already."""
    token = _RESERVED.set(_Reserved())
    try:
        yield
    finally:
        _RESERVED.reset(token)


@contextlib.contextmanager
def shared(hands: int) -> Iterator[None]:
    """So many processes do inside what this one does, at the same time: together they keep the pace of one."""
    token = _HANDS.set(max(1, hands))
    try:
        yield
    finally:
        _HANDS.reset(token)


def keep(client: Any, found: Pace) -> None:  # noqa: ANN401 - a botocore client of whatever service
    """Have each call of a client, repeated ones too, wait for its turn."""

    def wait(event_name: str, **_: object) -> None:
        found.wait(event_name.rpartition(".")[2])

    # As botocore's own adaptive mode does. The signature is good for some minutes.
    client.meta.events.register_first("before-send.ec2", wait)
