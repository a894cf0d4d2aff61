"""Start, stop and inspect embedded clouds from another process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from gantry.local import errors
from gantry.local.cloud import behavior, docker_engine, regions, server, state

_READY_SECONDS = 180.0
_END_SECONDS = 30.0
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_DOCKERD_PID = Path("/run/gantry-dockerd.pid")  # written by docker/setup-machine.sh


def up(
    name: str = state.DEFAULT_NAME,
    state_dir: Path | None = None,
    *,
    region: str = server.DEFAULT_REGION,
    image: str = server.DEFAULT_IMAGE,
    wanted: behavior.Manners = behavior.BRISK,
) -> state.EmbeddedCloud:
    """Start an embedded cloud, or find the running one; leftovers of a crashed one are removed first.

    Args:
        name: Lower-case letters, digits and hyphens; clouds with different names run side by side.
        state_dir: Where `NAME/state.json` goes (default: `$GANTRY_LOCAL_STATE` or /tmp/gantry-local).
        region: The region that the endpoint stands for.
        image: Docker image that the instances boot from.
        wanted: How much like EC2 it behaves. Also applied to one that is already running.

    Raises:
        UnknownRegionError: The region does not exist.
        LocalCloudError: It cannot run, or did not become ready within 60 s.
    """
    if not _NAME.fullmatch(name):
        raise errors.LocalCloudError(
            f"{name!r} is not a valid name for an embedded cloud: use a-z, 0-9 and hyphens"
        )
    regions.require(region)
    state_dir = state_dir or state.default_state_dir()
    directory = state.directory(name, state_dir)
    if processes(name):
        with contextlib.suppress(errors.CloudNotRunningError):
            running = state.load(name, state_dir)
            if running.pid in processes(name):
                behavior.save(directory, wanted)
                return running
    # Reported here, rather than at the end of a log file.
    client = docker_engine.connect()
    docker_engine.require_image(client, image)
    down(name, state_dir)

    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_file = directory / "server.log"
    command = [*_serve_command(name), "--state-dir", str(state_dir), "--region", region, "--image", image]
    command += ["--manners", behavior.text(wanted)]
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 (our own module)
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    return _await_ready(process, name, state_dir, log_file)


def down(name: str = state.DEFAULT_NAME, state_dir: Path | None = None) -> list[str]:
    """End an embedded cloud and remove all of it; also if there is nothing, or only leftovers.

    Returns:
        What existed, as `leftovers` returns it.
    """
    found = leftovers(name)
    _end(processes(name))
    with contextlib.closing(docker_engine.connect()) as client:
        docker_engine.remove_all(client, name)
    state.forget(name, state_dir)
    return found


def end_processes(name: str = state.DEFAULT_NAME) -> list[str]:
    """End the processes of an embedded cloud, if there is no Docker Engine that could have more of it."""
    found = processes(name)
    _end(found)
    return [f"process {pid}" for pid in found]


def leftovers(name: str = state.DEFAULT_NAME) -> list[str]:
    """Return processes, containers and networks of the embedded cloud that exist now (none after `down`)."""
    with contextlib.closing(docker_engine.connect()) as client:
        return [
            *(f"process {pid}" for pid in processes(name)),
            *(f"container {container.name}" for container in docker_engine.containers(client, name)),
            *(f"network {network.name}" for network in docker_engine.networks(client, name)),
        ]


def stop_engine() -> bool:
    """End the Docker Engine if docker/setup-machine.sh started it.

    Returns:
        Whether there was one to end.
    """
    try:
        pid = int(_DOCKERD_PID.read_text())
        is_ours = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"dockerd")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    if is_ours:
        _end([pid])
    _DOCKERD_PID.unlink()
    return is_ours


def processes(name: str) -> list[int]:
    """Return server processes of the embedded cloud, found by their command line (Linux)."""
    wanted = [argument.encode() for argument in _serve_command(name)[1:]]
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            # A zombie has no command line.
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if arguments[1 : 1 + len(wanted)] == wanted:
                found.append(int(entry.name))
    return sorted(found)


def _serve_command(name: str) -> list[str]:
    return [sys.executable, "-m", "gantry.local", "serve", "--name", name]


def _await_ready(
    process: subprocess.Popen[bytes], name: str, state_dir: Path, log_file: Path
) -> state.EmbeddedCloud:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(errors.CloudNotRunningError):
            # The state file is written when the endpoint answers.
            return state.load(name, state_dir)
        time.sleep(0.05)
    _end([process.pid])
    raise errors.CloudStartError(name, log_file, server.read_log_tail(log_file))


def _end(pids: list[int]) -> None:
    """Send TERM, and KILL to processes that do not end within 30 s."""
    _signal(pids, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal([pid for pid in pids if _is_alive(pid)], signal.SIGKILL)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_alive(pid: int) -> bool:
    """Return whether the process runs; a zombie (a child of ours without a wait) does not."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return fields[0] not in {"Z", "X"}
