"""How a look tells servers apart: who answers, is silent, busy, refuses, is another one, or was not asked at all."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator

import asyncssh
import pytest

from gantry import names
from gantry.agent import errors, reachability, session, ssh
from gantry.agent.reachability import Contact

HOST, SERVER = asyncssh.generate_private_key("ssh-ed25519"), names.ServerName("shop-web-1")
USER, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
RSA, ECDSA = asyncssh.generate_private_key("ssh-rsa"), asyncssh.generate_private_key("ecdsa-sha2-nistp256")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def _answer(process: asyncssh.SSHServerProcess[str]) -> None:
    """As sshd does: by a shell."""
    done = await asyncio.create_subprocess_exec("sh", "-c", process.command or "", stdout=-1, stderr=-1)
    stdout, stderr = await done.communicate()
    process.stdout.write(stdout.decode())
    process.stderr.write(stderr.decode())
    process.exit(done.returncode or 0)


class Forwarding(asyncssh.SSHServer):
    """A jump host, as long as it may."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed

    def connection_requested(self, *_: object) -> bool:
        if not self._allowed:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "administratively prohibited"
            )
        return True


class Machines:
    """Servers on this machine, in an event loop of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def ssh(self, *keys: asyncssh.SSHKey, allowed: bool = True) -> int:
        """An SSH server with these host keys that knows one user's key, and does nothing. Its port."""

        async def serve() -> int:
            server = await asyncssh.listen(
                "127.0.0.1",
                0,
                server_host_keys=list(keys),
                authorized_client_keys=asyncssh.import_authorized_keys(public(USER)),
                process_factory=_answer,
                server_factory=lambda: Forwarding(allowed=allowed),
            )
            return server.get_port()

        return asyncio.run_coroutine_threadsafe(serve(), self._loop).result(30)

    def tcp(self, said: bytes, *, closes: bool = True, before: int | None = None, port: int = 0) -> int:
        """What says something to each who connects, and hangs up; its port.

        Args:
            said: what it says.
            closes: whether it hangs up.
            before: how many are treated like that; the others are handed on to `port`. None: all.
        """
        seen = 0

        async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal seen
            seen += 1
            if before is not None and seen > before:
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_copy(reader, back), _copy(there, writer))
                return
            writer.write(said)
            await writer.drain()
            if closes:
                writer.close()

        async def serve() -> int:
            server = await asyncio.start_server(each, "127.0.0.1", 0)
            return int(server.sockets[0].getsockname()[1])

        return asyncio.run_coroutine_threadsafe(serve(), self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
    writer.close()


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    found = Machines()
    yield found
    found.close()


@pytest.fixture(scope="module")
def port(machines: Machines) -> int:
    """An SSH server that has the pinned host key."""
    return machines.ssh(HOST)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "_PAUSE", 0.01)
    monkeypatch.setattr(reachability, "_PAUSES", (0.01, 0.02, 0.05))


def nobodys_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def login(port: int, key: asyncssh.SSHKey = USER) -> ssh.Login:
    return ssh.Login("root", key.export_private_key().decode(), port=port, connection="shop_ssh")


def met(
    port: int,
    *,
    pinned: asyncssh.SSHKey = HOST,
    key: asyncssh.SSHKey = USER,
    jump: ssh.JumpHost | None = None,
    patience: float = 20,
) -> reachability.ProbeResult[str]:
    target = ssh.Target(SERVER, "i-1", "127.0.0.1", public(pinned))

    async def ask(server: session.Session) -> str:
        return await server.run("true")

    return asyncio.run(reachability.meet(target, ssh.Access(login(port, key), jump), ask, patience))


def test_who_answers_is_met(port: int) -> None:
    target = ssh.Target(SERVER, "i-1", "127.0.0.1", public(HOST))
    found = reachability.call([reachability.ServerProbe(target, ssh.Access(login(port)))])
    assert found == {SERVER: reachability.ServerAnswer(Contact.ANSWERS)}


def test_another_host_key_is_a_stranger(port: int) -> None:
    found = met(port, pinned=OTHER)
    assert found.contact is Contact.STRANGER
    assert "is not the one pinned" in found.said


def test_one_that_lets_nobody_in_refuses(port: int) -> None:
    found = met(port, key=OTHER)
    assert found.contact is Contact.REFUSES
    assert "refuses the user 'root'" in found.said


def test_where_nobody_listens_is_silence() -> None:
    found = met(nobodys_port())
    assert found.contact is Contact.SILENT
    assert found.said.startswith("no SSH connection to 127.0.0.1")


# --- host keys of another kind -------------------------------------------------------------------------------


def test_a_server_that_offers_other_kinds_of_host_keys_is_a_stranger_and_never_silent(
    machines: Machines,
) -> None:
    found = met(machines.ssh(RSA, ECDSA))
    assert found.contact is Contact.STRANGER
    assert "and the instance's tag gantry:host-key trusts ssh-ed25519" in found.said
    assert sorted(found.said.partition("of the kind ")[2].partition(", and the")[0].split(" and ")) == [
        "ecdsa-sha2-nistp256",
        "ssh-rsa",
    ]


@pytest.mark.parametrize(("pinned", "shown"), [(RSA, HOST), (ECDSA, RSA)])
def test_that_holds_for_each_kind(
    machines: Machines, pinned: asyncssh.SSHKey, shown: asyncssh.SSHKey
) -> None:
    found = met(machines.ssh(shown), pinned=pinned)
    assert found.contact is Contact.STRANGER
    assert f"offers host keys of the kind {shown.get_algorithm()}, and" in found.said


def test_a_step_is_told_so_at_once_and_what_to_do(machines: Machines) -> None:
    port = machines.ssh(RSA)

    async def step() -> None:
        target = ssh.Target(SERVER, "i-1", "127.0.0.1", public(HOST))
        async with ssh.connect(target, ssh.Access(login(port))):
            pytest.fail("connected to a server without the pinned kind of key")

    with pytest.raises(errors.HostKeyKindError, match="Have it offer ssh-ed25519 again") as refused:
        asyncio.run(step())
    assert not refused.value.transient
    assert refused.value.offered == ("ssh-rsa",)


def test_a_server_that_offers_the_pinned_kind_among_others_is_itself(machines: Machines) -> None:
    assert met(machines.ssh(RSA, ECDSA, HOST)).contact is Contact.ANSWERS


def test_one_that_hangs_up_after_its_first_words_and_is_itself_the_next_time_is_no_stranger(
    machines: Machines, port: int
) -> None:
    # The question for its host keys is answered by what has the pinned kind: then something else was wrong.
    hung_up = machines.tcp(b"SSH-2.0-OpenSSH_9.2\r\n", before=1, port=port)
    assert met(hung_up).contact is Contact.ANSWERS


# --- busy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"Exceeded MaxStartups\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_one_that_takes_connections_and_closes_them_is_busy(machines: Machines, said: bytes) -> None:
    found = met(machines.tcp(said), patience=1)
    assert found.contact is Contact.BUSY
    assert "accepts the connection and closes it before the login" in found.said


def test_a_busy_server_is_asked_again_until_it_has_time(machines: Machines, port: int) -> None:
    busy = machines.tcp(b"Exceeded MaxStartups\r\n", before=5, port=port)
    assert met(busy).contact is Contact.ANSWERS


def test_one_that_takes_a_connection_and_says_nothing_is_silent(machines: Machines) -> None:
    found = met(machines.tcp(b"", closes=False), patience=0.5)
    assert found == reachability.ProbeResult(Contact.SILENT, "no answer within 0.5 s")


# --- what lies between ---------------------------------------------------------------------------------------


def through(port: int, key: asyncssh.SSHKey = USER, **facts: object) -> ssh.JumpHost:
    found = ssh.JumpHost("127.0.0.1", public(HOST), dataclasses.replace(login(port, key), connection="jump"))
    return dataclasses.replace(found, **facts)  # type: ignore[arg-type]


Jump = Callable[[Machines, int], ssh.JumpHost]


@pytest.mark.parametrize(
    "jump",
    [
        lambda _, port: through(nobodys_port()),  # noqa: ARG005
        lambda _, port: through(port, OTHER),
        lambda _, port: through(port, host_key=public(OTHER)),
        lambda _, port: through(port, host_key="ssh-ed25519 AAAA"),
        lambda _, port: through(port, host="jump.invalid"),
        lambda machines, _: through(machines.ssh(RSA)),
        lambda machines, _: through(machines.ssh(HOST, allowed=False)),
        lambda machines, _: through(machines.tcp(b"Exceeded MaxStartups\r\n")),
    ],
    ids=["down", "refuses", "another key", "no key", "no such name", "another kind", "forbids", "busy"],
)
def test_what_is_wrong_with_a_jump_host_says_nothing_about_the_server_behind_it(
    machines: Machines, port: int, jump: Jump
) -> None:
    assert met(port, jump=through(port)).contact is Contact.ANSWERS
    # Nothing listens there, and it is not known: nobody has looked.
    found = met(nobodys_port(), jump=jump(machines, port), patience=5)
    assert found.contact is Contact.UNREACHED, found


def test_a_jump_host_that_answers_shows_that_the_server_behind_it_does_not(port: int) -> None:
    assert met(nobodys_port(), jump=through(port)).contact is Contact.SILENT


def test_a_jump_host_that_is_slow_says_nothing_either(machines: Machines, port: int) -> None:
    found = met(port, jump=through(machines.tcp(b"", closes=False)), patience=0.5)
    assert found.contact is Contact.UNREACHED


def test_an_address_that_this_machine_has_no_way_to_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_connection", connect)
    assert met(1).contact is Contact.UNREACHED
