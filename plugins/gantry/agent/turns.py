"""A limit on simultaneous logins in a process, so that each is answered in time.

A login is a key exchange, and some milliseconds of CPU on this side. A process that begins a hundred at once has all of
them wait for each other, until the first ones are taken for servers that do not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Iterator

MOST = 16
"""Logins at the same time in one event loop."""

SILENCE = 5.0
"""Seconds after which a place is given to the next one although nothing has answered: a server that is off costs no
CPU, and many of them must not hold up those that are there."""

_places: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()
"""One for each event loop, to which a semaphore is bound: a task that is killed runs a second loop for that."""


class Turn:
    """A place among those who log in."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back
        self._timer = asyncio.get_running_loop().call_later(SILENCE, self.end)

    def answered(self) -> None:
        """Something is there, and the login begins: the place is kept until it has ended."""
        self._timer.cancel()

    def end(self) -> None:
        """Give the place back, once."""
        self._timer.cancel()
        if self._give_back is not None:
            self._give_back()
            self._give_back = None


@contextlib.asynccontextmanager
async def turn(limit: asyncio.Timeout | None = None) -> AsyncIterator[Turn]:
    """Wait for a place, and have it until the end, or until nothing has answered for some seconds.

    Args:
        limit: a time limit that does not run while a place is waited for.
    """
    places = _places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MOST))
    with _stopped(limit):
        await places.acquire()
    mine = Turn(places.release)
    try:
        yield mine
    finally:
        mine.end()


@contextlib.contextmanager
def _stopped(limit: asyncio.Timeout | None) -> Iterator[None]:
    when = None if limit is None or limit.expired() else limit.when()
    if limit is None or when is None:
        yield
        return
    now = asyncio.get_running_loop().time
    begun = now()
    limit.reschedule(None)
    try:
        yield
    finally:
        limit.reschedule(when + now() - begun)
