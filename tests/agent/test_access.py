"""Who is let in where: host keys are checked before anything is sent, and keys are the connection's own."""

from __future__ import annotations

import asyncio
import dataclasses

import asyncssh
import pytest

from gantry import names
from gantry.agent import errors, job_runner, ssh

from .machines import Machine, login, new_key, public, sshd

pytestmark = pytest.mark.docker


def whoami(target: ssh.Target, access: ssh.Access) -> str:
    async def ask() -> str:
        async with job_runner.Agent(target, access).open() as server:
            return (await server.run("sh", "-c", 'echo "$(id -un) ${SSH_CONNECTION:-}"')).strip()

    return asyncio.run(ask())


def test_commands_run_as_root_whether_the_user_is_root_or_may_sudo(machine: Machine, fresh: Machine) -> None:
    assert (machine.access.login.user, fresh.access.login.user) == ("deploy", "root")
    assert whoami(machine.target, machine.access).split()[0] == "root"
    assert whoami(fresh.target, fresh.access).split()[0] == "root"


def test_another_host_key_is_refused_before_a_login_is_even_tried() -> None:
    logins: list[str] = []

    class Impostor(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            logins.append(username)
            return False

    async def meet() -> None:
        async with await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Impostor, server_host_keys=[new_key()]
        ) as impostor:
            target = ssh.Target(names.ServerName("shop-db-1"), "i-1", "127.0.0.1", public(new_key()))
            access = ssh.Access(dataclasses.replace(login(new_key(), "root"), port=impostor.get_port()))
            async with ssh.connect(target, access):
                pytest.fail("connected to an impostor")

    with pytest.raises(errors.HostKeyMismatchError, match="Nothing was sent") as refused:
        asyncio.run(meet())
    assert "shop-db-1: the host key at 127.0.0.1" in str(refused.value)
    assert "gantry:host-key" in str(refused.value)
    assert not refused.value.transient
    assert logins == []


def test_a_pinned_key_that_is_none_is_said(machine: Machine) -> None:
    with pytest.raises(errors.UnusableHostKeyError, match="'ssh-ed25519 AAAA' in the instance's tag"):
        whoami(dataclasses.replace(machine.target, host_key="ssh-ed25519 AAAA"), machine.access)


def test_a_wrong_key_is_refused_and_the_error_names_user_and_connection(machine: Machine) -> None:
    with pytest.raises(errors.AccessRefusedError) as refused:
        whoami(machine.target, ssh.Access(login(new_key(), "deploy")))
    assert "refuses the user 'deploy'" in str(refused.value)
    assert "'bookshop_ssh'" in str(refused.value)


def test_a_key_may_have_a_passphrase(machine: Machine) -> None:
    key = machine.access.login.key()
    # Fewer rounds of hashing than usual: they are there to take time.
    locked = key.export_private_key(passphrase="open sesame", rounds=50).decode()
    open_it = dataclasses.replace(machine.access.login, private_key=locked, passphrase="open sesame")
    assert whoami(machine.target, ssh.Access(open_it)).startswith("root")
    for passphrase in ("guessed", None):
        with pytest.raises(ssh.UnusableKeyError, match="'bookshop_ssh'") as refused:
            whoami(machine.target, ssh.Access(dataclasses.replace(open_it, passphrase=passphrase)))
        assert "PRIVATE" not in str(refused.value)


def test_the_machines_own_ssh_settings_are_not_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".ssh").mkdir()
    (home / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    assert whoami(machine.target, machine.access).startswith("root")


def test_a_server_is_reached_through_a_jump_host_whose_key_is_checked_too(
    fresh: Machine, neighbour: Machine
) -> None:
    jump_login = dataclasses.replace(neighbour.access.login, connection="jump_ssh")
    jump = ssh.JumpHost(neighbour.target.address, neighbour.target.host_key, jump_login)
    access = dataclasses.replace(fresh.access, jump=jump)
    assert whoami(fresh.target, access).split()[:2] == ["root", neighbour.target.address]

    with pytest.raises(errors.HostKeyMismatchError) as refused:
        whoami(
            fresh.target,
            dataclasses.replace(access, jump=dataclasses.replace(jump, host_key=public(new_key()))),
        )
    assert f"the host key at {neighbour.target.address}" in str(refused.value)
    assert "host_key of the Airflow connection 'jump_ssh'" in str(refused.value)

    stranger = dataclasses.replace(login(new_key(), "deploy"), connection="jump_ssh")
    with pytest.raises(errors.AccessRefusedError, match="'jump_ssh'"):
        whoami(fresh.target, dataclasses.replace(access, jump=dataclasses.replace(jump, login=stranger)))

    with pytest.raises(errors.HostKeyMismatchError, match="gantry:host-key"):
        whoami(dataclasses.replace(fresh.target, host_key=public(new_key())), access)


def test_one_login_at_a_jump_host_serves_all_servers_behind_it(
    machine: Machine, fresh: Machine, neighbour: Machine
) -> None:
    # It lets nobody in while one is logging in, and a forwarded connection is no session.
    with sshd(
        neighbour, 2205, "-o MaxStartups=1:100:1 -o MaxSessions=1 -o LogLevel=VERBOSE -E /tmp/jump.log"
    ) as way:
        jump = ssh.JumpHost(neighbour.target.address, neighbour.target.host_key, way.login)

        async def all_at_once() -> list[str]:
            async def one(behind: Machine) -> str:
                async with job_runner.Agent(
                    behind.target, dataclasses.replace(behind.access, jump=jump)
                ).open() as server:
                    return await server.run("id", "-un")

            # Six each: their own sshd drops bursts of more than ten.
            return await asyncio.gather(*(one(behind) for behind in (machine, fresh) * 6))

        for _ in range(2):  # each with an event loop of its own
            assert asyncio.run(all_at_once()) == ["root\n"] * 12
        assert neighbour.sh("grep -c 'Accepted publickey' /tmp/jump.log") == "2"


def test_nobody_listening_may_pass(machine: Machine) -> None:
    closed = ssh.Access(dataclasses.replace(machine.access.login, port=2222))
    with pytest.raises(errors.ConnectionLostError, match="shop-server-1: no SSH connection") as lost:
        whoami(machine.target, closed)
    assert lost.value.transient
