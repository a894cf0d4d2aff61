"""How a look tells servers apart that answer, that do not, that refuse, and that are somebody else."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import asyncssh
import pytest

from gantry import names
from gantry.agent import contact, ssh

HOST, SERVER = asyncssh.generate_private_key("ssh-ed25519"), names.ServerName("shop-web-1")
USER, OTHER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


async def _answer(process: asyncssh.SSHServerProcess[str]) -> None:
    process.exit(0 if process.command == "true" else 1)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """An SSH server on this machine that knows one key, and does nothing."""
    ready, ports = threading.Event(), []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        keys = asyncssh.import_authorized_keys(public(USER))
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_host_keys=[HOST], authorized_client_keys=keys, process_factory=_answer
        )
        ports.append(server.get_port())
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)


def met(port: int, *, pinned: asyncssh.SSHKey = HOST, key: asyncssh.SSHKey = USER) -> contact.Answer:
    login = ssh.Login("root", key.export_private_key().decode(), port=port)
    target = ssh.Target(SERVER, "i-1", "127.0.0.1", public(pinned))
    return contact.call([contact.Call(target, ssh.Access(login))])[SERVER]


def test_who_answers_is_met(port: int) -> None:
    assert met(port) == contact.Answer(contact.Contact.ANSWERS)


def test_another_host_key_is_a_stranger(port: int) -> None:
    found = met(port, pinned=OTHER)
    assert found.contact is contact.Contact.STRANGER
    assert "is not the one pinned" in found.said


def test_who_lets_nobody_in_refuses(port: int) -> None:
    found = met(port, key=OTHER)
    assert found.contact is contact.Contact.REFUSES
    assert "refuses the user 'root'" in found.said


def test_where_nobody_listens_is_silence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = met(free.getsockname()[1])
    assert found.contact is contact.Contact.SILENT
    assert found.said.startswith("no SSH connection to 127.0.0.1")
