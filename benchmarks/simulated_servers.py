"""Any number of servers in one process: they speak SSH, and answer as an agent that does all it is asked for at once.

    python benchmarks/simulated_servers.py [LINES]

Each address of 127.0.0.0/8 is a server, all at one port, with one host key. Prints port and host key as JSON, and for
each line of its input what it has seen since the last one (`Seen`). A service's start prints so many LINES.

As sshd does with `MaxStartups 10:30:100`, a server drops some of the connections that come while ten others have not
logged in yet.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import itertools
import json
import logging
import random
import re
import shlex
import sys

import asyncssh

from gantry.agent import command_channel, content_digests

_START, _RATE, _FULL = 10, 0.3, 100
"""Of `MaxStartups`, see sshd_config(5)."""

_OCTAL = re.compile(r"\\0([0-7]{3})")
_FRAME = "gantry"
"""What `login_shell` calls the shell that says the two halves of its word."""


@dataclasses.dataclass
class Seen:
    """What has happened.

    Attributes:
        connections: that have logged in.
        open: at the same time, of all servers together.
        open_by_user: at the same time, of the user with the most.
        logging_in: at the same time at one server, before they have logged in.
        dropped: by `MaxStartups`.
        orders: that were carried out.
    """

    connections: int = 0
    open: int = 0
    open_by_user: int = 0
    logging_in: int = 0
    dropped: int = 0
    orders: int = 0


@dataclasses.dataclass
class Machine:
    """One server: what its jobs have noted, and how many are at its door."""

    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    logging_in: int = 0

    def answer(self, command: list[str], lines: int) -> tuple[bytes, bytes]:
        """What a command prints on standard output and standard error."""
        while command[0] == "env" or "=" in command[0]:
            command = command[1:]
        match [command[0].rpartition("/")[2], *command[1:]]:
            case ["marks", *prefix]:
                found = (f"{key} {value}\n" for key, value in sorted(self.marks.items()))
                return "".join(each for each in found if each.startswith(tuple(prefix) or "")).encode(), b""
            case ["timeout", *_]:
                running = any(key.endswith("/applied") for key in self.marks)
                return (b"OK\n" if running else b"down\n"), b""
            case ["job", "open", *_]:
                return b"1\n", b""
            case ["job", "start", _, _, *options]:
                self._note(options)
                return b"started\n", b""
            case ["job", "follow", job, offset, *_]:
                said = b"".join(b"line %d of a service that starts\n" % each for each in range(lines))
                return (said[int(offset) :] if "/start-" in job else b""), b"job: exit 0\n"
        return b"", b""

    def _note(self, options: list[str]) -> None:
        call = options[options.index("--") + 1 :]
        pairs = list(itertools.pairwise(options))
        for option, value in pairs:
            if option == "--unmark":
                self.marks.pop(value, None)
        for option, value in pairs:
            if option == "--mark":
                key, _, noted = value.partition("=")
                self.marks[key] = noted
        if content_digests.SCRIPT in call:
            key, version, digest = call[call.index(content_digests.SCRIPT) + 1 :][:3]
            self.marks.update(content_digests.expected(key, version, digest))


class Servers:
    """All of them. `lines`: see the head of this module."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._machines: dict[str, Machine] = collections.defaultdict(Machine)
        self._open: collections.Counter[str] = collections.Counter()
        self.seen = Seen()

    def machine(self, address: str) -> Machine:
        return self._machines[address]

    def came(self, machine: Machine) -> bool:
        """Note a connection that has not logged in; whether it is let in at all."""
        seen, waiting = self.seen, machine.logging_in
        chance = _RATE + (1 - _RATE) * (waiting - _START) / (_FULL - _START)
        if waiting >= _START and random.random() < chance:
            seen.dropped += 1
            return False
        machine.logging_in += 1
        seen.logging_in = max(seen.logging_in, machine.logging_in)
        return True

    def logged_in(self, machine: Machine, user: str) -> None:
        machine.logging_in -= 1
        self._open[user] += 1
        seen = self.seen
        seen.connections += 1
        seen.open_by_user = max(seen.open_by_user, self._open[user])
        seen.open = max(seen.open, self._open.total())

    def gone(self, machine: Machine, user: str | None) -> None:
        if user is None:
            machine.logging_in -= 1
        else:
            self._open[user] -= 1

    async def process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """A command of a connection: the agent's `serve`, past the login shell."""
        machine = self.machine(process.get_extra_info("sockname")[0])
        with contextlib.suppress(asyncssh.BreakReceived, BrokenPipeError, ConnectionError):
            await self._serve(process, machine)
        process.exit(0)

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes], machine: Machine) -> None:
        words = shlex.split(_unpacked(process.command or ""))
        halves = words.index(_FRAME) + 1
        word = "".join(words[halves : halves + 2]).encode()
        process.stdout.write(word)
        process.stderr.write(word)
        if words[halves + 2 :] != [command_channel.SERVE]:
            return
        process.stdout.write(b"serve\n")
        while line := await process.stdin.readline():
            end, size, *command = shlex.split(line.decode())
            if size not in ("0", "-"):
                await process.stdin.readexactly(int(size))
            out, err = machine.answer(command, self._lines)
            self.seen.orders += 1
            verdict = f"{end} 0\n".encode()
            process.stdout.write(out + verdict)
            process.stderr.write(err + verdict)
            await process.stdout.drain()


class Connection(asyncssh.SSHServer):
    """One connection: all keys are let in."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._machine: Machine | None = None
        self._user: str | None = None
        self._asked_as = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        machine = self._servers.machine(conn.get_extra_info("sockname")[0])
        if self._servers.came(machine):
            self._machine = machine
        else:
            conn.abort()

    def begin_auth(self, username: str) -> bool:
        self._asked_as = username
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        _ = username, key
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """As a jump host."""
        _ = dest_host, dest_port, orig_host, orig_port
        return True

    def auth_completed(self) -> None:
        if self._machine is not None:
            self._user = self._asked_as
            self._servers.logged_in(self._machine, self._user)

    def connection_lost(self, exc: Exception | None) -> None:
        _ = exc
        if self._machine is not None:
            self._servers.gone(self._machine, self._user)


def _unpacked(line: str) -> str:
    """What the login shell's `printf %b` makes of a command."""
    packed = shlex.split(line)[-1]
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), packed)


async def main() -> None:
    # As a jump host it is still talking to servers when its user has hung up.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    servers = Servers(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    key = asyncssh.generate_private_key("ssh-ed25519")
    listener = await asyncssh.listen(
        "0.0.0.0",
        0,
        server_factory=lambda: Connection(servers),
        server_host_keys=[key],
        process_factory=servers.process,
        encoding=None,
        backlog=4096,
        login_timeout=0,
    )
    host_key = key.export_public_key().decode().strip()
    print(json.dumps({"port": listener.get_port(), "host_key": host_key}), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(dataclasses.asdict(servers.seen)), flush=True)
        servers.seen = Seen()
    listener.close()


if __name__ == "__main__":
    asyncio.run(main())
