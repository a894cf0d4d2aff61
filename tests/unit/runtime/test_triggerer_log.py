"""A trigger waits until its lines have been read: Airflow discards those that come after its end."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog
from airflow.sdk._shared.logging import structlog as airflow_structlog
from airflow.sdk.execution_time import supervisor

from gantry.runtime import triggerer_log
from gantry.triggers import server_work


@pytest.fixture
def socket_pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The supervisor's end, and the one in which this process logs, as in a triggerer."""
    ours, theirs = socket.socketpair()
    log = os.fdopen(os.dup(ours.fileno()), "wb", buffering=0)
    factory = airflow_structlog.LoggerFactory(airflow_structlog.NamedBytesLogger, io=log)
    monkeypatch.setattr(structlog, "get_config", lambda: {"logger_factory": factory})
    with ours, theirs, log:
        yield theirs, ours


def read(theirs: socket.socket, size: int) -> None:
    left = size
    while left:
        left -= len(theirs.recv(min(left, 4096)))


async def _still_waits(waiting: asyncio.Task[None]) -> bool:
    done, _ = await asyncio.wait([waiting], timeout=4 * triggerer_log._PAUSE)
    return not done


def test_what_was_logged_is_waited_for(socket_pair: tuple[socket.socket, socket.socket]) -> None:
    theirs, ours = socket_pair
    for _ in range(30):
        ours.sendall(b"x" * 500)

    async def go() -> None:
        waiting = asyncio.create_task(triggerer_log.written())
        assert await _still_waits(waiting)
        read(theirs, 29 * 500)
        assert await _still_waits(waiting)
        read(theirs, 500)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(go())


def test_what_others_log_meanwhile_is_not_waited_for(
    socket_pair: tuple[socket.socket, socket.socket],
) -> None:
    theirs, ours = socket_pair
    ours.sendall(b"x" * 500)
    ours.sendall(b"x" * 500)

    async def go() -> None:
        waiting = asyncio.create_task(triggerer_log.written())
        assert await _still_waits(waiting)
        for _ in range(40):
            ours.sendall(b"y" * 500)
        assert await _still_waits(waiting)
        read(theirs, 2 * 500)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(go())


def test_a_supervisor_that_reads_nothing_does_not_keep_a_task_for_ever(
    socket_pair: tuple[socket.socket, socket.socket],
) -> None:
    socket_pair[1].sendall(b"x")
    asyncio.run(asyncio.wait_for(triggerer_log.written(limit=0.1), 60))


@pytest.mark.parametrize("output", [None, io.BytesIO()])
def test_outside_a_triggerer_there_is_nothing_to_wait_for(
    output: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = airflow_structlog.LoggerFactory(airflow_structlog.NamedBytesLogger, io=output)
    monkeypatch.setattr(structlog, "get_config", lambda: {"logger_factory": factory})
    asyncio.run(asyncio.wait_for(triggerer_log.written(), 60))


def test_airflow_configures_a_triggerer_as_this_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[Any] = []
    monkeypatch.setattr(structlog, "configure", lambda **settings: configured.append(settings))
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        supervisor._configure_logs_over_json_channel(descriptor := os.dup(ours.fileno()))
        monkeypatch.setattr(structlog, "get_config", lambda: configured[-1])
        assert triggerer_log._socket() == descriptor
        ours.sendall(b"x")
        assert triggerer_log._unread(descriptor) > 0
        theirs.recv(1)
        assert triggerer_log._unread(descriptor) == 0


def test_a_step_ends_when_its_log_has_been_read(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Step(server_work.StepTrigger):
        def serialize(self) -> tuple[str, dict[str, Any]]:
            return "", {}

        async def _failures(self) -> list[Any]:
            order.append("work")
            return []

    async def written() -> None:
        order.append("written")

    async def go() -> None:
        events: AsyncIterator[Any] = Step({}).run()
        order.extend(["event" async for _ in events])

    monkeypatch.setattr(triggerer_log, "written", written)
    asyncio.run(go())
    assert order == ["work", "written", "event"]
