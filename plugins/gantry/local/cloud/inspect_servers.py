"""Inspection of the embedded cloud's servers, bypassing every API: journals and processes, by `docker exec`."""

from __future__ import annotations

import collections
import dataclasses
import re
import uuid
from collections.abc import Iterable

from docker.models.containers import Container

from gantry import inventory
from gantry.local import errors
from gantry.local.cloud import docker_engine, state

CHANGING = frozenset(
    {
        "installService", "installDataSource", "configureService", "startService", "stopService",
        "grantDatabaseAccess", "revokeDatabaseAccess", "stopProxy", "runConfigurationManagement-CHEF",
    }
)  # fmt: skip
"""Agent scripts that change something on a server; the others only read. A known node joins its balancer at every
launch (`startProxy`), which changes nothing if the balancer runs. Chef may change anything, and runs again only if a
node's inputs have changed."""

PROGRAMS = frozenset({"mariadbd", "python3", "haproxy"})
"""The example's server programs, by their process names."""

_BEGIN = re.compile(r"^\S+ begin (\S+)")
_STAT = re.compile(r"^(\d+) \((.*)\) (.*)$")
_START_TIME = 19  # field 22 of /proc/PID/stat, counted from the one after the name


_RUN = """
rm -rf -- $2
mkdir -p -m 700 "$1"
sh -c "$3" >"$1/out" 2>"$1/err"
echo $? >"$1/code"
"""
_TELL = """
read -r code <"$1/code"
echo "$code $(wc -c <"$1/out") $(wc -c <"$1/err")"
cat "$1/out" "$1/err"
"""
_TIMES = 10
_done: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
"""Output files of finished commands, by container; the next command there deletes them."""


class LookError(errors.LocalCloudError):
    """A command in a server failed."""

    def __init__(self, server: str, command: str, code: int | None, output: str) -> None:
        self.server = server
        self.code = code
        super().__init__(f"{server}: {command!r} ended with exit code {code}: {output.strip()}")


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """A finished command in a container; `code` is None if the container disappeared meanwhile."""

    code: int | None
    out: str
    err: str


def run(container: Container, command: str) -> CommandResult:
    """Run a shell command as root in a container, and wait for its end.

    Docker 20.10 occasionally loses the entire output of a command, without an error, on a busy machine (about 1 of
    1,600 here). So it is stored in the container until it has been received completely.
    """
    folder, where = f"/run/gantry-looks/{uuid.uuid4().hex}", str(container.id)
    arguments = ["sh", folder, " ".join(_done.pop(where, ())), command]
    try:
        return _run(container, command, arguments)
    finally:
        _done[where].append(folder)


def _run(container: Container, command: str, arguments: list[str]) -> CommandResult:
    ended = container.exec_run(["sh", "-c", f"{_RUN}{_TELL}", *arguments])
    for _ in range(_TIMES):
        output = _bytes(ended.output)
        if ended.exit_code != 0:
            return CommandResult(ended.exit_code, output.decode(), "")
        head, _, rest = output.partition(b"\n")
        numbers = [int(each) for each in head.split()]
        if numbers and len(rest) == numbers[1] + numbers[2]:
            return CommandResult(numbers[0], rest[: numbers[1]].decode(), rest[numbers[1] :].decode())
        ended = container.exec_run(["sh", "-c", _TELL, *arguments])
    raise LookError(str(container.name), command, None, "what it has printed is lost")


def _bytes(output: object) -> bytes:
    # The stubs also allow for streams, which were not requested.
    return output if isinstance(output, bytes) else b""


@dataclasses.dataclass(frozen=True)
class Inside:
    """One server, seen from inside."""

    name: str
    instance_id: str
    container: Container

    def sh(self, command: str) -> str:
        """Return the output of a shell command, run as root. Raises LookError."""
        ended = run(self.container, command)
        if ended.code != 0:
            raise LookError(self.name, command, ended.code, ended.out + ended.err)
        return ended.out

    def scripts(self) -> tuple[str, ...]:
        """Return the changing agent scripts that began here, in order, from the agent's journal."""
        lines = self.sh("cat /enstratus/ws/log/agent.log 2>/dev/null || :").splitlines()
        begun = (found[1] for line in lines if (found := _BEGIN.match(line)))
        return tuple(script for script in begun if script in CHANGING)

    def programs(self) -> frozenset[tuple[str, int, int]]:
        """Return the services' processes: (name, process id, start time in clock ticks since boot)."""
        # A process may end while it is being read.
        lines = self.sh("cat /proc/[0-9]*/stat 2>/dev/null || :").splitlines()
        stats = (found for line in lines if (found := _STAT.match(line)))
        return frozenset(
            (found[2], int(found[1]), int(found[3].split()[_START_TIME]))
            for found in stats
            if found[2] in PROGRAMS
        )


def look(cloud: state.EmbeddedCloud, servers: Iterable[inventory.Server]) -> list[Inside]:
    """Return the servers' containers."""
    client = docker_engine.connect()
    return [
        Inside(each.name, each.instance_id, client.containers.get(f"{cloud.name}-{each.instance_id}"))
        for each in servers
    ]
