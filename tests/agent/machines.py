"""Servers of the embedded cloud, seen from outside (SSH, as the agent's driver sees them) and from inside."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shlex
import time
from collections.abc import Callable, Iterator, Sequence

import asyncssh
from docker.models.containers import Container

from gantry import names
from gantry.agent import jobs, ssh
from tests import inside


@dataclasses.dataclass(frozen=True)
class Machine:
    """One server, with its agent's side and its inside."""

    target: ssh.Target
    access: ssh.Access
    container: Container

    def sh(self, command: str) -> str:
        """What a shell command prints, run as root inside; it has to succeed."""
        ended = inside.run(self.container, command)
        assert ended.code == 0, f"{command}: exit {ended.code}: {ended.out}{ended.err}"
        return ended.out.strip()

    def script(self, name: str, text: str) -> str:
        """Put a script where jobs find it; its name."""
        path = f"/enstratus/custom/bin/{name}"
        self.sh(f"printf %s {shlex.quote(f'#!/bin/sh{chr(10)}{text}')} > {path} && chmod 755 {path}")
        return name

    def exists(self, path: str) -> bool:
        return self.sh(f"[ -e {path} ] && echo yes || echo no") == "yes"

    def journal(self, word: str) -> list[str]:
        """Lines of the agent's own record with that word."""
        return [line for line in self.sh("cat /enstratus/ws/log/agent.log").splitlines() if word in line]

    def begun(self, script: str) -> int:
        return len([line for line in self.journal("begin") if f"bin/{script} " in line])

    def cut_connections(self) -> None:
        """End every SSH session's process, as a broken network would."""
        self.sh("pkill -KILL -f '^sshd: .*(priv|@|notty)' || true")


@contextlib.contextmanager
def sshd(machine: Machine, port: int, options: str) -> Iterator[ssh.Access]:
    """Another SSH server on a machine; the login for it."""
    pid = f"/tmp/sshd-{port}.pid"
    machine.sh(f"/usr/sbin/sshd -p {port} -o PidFile={pid} {options}")
    try:
        deadline = time.monotonic() + 120
        while not machine.exists(pid):
            assert time.monotonic() < deadline
        yield ssh.Access(dataclasses.replace(machine.access.login, port=port))
    finally:
        machine.sh(f"kill $(cat {pid})")


@dataclasses.dataclass
class Said:
    """Collects what scripts say."""

    lines: list[tuple[str, str]] = dataclasses.field(default_factory=list)

    def __call__(self, server: names.ServerName, line: str) -> None:
        self.lines.append((server, line))

    def by(self, machine: Machine) -> list[str]:
        return [line for server, line in self.lines if server == machine.target.name]

    def output_of(self, machine: Machine) -> list[str]:
        """The script's own lines: without those of the driver."""
        return [
            line
            for line in self.by(machine)
            if not line.startswith("$ ") and "connecting again" not in line and "done before" not in line
        ]


def key(step: str, *, epoch: str = "0", attempt: str = "1") -> jobs.StepKey:
    """Tests share servers: each takes a step of its own name."""
    return jobs.StepKey(step, epoch, attempt)


def job(script: str, *arguments: str, name: str = "", timeout: float = 30, **more: object) -> jobs.Job:
    return dataclasses.replace(jobs.Job(name or script, script, arguments, timeout), **more)  # type: ignore[arg-type]


def progress(machine: Machine, *work: jobs.Job) -> jobs.ServerProgress:
    return jobs.ServerProgress(machine.target, work)


async def until(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Return when the condition holds; it is asked again and again."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.05)


def new_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def login(key: asyncssh.SSHKey, user: str) -> ssh.Login:
    return ssh.Login(user, key.export_private_key().decode(), connection="bookshop_ssh")


def public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def errors_of(everything: Sequence[jobs.ServerProgress]) -> list[str]:
    return [str(each.failure or "") for each in everything]
