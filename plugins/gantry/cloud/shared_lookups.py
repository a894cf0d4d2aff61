"""Shared cloud queries for waiting tasks: batched, and as rare as possible.

Many servers are waited for in parallel, by many triggers of one triggerer. All of them share one query of a
deployment, and each reads a console only when its slot in the rate limit has come.
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
"""Seconds for which a query's result is reused: short at first, longer the more often nothing has changed."""
_GROWS = 6.0

_FIRST, _LONGEST = 1.0, 20.0
"""Seconds between two reads of the console of one server."""

# Triggers share asyncio's own threads with everything else in a triggerer: a throttled call, which botocore retries
# for half a minute, would block one of them for all.
_threads = concurrent.futures.ThreadPoolExecutor(4, "gantry-asking")


class _Answer(Generic[T]):
    """The cloud's answer to one query, for all waiting callers in this process."""

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
                # Otherwise it would accumulate the frames of all who receive it.
                raise self._trouble.with_traceback(None)
            return self._found[0]

    async def _ask(self, cloud: servers.Servers) -> None:
        try:
            answer = await _call(cloud, "DescribeInstances", functools.partial(self._question, cloud))
            self._found = (answer,)
            self._trouble = None
        except errors.GantryError as error:
            # All waiting callers would query, one after the other.
            self._trouble = error


class _Look:
    """A deployment's servers, and its ended ones, shared by all waiting callers in this process."""

    def __init__(self) -> None:
        self.servers = _Answer(lambda cloud: cloud.find())
        self.ended = _Answer(lambda cloud: cloud.ended())


_looks: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[servers.ServerScope, _Look]
] = weakref.WeakKeyDictionary()
"""The queries in use, by event loop; a process has one loop, unless it simulates others."""


def _look(place: servers.ServerScope) -> _Look:
    shared = _looks.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
    found = shared.get(place)
    if found is None:
        found = shared[place] = _Look()
    return found


class _Console:
    """The host key of one instance, or why its console could not be read; and when it may be read again."""

    def __init__(self) -> None:
        self.host_key: str | None = None
        self.trouble: errors.GantryError | None = None
        self._pause = _FIRST / 2
        self._next = 0.0

    @property
    def due(self) -> bool:
        return time.monotonic() >= self._next

    def note(self) -> None:
        """Record that it is read now."""
        self._pause = min(self._pause * 2, _LONGEST)
        # Not a secret: it only has to differ between servers.
        self._next = time.monotonic() + self._pause * random.uniform(0.75, 1.25)  # noqa: S311


class SharedLookup:
    """Queries the cloud on behalf of waiting callers. Exceptions may be shared between callers."""

    def __init__(self, cloud: servers.Servers) -> None:
        self._cloud = cloud
        self._shared: _Look | None = None
        self._consoles: dict[str, _Console] = {}
        # Server queries and writes must not queue behind a hundred console reads.
        self._reading = asyncio.Lock()

    async def servers(self) -> inventory.Inventory:
        """Return the deployment's servers, at most some seconds old. Raises as `Servers.find`."""
        return await self._look().servers.found(self._cloud)

    async def ended(self) -> Sequence[inventory.Server]:
        """Return the deployment's ended servers that are still shown. Raises as `Servers.ended`."""
        return await self._look().ended.found(self._cloud)

    async def host_key(self, server: inventory.Server) -> str | None:
        """Return a server's host key: the pinned one, or the one on its console, or None so far.

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
            # Until it is read again, nothing else is known.
            console.trouble = error

    def doubt(self, server: inventory.Server) -> None:
        """Have the console read again: a server may print further host keys."""
        if console := self._consoles.get(server.instance_id):
            console.host_key = None

    async def note(self, server: inventory.Server, host_key: str) -> None:
        """Record that a server has answered, with its host key. Raises CloudError."""
        if server.host_key is None:
            pin = functools.partial(self._cloud.pin_host_key, server, host_key)
            await _call(self._cloud, "CreateTags", pin)
        if server.ailing is not None:
            await _call(self._cloud, "DeleteTags", functools.partial(self._cloud.note_well, server))


async def _call(cloud: servers.Servers, operation: str, call: Callable[[], T]) -> T:
    """Make a call when its slot has come, in a thread. Waiting for the slot does not occupy a thread."""
    await asyncio.sleep(pace.of(cloud.place.connection, cloud.place.region).reserve(operation))

    def in_turn() -> T:
        with pace.reserved():
            return call()

    # With the caller's context, which determines the log.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(_threads, functools.partial(context.run, in_turn))
