"""Cleanup after killed demos and tests: finds their leftovers without any record, and removes them."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gantry.local import errors
from gantry.local.cloud import control, docker_engine, state
from gantry.local.demo import airflow_process, postgresql

_OURS = re.compile(r"demo(-.+)?|(airflow|agent|servers|test|crash|newcomer)-[0-9]+")
"""Names of the clouds of the project's own demo and tests. Clouds with other names belong to users."""

_OF_A_TEST = re.compile(r"newcomer-(?P<pid>[0-9]+)")
"""Names of background demos that live as long as the test that started them."""

_TESTS = str(Path(tempfile.gettempdir()) / "gantry-airflow-")
"""Prefix of the folder of a test run with an Airflow."""

_SESSION, _PARENT = 3, 1  # of /proc/PID/stat, counted from the field after the name


class AlreadyRunningError(errors.LocalCloudError):
    """Two demos have the same name."""

    def __init__(self, name: str, otherwise: str) -> None:
        self.name = name
        super().__init__(f"the demo {name!r} is running already; interrupt it (Ctrl-C) first{otherwise}")


class NotRemovedError(errors.LocalCloudError):
    """Something could not be removed."""

    def __init__(self, name: str, left: list[str]) -> None:
        self.name = name
        self.left = left
        super().__init__(f"the demo {name!r} left behind: {', '.join(left)}")


def folder(name: str) -> Path:
    """Return the folder of a demo. Always the same, so that the next run finds the leftovers of the last."""
    return state.directory(name) / "stage"


def record(name: str) -> Path:
    """Return the record that marks a background demo, which is not a leftover."""
    return state.directory(name) / "standing.json"


def airflow_home(name: str) -> Path:
    """Return the home of a demo's Airflow."""
    return folder(name) / "airflow"


@contextlib.contextmanager
def only_one(name: str, otherwise: str = ", or use --name") -> Iterator[None]:
    """Lock the demo's name. The kernel releases the lock with the process, however that ends.

    Args:
        name: the demo's name.
        otherwise: what the message has at its end, where the name cannot be chosen.

    Raises:
        AlreadyRunningError: another process holds it.
    """
    directory = state.directory(name)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunningError(name, otherwise) from error
        yield


def remove(name: str) -> list[str]:
    """End and remove everything of a demo, if anything exists.

    Returns:
        What existed.
    """
    found = end_airflow(airflow_home(name))
    found += control.down(name)
    # A task that was being killed may still write its log.
    shutil.rmtree(folder(name), ignore_errors=True)
    for file in (record(name), state.directory(name) / "server.log"):
        file.unlink(missing_ok=True)
    return found


def left(name: str) -> list[str]:
    """Return what of a demo exists now: processes, containers, networks, files."""
    return [
        *(f"Airflow's session {leader}" for leader in _sessions(airflow_home(name))),
        *control.leftovers(name),
        *(str(path) for path in [folder(name)] if path.exists()),
    ]


def remove_abandoned() -> list[str]:
    """Remove leftovers of demos and tests whose own process is gone (`make clean`). Background demos stay.

    Works without a Docker Engine too: then only processes can be left.
    """
    found = [line for home in sorted(_abandoned_homes()) for line in end_airflow(home)]
    found += end_abandoned_databases()
    try:
        client = docker_engine.connect()
    except errors.EngineUnreachableError:
        return found
    with contextlib.closing(client):
        containers = client.containers.list(
            all=True, filters={"label": docker_engine.LABEL}, ignore_removed=True
        )
        networks = client.networks.list(filters={"label": docker_engine.LABEL})
        names = {
            *(str(each.labels[docker_engine.LABEL]) for each in containers),
            *(str(each.attrs["Labels"][docker_engine.LABEL]) for each in networks),
            *_served(),
        }
    for name in sorted(names):
        if (
            _OURS.fullmatch(name)
            and not _stands(name)
            and not any(_has_owner(pid) for pid in control.processes(name))
        ):
            found += remove(name)
    return found


def end_airflow(home: Path) -> list[str]:
    """End all parts and tasks of the Airflow of that home, regardless of who started it."""
    sessions = _sessions(home)
    for leader in sessions:
        airflow_process.stop(airflow_process.AirflowProcess(home, "", "", leader))
    return [f"Airflow of {home} (process {leader})" for leader in sessions]


def _sessions(home: Path) -> list[int]:
    """Return the sessions of processes with this AIRFLOW_HOME.

    Airflow's parts overwrite their environment when they rename themselves; their parent does not.
    """
    wanted = f"AIRFLOW_HOME={home}".encode()
    return sorted({each.session for each in _processes() if wanted in each.environment})


def end_abandoned_databases() -> list[str]:
    """End the PostgreSQL servers of tests whose own process is gone."""
    found = []
    for each in _processes():
        data = postgresql.data_of(each.arguments)
        if data is not None and str(data).startswith(_TESTS) and not _has_owner(each.pid):
            postgresql.stop(data.parent)
            found.append(f"PostgreSQL of {data.parent}")
    return found


def _abandoned_homes() -> set[Path]:
    """Return the homes of Airflows of demos and tests whose own process is gone."""
    prefix = b"AIRFLOW_HOME="
    ours = (str(state.default_state_dir()), _TESTS)
    found = {
        home
        for each in _processes()
        if each.pid == each.session and not _has_owner(each.pid)
        for variable in each.environment
        if variable.startswith(prefix)
        and (home := variable.removeprefix(prefix).decode(errors="replace")).startswith(ours)
    }
    return {home for home in map(Path, found) if not _stands(home.parents[1].name)}


def _stands(name: str) -> bool:
    """Return whether a demo was started in the background and has not been ended."""
    test = _OF_A_TEST.fullmatch(name)
    return record(name).exists() and (test is None or Path("/proc", test["pid"]).exists())


def _served() -> list[str]:
    """Return the names of the embedded clouds that have a server process."""
    command = (b"-m", b"gantry.local", b"serve", b"--name")
    return [
        each.arguments[5].decode()
        for each in _processes()
        if each.arguments[1:5] == command and len(each.arguments) > len(command) + 1
    ]


@dataclasses.dataclass(frozen=True)
class _Process:
    pid: int
    session: int
    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]


def _processes() -> Iterator[_Process]:
    """Yield the processes of this machine that may be inspected (Linux)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            yield _Process(
                pid=int(entry.name),
                session=int(_stat(entry.name)[_SESSION]),
                arguments=tuple((entry / "cmdline").read_bytes().split(b"\0")),
                environment=tuple((entry / "environ").read_bytes().split(b"\0")),
            )


def _has_owner(pid: int) -> bool:
    """Return whether the parent of this process lives: orphans are adopted by the first process, or by systemd."""
    try:
        parent = _stat(str(pid))[_PARENT]
        return parent != "1" and Path(f"/proc/{parent}/comm").read_text().strip() != "systemd"
    except OSError:
        return False


def _stat(pid: str) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
