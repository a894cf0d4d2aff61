"""Logins take turns: few at a time, no dead server holds up the others, and no time limit runs in the meantime."""

from __future__ import annotations

import asyncio
import time

import pytest

from gantry.agent import turns


@pytest.fixture(autouse=True)
def two_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 2)


def test_only_so_many_log_in_at_a_time_in_the_order_in_which_they_came() -> None:
    begun, most, inside = [], 0, 0

    async def one(number: int) -> None:
        nonlocal most, inside
        async with turns.turn() as turn:
            turn.answered()
            begun.append(number)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1

    async def go() -> None:
        await asyncio.gather(*map(one, range(7)))

    for _ in range(2):  # each with an event loop of its own
        asyncio.run(go())
    assert most == 2
    assert begun == [*range(7)] * 2


def test_a_place_in_which_nothing_answers_goes_to_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENCE", 0.05)

    async def go() -> float:
        over = asyncio.Event()

        async def silent() -> None:
            async with turns.turn():
                await over.wait()

        async def there() -> None:
            async with turns.turn() as turn:
                turn.answered()

        # Before the first of them takes a place: on a busy machine, time goes by between that and the next line.
        begun = time.monotonic()
        dead = [asyncio.create_task(silent()) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.wait_for(there(), 30)
        taken = time.monotonic() - begun
        over.set()
        await asyncio.gather(*dead)
        # Each place was given back once: no more than two are there.
        async with turns.turn(), turns.turn():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(there(), 0.01)
        return taken

    # Four pairs of them were before it, of 0.05 s each; a timer may ring a hair before its time.
    assert 0.19 <= asyncio.run(go()) < 30


def test_who_has_been_answered_keeps_the_place_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SILENCE", 0.01)

    async def go() -> None:
        async with turns.turn() as one, turns.turn() as other:
            one.answered()
            other.answered()
            await asyncio.sleep(0.05)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), turns.turn():
                    pytest.fail("a third place")

    asyncio.run(go())


def left(limit: asyncio.Timeout) -> float:
    when = limit.when()
    assert when is not None
    return when - asyncio.get_running_loop().time()


def test_a_time_limit_does_not_run_while_a_place_is_waited_for() -> None:
    async def go() -> float:
        async with turns.turn() as one, turns.turn() as other:
            one.answered()
            other.answered()
            limits = []

            async def third() -> float:
                async with asyncio.timeout(30) as limit:
                    limits.append(limit)
                    before = left(limit)
                    async with turns.turn(limit):
                        return before - left(limit)

            waiting = asyncio.create_task(third())
            await asyncio.sleep(1)
            assert [each.when() for each in limits] == [None]
        return await waiting

    # Of the second of waiting, nothing.
    assert asyncio.run(go()) == pytest.approx(0, abs=0.9)


def test_a_time_limit_that_is_over_stays_over() -> None:
    async def once_more(limit: asyncio.Timeout) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            async with asyncio.timeout(5), turns.turn(limit):
                pass

    async def go() -> None:
        async with asyncio.timeout(0.01) as limit:
            await once_more(limit)

    with pytest.raises(TimeoutError):
        asyncio.run(go())


def test_who_is_cancelled_while_waiting_takes_no_place() -> None:
    async def go() -> None:
        async def one() -> None:
            async with asyncio.timeout(30) as limit, turns.turn(limit):
                pass

        async with turns.turn(), turns.turn():
            waiting = [asyncio.create_task(one()) for _ in range(3)]
            await asyncio.sleep(0.01)
            waiting[0].cancel()
        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
            asyncio.CancelledError, type(None), type(None),
        ]  # fmt: skip
        async with asyncio.timeout(60), turns.turn(), turns.turn():
            pass

    asyncio.run(go())
