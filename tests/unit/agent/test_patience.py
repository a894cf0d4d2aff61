"""Who waits for a turn to log in is neither silent nor out of patience; a dead server is silent among many others."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import types
from collections.abc import AsyncIterator
from typing import Any

import asyncssh
import pytest

from gantry import names
from gantry.agent import errors, fan_out, job_runner, jobs, reachability, session, ssh, turns
from gantry.agent.reachability import Contact

HOST, USER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
ACCESS = ssh.Access(ssh.Login("root", USER.export_private_key().decode()), patience=0.5)


def target(number: int = 1) -> ssh.Target:
    host_key = HOST.export_public_key().decode().strip()
    return ssh.Target(names.ServerName(f"shop-web-{number}"), "i-1", "127.0.0.1", host_key)


def say(server: names.ServerName, line: str) -> None:
    _ = server, line


@contextlib.asynccontextmanager
async def all_places_taken() -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(turns.MOST):
            (await stack.enter_async_context(turns.turn())).answered()
        yield


async def ask(server: session.Session) -> None:
    _ = server


# --- a look ------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers, and an attempt is given up after a fiftieth of the time."""

    async def connect(*_: object, **__: object) -> None:
        await asyncio.sleep(600)

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", connect)
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 0.3)
    monkeypatch.setattr(turns, "SILENCE", 0.1)
    monkeypatch.setattr(reachability, "_PAUSE", 0.02)


@pytest.mark.usefixtures("dead")
def test_a_hundred_dead_servers_of_a_hundred_are_silent_in_the_time_that_a_look_has() -> None:
    async def go() -> list[reachability.ProbeResult[None]]:
        return await reachability.side_by_side(
            # Two attempts and a pause, as 45 s are for two of 15 s, and then some for a busy machine.
            reachability.meet(target(each), ACCESS, ask, 3)
            for each in range(100)
        )

    begun = time.monotonic()
    found = asyncio.run(go())
    assert {each.contact for each in found} == {Contact.SILENT}
    # A place each for the whole of an attempt: at least (100 / 16 rounds) * 2 * 0.3 s longer.
    assert time.monotonic() - begun < 30


@pytest.mark.usefixtures("dead")
def test_more_dead_servers_than_places_are_given_up_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 1)
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 6.0)
    monkeypatch.setattr(reachability, "_TRIES", 1)

    async def go() -> list[reachability.ProbeResult[None]]:
        return await reachability.side_by_side(
            reachability.meet(target(each), ACCESS, ask, 15) for each in range(5)
        )

    found = asyncio.run(go())
    # One after the other they would take 30 s, and two of them would not have been tried.
    assert {(each.contact, each.said.rpartition(": ")[2]) for each in found} == {
        (Contact.SILENT, "no answer within 6 s")
    }


def test_a_server_whose_turn_has_not_come_is_not_called_silent() -> None:
    async def go() -> reachability.ProbeResult[None]:
        async with all_places_taken():
            return await reachability.meet(target(), ACCESS, ask, 0.2)

    found = asyncio.run(go())
    assert found.contact is Contact.UNREACHED
    assert found.said.startswith("it was not attempted within 0.2 s")


# --- a step ------------------------------------------------------------------------------------------------


class Server:
    """A session to a server on which nothing is noted."""

    def __init__(self, *_: object) -> None:
        self.is_closed = False

    async def run(self, *_: str) -> str:
        return ""

    async def put(self, files: object) -> None:
        _ = files


def test_the_patience_of_a_step_begins_when_its_turn_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def log_in(*_: object) -> Any:
        return None

    monkeypatch.setattr(ssh, "_open", log_in)
    monkeypatch.setattr(session, "Session", Server)

    async def go() -> jobs.ServerProgress:
        (progress,) = everything = fan_out.begin([target()])
        async with all_places_taken():
            preparing = asyncio.create_task(
                fan_out.prepare(everything, ACCESS, lambda *_: fan_out.Work(), say)
            )
            # More than its patience.
            await asyncio.sleep(1)
            assert not preparing.done()
        await preparing
        return progress

    progress = asyncio.run(go())
    assert progress.failure is None
    assert progress.done


@pytest.mark.parametrize(("waited", "is_lost"), [(0.0, True), (60.0, False)])
def test_the_patience_of_a_lost_connection_is_not_spent_by_waiting_for_a_turn(
    monkeypatch: pytest.MonkeyPatch, *, waited: float, is_lost: bool
) -> None:
    clock = 0.0
    attempts = 0

    @contextlib.asynccontextmanager
    async def connect(at: ssh.Target, access: ssh.Access, way: ssh.LoginProgress) -> AsyncIterator[None]:
        nonlocal clock, attempts
        _ = access
        clock, attempts = clock + 61, attempts + 1
        way.waited = waited
        if attempts < 4:
            raise errors.ConnectionLostError(at.name, at.address, "no answer")
        yield None

    async def no_time(seconds: float) -> None:
        _ = seconds

    monkeypatch.setattr(ssh, "connect", connect)
    monkeypatch.setattr(session, "Session", Server)
    monkeypatch.setattr(job_runner, "time", types.SimpleNamespace(monotonic=lambda: clock, time=time.time))
    monkeypatch.setattr(asyncio, "sleep", no_time)
    agent = job_runner.Agent(target(), ssh.Access(ACCESS.login, patience=120))
    work = agent.carry_out(jobs.ServerProgress(target(), ()), jobs.StepKey("s", "0", "1"), say)
    if is_lost:
        with pytest.raises(errors.ConnectionLostError):
            asyncio.run(work)
    else:
        asyncio.run(work)
    assert attempts == (3 if is_lost else 4)


def test_who_is_slow_to_let_us_in_keeps_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = turns.Turn.answered

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async def go() -> None:
        said = asyncio.Event()

        def noted(turn: turns.Turn) -> None:
            answered(turn)
            said.set()

        monkeypatch.setattr(turns.Turn, "answered", noted)
        async with await asyncio.start_server(mute, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            access = dataclasses.replace(ACCESS, login=dataclasses.replace(ACCESS.login, port=port))

            async def log_in() -> None:
                async with ssh.connect(target(), access):
                    pass

            slow = asyncio.create_task(log_in())
            # A connection is an answer, before a word was said.
            async with asyncio.timeout(30):
                await said.wait()
            assert not slow.done()
            slow.cancel()
            await asyncio.gather(slow, return_exceptions=True)

    asyncio.run(go())
