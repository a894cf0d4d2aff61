"""Reference-counted resources that concurrent users share, such as the connection to a jump host."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Thing = TypeVar("Thing")


class _Opened(Generic[Thing]):
    """One of these things: being opened, or open, or broken.

    It is opened in a task of its own, so that it does not matter which of those who wait for it is cancelled.
    """

    def __init__(self, opening: Callable[[contextlib.AsyncExitStack], Awaitable[Thing]]) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._opening = asyncio.ensure_future(opening(self._stack))
        self.users = 0

    async def thing(self) -> Thing:
        """Return the resource once it is open. Raises what opening it raised."""
        return await asyncio.shield(self._opening)

    def is_usable(self, is_well: Callable[[Thing], bool]) -> bool:
        """Return whether another user may share it: it is being opened, or open and usable."""
        if not self._opening.done():
            return True
        return (
            not self._opening.cancelled()
            and self._opening.exception() is None
            and is_well(self._opening.result())
        )

    async def close(self) -> None:
        self._opening.cancel()
        try:
            await asyncio.gather(self._opening, return_exceptions=True)
        finally:
            await self._stack.aclose()


class Shared(Generic[Key, Thing]):
    """Resources by key. Each is opened for its first user, and closed when the last one leaves.

    A thing belongs to the event loop in which it was opened: each loop has its own.

    Args:
        opening: opens the thing of a key; what has to be closed at the end goes into the stack.
        is_well: whether a thing can still be used. One that cannot is replaced for the next who asks.
        most: users of one thing at most; the next one gets another thing of the same key.
    """

    def __init__(
        self,
        opening: Callable[[Key, contextlib.AsyncExitStack], Awaitable[Thing]],
        is_well: Callable[[Thing], bool],
        most: int,
    ) -> None:
        self._opening = opening
        self._is_well = is_well
        self._most = most
        self._there: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Key, list[_Opened[Thing]]]] = (
            weakref.WeakKeyDictionary()
        )

    @contextlib.asynccontextmanager
    async def use(self, key: Key) -> AsyncIterator[Thing]:
        """Yield the resource of a key. Raises what opening it raises, the same error for all waiting users."""
        of_loop = self._there.setdefault(asyncio.get_running_loop(), {})
        of_key = of_loop.setdefault(key, [])
        one = next(
            (each for each in of_key if each.users < self._most and each.is_usable(self._is_well)), None
        )
        if one is None:
            one = _Opened(lambda stack: self._opening(key, stack))
            of_key.append(one)
        one.users += 1
        try:
            yield await one.thing()
        finally:
            one.users -= 1
            if not one.users:
                # At once: the next who asks must not get what is being closed.
                of_key.remove(one)
                if not of_key and of_loop.get(key) is of_key:
                    del of_loop[key]
                await one.close()
