"""A look into the embedded cloud's servers, past every API: journals and processes, by `docker exec`."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from docker.models.containers import Container

from gantry import inventory
from gantry.local import engine, errors, state

CHANGING = frozenset(
    {
        "installService", "installDataSource", "configureService", "startService", "stopService",
        "grantDatabaseAccess", "revokeDatabaseAccess", "stopProxy", "runConfigurationManagement-CHEF",
    }
)  # fmt: skip
"""Agent scripts that change something on a server; the others only look. A known node joins its balancer at
every launch (`startProxy`), which changes nothing where the balancer runs. Chef may change anything, and runs again
only where what a node is told has changed."""

PROGRAMS = frozenset({"mariadbd", "python3", "haproxy"})
"""What runs on the example's servers, by the kernel's name for it."""

_BEGIN = re.compile(r"^\S+ begin (\S+)")
_STAT = re.compile(r"^(\d+) \((.*)\) (.*)$")
_START_TIME = 19  # field 22 of /proc/PID/stat, counted from the one after the name


class LookError(errors.LocalCloudError):
    """A command inside a server failed."""

    def __init__(self, server: str, command: str, code: int | None, output: str) -> None:
        self.server = server
        self.code = code
        super().__init__(f"{server}: {command!r} ended with exit code {code}: {output.strip()}")


@dataclasses.dataclass(frozen=True)
class Inside:
    """One server from its inside."""

    name: str
    instance_id: str
    container: Container

    def sh(self, command: str) -> str:
        """What a shell command prints, run as root. Raises LookError."""
        ended = self.container.exec_run(["sh", "-c", command])
        # Bytes, as nothing was asked to be streamed.
        text = b"".join([ended.output] if isinstance(ended.output, bytes) else ended.output).decode()
        if ended.exit_code != 0:
            raise LookError(self.name, command, ended.exit_code, text)
        return text

    def scripts(self) -> tuple[str, ...]:
        """The changing agent scripts that began here, in their order, as the agent's journal has them."""
        lines = self.sh("cat /enstratus/ws/log/agent.log 2>/dev/null || :").splitlines()
        begun = (found[1] for line in lines if (found := _BEGIN.match(line)))
        return tuple(script for script in begun if script in CHANGING)

    def programs(self) -> frozenset[tuple[str, int, int]]:
        """The services' processes: (name, process id, start time in clock ticks since boot)."""
        # A process may end while it is being read.
        lines = self.sh("cat /proc/[0-9]*/stat 2>/dev/null || :").splitlines()
        stats = (found for line in lines if (found := _STAT.match(line)))
        return frozenset(
            (found[2], int(found[1]), int(found[3].split()[_START_TIME]))
            for found in stats
            if found[2] in PROGRAMS
        )


def look(cloud: state.EmbeddedCloud, servers: Iterable[inventory.Server]) -> list[Inside]:
    """The containers that the servers are."""
    client = engine.connect()
    return [
        Inside(each.name, each.instance_id, client.containers.get(f"{cloud.name}-{each.instance_id}"))
        for each in servers
    ]
