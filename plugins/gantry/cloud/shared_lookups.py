"""What those who wait for new servers ask the cloud: together, and as seldom as will do.

Many servers are waited for side by side, by many triggers of one triggerer. All of them share one look at a deployment,
and each reads a console only when its turn has come.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import random
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from gantry import errors, inventory
from gantry.cloud import pace, servers

T = TypeVar("T")

_YOUNGEST, _OLDEST = 1.0, 10.0
"""Seconds that a look is good for: little at first, more the longer nothing came of it."""
_GROWS = 6.0

_FIRST, _LONGEST = 1.0, 20.0
"""Seconds between two looks at the console of one server."""

# Triggers share asyncio's own threads with everything else in a triggerer: a throttled call, which botocore repeats for
# half a minute, would keep one from all of them.
_threads = concurrent.futures.ThreadPoolExecutor(4, "gantry-asking")


class _Answer(Generic[T]):
    """What the cloud says to one question, for all in this process who wait with it."""

    def __init__(self, question: Callable[[servers.Servers], T]) -> None:
        self._question = question
        self._since = time.monotonic()
        self._at: float | None = None
        self._found: tuple[T, ...] = ()
        self._trouble: errors.GantryError | None = None
        self._asking = asyncio.Lock()

    async def found(self, cloud: servers.Servers) -> T:
        async with self._asking:
            now = time.monotonic()
            age = min(_OLDEST, max(_YOUNGEST, (now - self._since) / _GROWS))
            if self._at is None or now - self._at > age:
                await self._ask(cloud)
                self._at = time.monotonic()
            if self._trouble is not None:
                # Else it would gather the frames of all who get it.
                raise self._trouble.with_traceback(None)
            return self._found[0]

    async def _ask(self, cloud: servers.Servers) -> None:
        try:
            answer = await _call(cloud, "DescribeInstances", functools.partial(self._question, cloud))
            self._found = (answer,)
            self._trouble = None
        except errors.GantryError as error:
            # All who wait would ask, one after the other.
            self._trouble = error


class _Look:
    """A deployment's servers, and those of it that have ended, for all in this process who wait for some."""

    def __init__(self) -> None:
        self.servers = _Answer(lambda cloud: cloud.find())
        self.ended = _Answer(lambda cloud: cloud.ended())


_looks: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[servers.ServerScope, _Look]
] = weakref.WeakKeyDictionary()
"""The looks that somebody in an event loop waits with; a process has one loop, unless it simulates others."""


def _look(place: servers.ServerScope) -> _Look:
    shared = _looks.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
    found = shared.get(place)
    if found is None:
        found = shared[place] = _Look()
    return found


class _Console:
    """The host key of one instance, or why its console could not be read; and when that may be done again."""

    def __init__(self) -> None:
        self.host_key: str | None = None
        self.trouble: errors.GantryError | None = None
        self._pause = _FIRST / 2
        self._next = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def note(self) -> None:
        """It is read now."""
        self._pause = min(self._pause * 2, _LONGEST)
        # Not a secret: it only has to differ from one server to the next.
        self._next = time.monotonic() + self._pause * random.uniform(0.75, 1.25)  # noqa: S311


class SharedLookup:
    """Asks the cloud for those who wait. What it raises may be shared with others."""

    def __init__(self, cloud: servers.Servers) -> None:
        self._cloud = cloud
        self._shared: _Look | None = None
        self._consoles: dict[str, _Console] = {}
        # Looks, and what has to be noted, do not queue behind a hundred consoles.
        self._reading = asyncio.Lock()

    async def servers(self) -> inventory.Inventory:
        """The deployment's servers, some seconds old at most. Raises as `Servers.find`."""
        return await self._look().servers.found(self._cloud)

    async def ended(self) -> Sequence[inventory.Server]:
        """The deployment's servers that have ended and are still told of. Raises as `Servers.ended`."""
        return await self._look().ended.found(self._cloud)

    async def host_key(self, server: inventory.Server) -> str | None:
        """A server's host key: the pinned one, or the one on its console, or None so far.

        Raises:
            CloudError: the cloud refused.
        """
        if server.host_key is not None:
            return server.host_key
        console = self._consoles.setdefault(server.instance_id, _Console())
        if console.host_key is None and console.due:
            async with self._reading:
                console.note()
                await self._read(server, console)
        if console.trouble is not None:
            raise console.trouble.with_traceback(None)
        return console.host_key

    def _look(self) -> _Look:
        self._shared = self._shared or _look(self._cloud.place)
        return self._shared

    async def _read(self, server: inventory.Server, console: _Console) -> None:
        read = functools.partial(self._cloud.console_host_key, server)
        try:
            console.host_key, console.trouble = await _call(self._cloud, "GetConsoleOutput", read), None
        except errors.GantryError as error:
            # Until it is read again, there is nothing else to tell.
            console.trouble = error

    def doubt(self, server: inventory.Server) -> None:
        """Have the console read once more: a server may print further host keys."""
        if console := self._consoles.get(server.instance_id):
            console.host_key = None

    async def note(self, server: inventory.Server, host_key: str) -> None:
        """Note that a server has answered, with its host key. Raises CloudError."""
        if server.host_key is None:
            pin = functools.partial(self._cloud.pin_host_key, server, host_key)
            await _call(self._cloud, "CreateTags", pin)
        if server.ailing is not None:
            await _call(self._cloud, "DeleteTags", functools.partial(self._cloud.note_well, server))


async def _call(cloud: servers.Servers, operation: str, call: Callable[[], T]) -> T:
    """Make a call when its turn has come, in a thread. Nobody waits for a turn in there."""
    await asyncio.sleep(pace.of(cloud.place.connection, cloud.place.region).reserve(operation))

    def in_turn() -> T:
        with pace.reserved():
            return call()

    # With the context of who asks: it says whose log this is.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, functools.partial(context.run, in_turn))
