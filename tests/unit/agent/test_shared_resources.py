"""What all use together is opened once, closed with the last one, and replaced when it is broken."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gantry.agent import shared_resources


class Thing:
    """Something that is opened and closed, and may break."""

    is_well = True
    is_closed = False


class Store:
    """Opens things when it is told to, and keeps them all in sight."""

    def __init__(self, most: int = 100) -> None:
        self.may_open = asyncio.Event()
        self.opened: list[Thing] = []
        self.begun = 0
        self.cancelled = 0
        self.failure: Exception | None = None
        self.things = shared_resources.Shared(self._open, lambda thing: thing.is_well, most)

    async def _open(self, key: str, stack: contextlib.AsyncExitStack) -> Thing:
        _ = key
        self.begun += 1
        try:
            await self.may_open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        thing = Thing()
        self.opened.append(thing)

        async def close() -> None:
            thing.is_closed = True

        stack.push_async_callback(close)
        return thing


class User:
    """Uses a thing until it is told to leave."""

    def __init__(self, store: Store, key: str = "door") -> None:
        self._leave = asyncio.Event()
        self.thing: Thing | None = None
        self.task = asyncio.create_task(self._use(store, key))

    async def _use(self, store: Store, key: str) -> None:
        async with store.things.use(key) as self.thing:
            await self._leave.wait()
            assert not self.thing.is_closed

    async def leaves(self) -> None:
        self._leave.set()
        await self.task


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_all_who_ask_at_once_have_it_opened_once_and_the_last_one_closes_it() -> None:
    async def go() -> None:
        store = Store()
        users = [User(store) for _ in range(40)]
        await settle()
        assert store.begun == 1
        store.may_open.set()
        await settle()
        late = User(store)
        await settle()
        (thing,) = store.opened
        assert all(each.thing is thing for each in [*users, late])
        for each in users:
            await each.leaves()
        assert [each.is_closed for each in store.opened] == [False]
        await late.leaves()
        assert [each.is_closed for each in store.opened] == [True]
        # The next one gets one of its own, and nothing of the one before is left.
        again = User(store)
        await settle()
        assert again.thing is store.opened[1]
        await again.leaves()
        assert [each.is_closed for each in store.opened] == [True, True]

    asyncio.run(go())


def test_each_key_has_its_own() -> None:
    async def go() -> None:
        store = Store()
        store.may_open.set()
        one, other = User(store, "one"), User(store, "other")
        await settle()
        assert one.thing is not other.thing
        await one.leaves()
        assert [each.is_closed for each in store.opened] == [True, False]
        await other.leaves()

    asyncio.run(go())


def test_who_asks_when_it_is_full_has_another_one_opened() -> None:
    async def go() -> None:
        store = Store(most=2)
        store.may_open.set()
        users = [User(store) for _ in range(5)]
        await settle()
        assert [store.opened.index(each.thing) for each in users if each.thing] == [0, 0, 1, 1, 2]
        await users[0].leaves()
        late = User(store)
        await settle()
        assert late.thing is store.opened[0]
        for each in [*users[1:], late]:
            await each.leaves()
        assert all(each.is_closed for each in store.opened)

    asyncio.run(go())


def test_a_broken_one_is_replaced_once_for_all_who_ask_next_and_stays_open_for_those_who_have_it() -> None:
    async def go() -> None:
        store = Store()
        store.may_open.set()
        first = User(store)
        await settle()
        store.opened[0].is_well = False
        others = [User(store) for _ in range(3)]
        await settle()
        assert len(store.opened) == 2
        assert all(each.thing is store.opened[1] for each in others)
        await first.leaves()
        assert [each.is_closed for each in store.opened] == [True, False]
        for each in others:
            await each.leaves()
        assert store.opened[1].is_closed

    asyncio.run(go())


def test_that_the_one_who_asked_first_is_cancelled_does_not_concern_the_others() -> None:
    async def go() -> None:
        store = Store()
        first, second = User(store), User(store)
        await settle()
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        assert first.task.cancelled()
        store.may_open.set()
        await settle()
        assert (store.begun, store.cancelled) == (1, 0)
        assert second.thing is store.opened[0]
        await second.leaves()
        assert store.opened[0].is_closed

    asyncio.run(go())


def test_when_all_who_wait_are_cancelled_so_is_the_opening() -> None:
    async def go() -> None:
        store = Store()
        users = [User(store) for _ in range(3)]
        await settle()
        for each in users:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in users), return_exceptions=True)
        assert (store.begun, store.cancelled) == (1, 1)
        store.may_open.set()
        after = User(store)
        await settle()
        assert after.thing is store.opened[0]
        await after.leaves()

    asyncio.run(go())


def test_all_who_have_waited_get_the_error_and_the_next_one_another_try() -> None:
    async def go() -> None:
        store = Store()
        store.failure = OSError("no way in")
        users = [User(store) for _ in range(3)]
        await settle()
        store.may_open.set()
        said = await asyncio.gather(*(each.task for each in users), return_exceptions=True)
        assert [str(each) for each in said] == ["no way in"] * 3
        assert store.begun == 1
        store.failure = None
        after = User(store)
        await settle()
        assert after.thing is store.opened[0]
        await after.leaves()

    asyncio.run(go())


def test_who_asks_again_before_all_have_heard_of_the_failure_gets_another_try() -> None:
    async def go() -> None:
        store = Store()
        store.failure = OSError("no way in")

        async def stubborn() -> Thing:
            with pytest.raises(OSError, match="no way in"):
                async with store.things.use("door"):
                    pass
            assert not second.task.done()
            store.failure = None
            async with store.things.use("door") as thing:
                return thing

        first = asyncio.create_task(stubborn())
        second = User(store)
        await settle()
        store.may_open.set()
        assert [await first] == store.opened
        assert store.begun == 2
        with pytest.raises(OSError, match="no way in"):
            await second.task

    asyncio.run(go())


def test_each_event_loop_has_its_own() -> None:
    things: shared_resources.Shared[str, asyncio.AbstractEventLoop] = shared_resources.Shared(
        _loop, lambda _: True, 10
    )

    async def go() -> bool:
        async with things.use("door") as loop:
            return loop is asyncio.get_running_loop()

    assert asyncio.run(go())
    assert asyncio.run(go())


async def _loop(key: str, stack: contextlib.AsyncExitStack) -> asyncio.AbstractEventLoop:
    _ = key, stack
    return asyncio.get_running_loop()
