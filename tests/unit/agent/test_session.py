"""A connection's commands: by the server's agent where it takes orders, else by SSH commands of their own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any, cast

import pytest

from gantry import names
from gantry.agent import command_channel, errors, session, ssh
from tests.unit.agent_scripts.server import Server

from .processes import Process

TARGET = ssh.Target(names.ServerName("shop-server-1"), "i-1", "192.0.2.1", "")
ROOT = ssh.Login("root", "")


@dataclasses.dataclass
class Connection:
    """Runs commands on this machine, as a login does whose shell does something else first."""

    server: Server
    before: str = ""
    processes: list[asyncio.subprocess.Process] = dataclasses.field(default_factory=list)

    async def create_process(self, line: str, encoding: None) -> Process:
        assert encoding is None
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", self.before + line,
            stdin=pipe, stdout=pipe, stderr=pipe, env=self.server.environment, start_new_session=True,
        )  # fmt: skip
        self.processes.append(process)
        return Process(process)

    async def end(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[Server]:
    found = Server.create(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "BIN", found.bin("").rstrip("/"))
        patch.setattr(command_channel, "SERVE", found.bin("serve"))
        yield found


def followed(connection: Connection, *commands: tuple[str, ...]) -> tuple[list[str], bytes, session.JobEnd]:
    """What commands say, and then what following the job gives."""

    async def talk() -> tuple[list[str], bytes, session.JobEnd]:
        with_server = session.Session(cast("Any", connection), TARGET, ROOT)
        came = bytearray()
        try:
            async with asyncio.timeout(60):
                said = [await with_server.run(*each) for each in commands]
                ended = await with_server.follow("step/1/work", 0, came.extend)
        finally:
            await connection.end()
        return said, bytes(came), ended

    return asyncio.run(talk())


def test_all_commands_of_a_connection_are_one(server: Server) -> None:
    server.custom("talk", "echo one; sleep 0.5; printf two; exit 5")
    connection, job = Connection(server), server.bin("job")
    start = ("env", "GANTRY_JOB_SECONDS=60", job, "start", "step/1/work", "1", "--", "talk")
    said, came, ended = followed(connection, (job, "open", "step", "0"), start, ("printf", "a b"))
    assert said == ["1\n", "started\n", "a b"]
    assert (came, ended) == (b"one\ntwo", session.JobEnd(5))
    assert len(connection.processes) == 1


def test_what_holds_a_line_break_is_a_command_of_its_own(server: Server) -> None:
    server.custom("talk", "exit 0")
    server.call("job", "start", "step/1/work", "1", "--", "talk")
    connection = Connection(server)
    said, _, _ = followed(connection, ("printf", "%s", "two\nlines"))
    assert said == ["two\nlines"]
    assert len(connection.processes) == 2


def test_where_no_serve_is_each_command_is_one_of_its_own(server: Server) -> None:
    server.path("enstratus/bin/serve").unlink()
    server.custom("talk", "echo out; exit 3")
    server.call("job", "start", "step/1/work", "1", "--", "talk")
    connection = Connection(server)
    assert followed(connection, ("echo", "a"), ("echo", "b")) == (["a\n", "b\n"], b"out\n", session.JobEnd(3))
    # The one that was not there is asked for once.
    assert len(connection.processes) == 4


def test_a_login_that_is_slow_to_begin_is_followed_all_the_same(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_channel, "_BEGIN_SECONDS", 0.1)
    server.custom("talk", "echo one; sleep 2; echo two; exit 3")
    server.call("job", "start", "step/1/work", "1", "--", "talk")
    assert followed(Connection(server, "sleep 0.5; ")) == ([], b"one\ntwo\n", session.JobEnd(3))


@pytest.mark.parametrize("before", ["kill -KILL $$; ", ""], ids=["in-the-login", "in-the-command"])
def test_a_connection_that_breaks_is_no_account_without_a_shell(server: Server, before: str) -> None:
    with pytest.raises(errors.ConnectionLostError):
        followed(Connection(server, before), ("sh", "-c", "kill -KILL $PPID"))
