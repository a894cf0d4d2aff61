"""Servers behind a jump host share one login there, and what is wrong with it is told to each who waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncssh
import pytest

from gantry import names
from gantry.agent import errors, reachability, session, ssh
from gantry.agent.reachability import Contact

HOST, USER, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def login(port: int, key: asyncssh.SSHKey = USER) -> ssh.Login:
    return ssh.Login("root", key.export_private_key().decode(), port=port, connection="shop_ssh")


def target(number: int = 1) -> ssh.Target:
    return ssh.Target(names.ServerName(f"shop-web-{number}"), "i-1", "127.0.0.1", public(HOST))


@dataclasses.dataclass
class Host:
    """An SSH server in this event loop: a jump host, and what is behind it.

    Attributes:
        came: connections that were taken.
        forwarded: that it has made for others.
        there: those that are open.
        arrived: a first one has come.
        left: none is open any more.
    """

    port: int = 0
    came: int = 0
    forwarded: int = 0
    there: list[asyncssh.SSHServerConnection] = dataclasses.field(default_factory=list)
    arrived: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    left: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def jump(self, **facts: object) -> ssh.JumpHost:
        found = ssh.JumpHost("127.0.0.1", public(HOST), login(self.port))
        return dataclasses.replace(found, **facts)  # type: ignore[arg-type]

    def access(self, jump: ssh.JumpHost | None = None) -> ssh.Access:
        return ssh.Access(login(self.port), jump)


class Connection(asyncssh.SSHServer):
    """One connection to a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._conn = conn
        self._host.came += 1
        self._host.there.append(conn)
        self._host.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        self._host.there.remove(self._conn)
        if not self._host.there:
            self._host.left.set()

    def connection_requested(self, *_: object) -> bool:
        self._host.forwarded += 1
        return True


@contextlib.asynccontextmanager
async def hosts(count: int = 2) -> AsyncIterator[list[Host]]:
    async with contextlib.AsyncExitStack() as stack:
        found = [Host() for _ in range(count)]
        for host in found:
            listener = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_host_keys=[HOST],
                authorized_client_keys=asyncssh.import_authorized_keys(public(USER)),
                server_factory=lambda host=host: Connection(host),
            )
            host.port = (await stack.enter_async_context(listener)).get_port()
        yield found


def test_all_servers_behind_a_jump_host_share_one_login_there_until_the_last_is_left() -> None:
    async def go() -> None:
        async with hosts() as (front, behind):
            access = behind.access(front.jump())
            async with contextlib.AsyncExitStack() as stack:
                await asyncio.gather(
                    *(stack.enter_async_context(ssh.connect(target(each), access)) for each in range(12))
                )
                assert (front.came, front.forwarded, behind.came) == (1, 12, 12)
                async with ssh.connect(target(), access):
                    assert (front.came, front.forwarded, behind.came) == (1, 13, 13)
                assert len(front.there) == 1
            async with asyncio.timeout(30):
                await front.left.wait()
            async with ssh.connect(target(), access):
                assert front.came == 2

    asyncio.run(go())


def test_whose_login_is_cancelled_does_not_break_that_of_the_others() -> None:
    async def go() -> None:
        async with hosts() as (front, behind):
            access = behind.access(front.jump())

            async def reach(number: int) -> None:
                async with ssh.connect(target(number), access):
                    pass

            first, *others = (asyncio.create_task(reach(each)) for each in range(4))
            async with asyncio.timeout(30):
                await front.arrived.wait()
            first.cancel()
            await asyncio.gather(*others)
            assert first.cancelled()
            assert (front.came, behind.came) == (1, 3)

    asyncio.run(go())


async def failures(access: ssh.Access, count: int = 3) -> Sequence[BaseException | None]:
    async def reach(number: int) -> None:
        async with ssh.connect(target(number), access):
            pass

    return await asyncio.gather(*map(reach, range(count)), return_exceptions=True)


@pytest.mark.parametrize(
    ("facts", "kind", "said", "came"),
    [
        # One is for the login, which breaks off before anything is sent.
        ({"host_key": public(OTHER)}, errors.HostKeyMismatchError, "the host key at 127.0.0.1 is not", 1),
        (
            {"login": "OTHER"},
            errors.AccessRefusedError,
            "127.0.0.1 refuses the user 'root' with the key of",
            1,
        ),
        ({"host_key": "ssh-ed25519 AAAA"}, errors.UnusableHostKeyError, "'ssh-ed25519 AAAA' in the extra", 0),
        ({"login": "closed"}, errors.ConnectionLostError, "no SSH connection to 127.0.0.1: ", 0),
    ],
)
def test_each_who_waits_is_told_what_is_wrong_with_the_jump_host_and_it_is_tried_once(
    facts: dict[str, object], kind: type[errors.ServerError], said: str, came: int
) -> None:
    async def go() -> None:
        async with hosts() as (front, behind):
            logins = {"OTHER": login(front.port, OTHER), "closed": login(1)}
            known = {name: logins.get(str(fact), fact) for name, fact in facts.items()}
            found = await failures(behind.access(front.jump(**known)))
            assert [type(each) for each in found] == [kind] * 3
            assert len({id(each) for each in found}) == 3
            for number, each in enumerate(found):
                assert isinstance(each, errors.ServerError)
                assert each.on_the_way
                assert each.server == f"shop-web-{number}"
                assert str(each).startswith(f"shop-web-{number}: {said}")
                assert "jump host:" not in str(each)
            assert (front.came, behind.came) == (came, 0)

    asyncio.run(go())


def test_a_broken_connection_to_the_jump_host_is_made_again_for_the_next_who_goes_through() -> None:
    async def go() -> None:
        async with hosts() as (front, behind):
            access = behind.access(front.jump())
            async with ssh.connect(target(), access) as first:
                front.there[0].abort()
                async with asyncio.timeout(30):
                    await first.wait_closed()
                async with ssh.connect(target(2), access) as second:
                    assert not second.is_closed()
                    assert (front.came, behind.came) == (2, 2)

    asyncio.run(go())


def test_who_goes_through_at_the_moment_of_the_break_finds_out_nothing_about_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def go() -> None:
        async with hosts() as (front, behind):
            jump = front.jump()
            async with ssh._jump_hosts.use(jump) as tunnel:
                open_channel = tunnel.create_connection

                async def late(*arguments: Any) -> object:
                    tunnel.connection_lost(asyncssh.ConnectionLost("cut"))
                    return await open_channel(*arguments)

                monkeypatch.setattr(tunnel, "create_connection", late)
                (found,) = await failures(behind.access(jump), 1)
            assert isinstance(found, errors.ConnectionLostError)
            assert found.reason == "SSH connection closed"
            assert found.on_the_way

    asyncio.run(go())


class Relay:
    """Hands on what is sent to a port, until it is frozen: then it takes everything, and hands on nothing."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_frozen = False

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._copy(reader, back), self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                if not self.is_frozen:
                    writer.write(chunk)
        writer.close()


def test_a_jump_host_that_dies_without_a_word_does_not_make_the_servers_behind_it_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # All a hundredth of what they are, but for the time that a key exchange takes here.
    monkeypatch.setattr(ssh, "_KEEPALIVE_OF_JUMP_HOST", 0.1)
    monkeypatch.setattr(ssh, "CONNECT_TIMEOUT", 3.0)
    monkeypatch.setattr(reachability, "_PAUSE", 0.01)

    async def ask(server: session.Session) -> None:
        _ = server

    async def go() -> None:
        async with hosts() as (front, behind):
            relay = Relay(front.port)
            async with await asyncio.start_server(relay, "127.0.0.1", 0) as listener:
                port = listener.sockets[0].getsockname()[1]
                access = behind.access(front.jump(login=login(port)))
                async with ssh.connect(target(), access):
                    relay.is_frozen = True
                    found = await reachability.meet(target(2), access, ask, 30)
                    assert found.contact is Contact.UNREACHED, found
                    assert behind.came == 1

    asyncio.run(go())


def test_a_dead_jump_host_is_noticed_before_an_attempt_through_it_is_given_up() -> None:
    noticed = ssh._KEEPALIVE_OF_JUMP_HOST * (ssh._KEEPALIVES + 1)
    assert noticed < ssh.CONNECT_TIMEOUT
