"""Commands in the containers that stand for servers, as `docker exec` runs them, for a tenth of what it costs.

Docker makes a container's process of a command: 80 ms of a processor, and there are thousands of them in a run of all
tests. Here it is one that enters the container's namespaces, with the container's capabilities. It is not in the
container's control group: what it works is not counted as the container's work.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
import tempfile
from pathlib import Path

from docker.models.containers import Container

from gantry.local.cloud import inspect_servers

_CAPABILITIES = re.compile(r"^CapBnd:\s*([0-9a-f]+)$", re.MULTILINE)
_KILLED = 128
"""A shell adds the number of the signal."""


@dataclasses.dataclass(frozen=True)
class _Way:
    """The way into a container."""

    command: tuple[str, ...]
    environment: dict[str, str]


def run(container: Container, command: str) -> inspect_servers.CommandResult:
    """Run a shell command as root in a container, and wait for its end, but for nothing that it leaves behind."""
    way = _way(container)
    if way is None:
        # It does not run, or not on this machine: the answer is Docker's.
        return inspect_servers.run(container, command)
    # Files, as who waits for the end of a pipe waits for all that have it.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        ended = subprocess.run(
            [*way.command, "sh", "-c", command],
            env=way.environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            check=False,
        )
        code = ended.returncode if ended.returncode >= 0 else _KILLED - ended.returncode
        return inspect_servers.CommandResult(code, _text(out.fileno()), _text(err.fileno()))


def _text(descriptor: int) -> str:
    # As it is: `read_text` would make line ends of HTTP Unix's.
    return Path(f"/proc/self/fd/{descriptor}").read_bytes().decode()


def _way(container: Container) -> _Way | None:
    """The way into a container that runs, which is another one after each start of it."""
    if not _is_in(container, int(container.attrs["State"]["Pid"])):
        container.reload()
        if not _is_in(container, int(container.attrs["State"]["Pid"])):
            return None
    return _to(
        int(container.attrs["State"]["Pid"]),
        str(container.attrs["Config"]["Hostname"]),
        tuple(container.attrs["Config"]["Env"] or ()),
    )


def _is_in(container: Container, pid: int) -> bool:
    """Whether a process of this machine is one of a container's, and has not had its number after another one."""
    try:
        return pid > 0 and str(container.id) in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


@functools.lru_cache(maxsize=256)
def _to(pid: int, hostname: str, environment: tuple[str, ...]) -> _Way:
    found = _CAPABILITIES.search(Path(f"/proc/{pid}/status").read_text())
    assert found, "no capabilities"
    held = int(found[1], 16)
    kept = ",".join(f"+cap_{each}" for each in range(held.bit_length()) if held >> each & 1)
    return _Way(
        ("/usr/bin/nsenter", "--target", str(pid), "--all", "setpriv", "--bounding-set", f"-all,{kept}"),
        {"HOME": "/root", "HOSTNAME": hostname, **dict(each.split("=", 1) for each in environment)},
    )
