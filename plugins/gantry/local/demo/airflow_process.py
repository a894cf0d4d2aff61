"""A real Airflow on this machine for the demo and the tests: `airflow standalone` with settings for speed."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from gantry.local import errors
from gantry.local.demo import ports
from gantry.rest import client, login

_READY_SECONDS = 600.0
_END_SECONDS = 8.0
"""Seconds between increasingly forceful signals. Nothing in this Airflow outlives it."""
_USER = "admin"


class AirflowStartError(errors.LocalCloudError):
    """Airflow did not become ready."""

    def __init__(self, log_file: Path, why: str) -> None:
        self.log_file = log_file
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-30:])
        super().__init__(f"Airflow did not start: {why}. The end of {log_file}:\n{tail}")


class AirflowLostError(errors.LocalCloudError):
    """Airflow stopped answering."""

    def __init__(self, airflow: AirflowProcess, reason: str) -> None:
        self.reason = reason
        log_file = airflow.home / "standalone.log"
        tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-15:])
        super().__init__(f"Airflow does not answer any more: {reason}. The end of {log_file}:\n{tail}")


@dataclasses.dataclass(frozen=True)
class AirflowProcess:
    """A running Airflow.

    Attributes:
        url: the URL of the UI and the REST API.
        password: the password of the user `admin`.
        pid: `airflow standalone`, the leader of the process group that all parts are in.
    """

    home: Path
    url: str
    password: str = dataclasses.field(repr=False)
    pid: int
    user: str = _USER

    def api(self) -> client.AirflowApi:
        """Return its REST API, as the user `admin`."""
        return client.AirflowApi(login.AirflowLogin(self.url, username=self.user, password=self.password))

    def parts(self) -> dict[str, list[int]]:
        """Return the process ids of Airflow's parts (`scheduler`, `triggerer`, …), found by their command lines."""
        found: dict[str, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            with contextlib.suppress(OSError):
                if os.getpgid(int(entry.name)) != self.pid:
                    continue
                words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                part = next(
                    (each for each in _PARTS if f"airflow {each}" in words or f"bin/{each}" in words), ""
                )
                found.setdefault(part, []).append(int(entry.name))
        return found


_PARTS = ("scheduler", "dag-processor", "api-server", "triggerer")


def start(
    home: Path,
    dags: Path,
    environment: Mapping[str, str],
    port: int | None = None,
    *,
    preferred_port: int | None = None,
) -> AirflowProcess:
    """Start Airflow and wait until all its parts are healthy.

    Args:
        home: the folder of its database and logs; created if it does not exist.
        dags: the DAGs folder.
        environment: additional environment variables, such as connections.
        port: the port of the UI and the API; by default a free one.
        preferred_port: used if it is free and no `port` is given.

    Raises:
        AirflowStartError: it did not become ready within ten minutes, or another one answers in its place.
        PortTakenError: `port` is taken.
    """
    with ports.claimed(port, preferred=preferred_port) as claimed:
        return _start(home, dags, environment, claimed)


def _start(home: Path, dags: Path, environment: Mapping[str, str], port: int) -> AirflowProcess:
    home.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    password = secrets.token_urlsafe(12)
    passwords = home / "passwords.json"
    with os.fdopen(os.open(passwords, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
        json.dump({_USER: password}, stream)
    log_file = home / "standalone.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [str(Path(sys.executable).with_name("airflow")), "standalone"],
            env={**_environment(home, dags, port, passwords), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_SECONDS
    with httpx.Client() as client:
        while not _is_healthy(client, url):
            if process.poll() is not None:
                raise AirflowStartError(log_file, f"it ended with exit code {process.returncode}")
            if time.monotonic() > deadline:
                stop(AirflowProcess(home, url, password, process.pid))
                raise AirflowStartError(log_file, f"not ready within {_READY_SECONDS:g} s")
            time.sleep(0.2)
        started = AirflowProcess(home, url, password, process.pid)
        if not _knows(client, url, password):
            stop(started)
            raise AirflowStartError(log_file, f"another Airflow has taken {url} meanwhile")
    return started


def stop(airflow: AirflowProcess) -> None:
    """End Airflow with all its parts and the tasks they run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(airflow.pid, number)
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(airflow.pid, os.WNOHANG)
            if not _group_lives(airflow.pid):
                return
            time.sleep(0.1)


def _environment(home: Path, dags: Path, port: int, passwords: Path) -> dict[str, str]:
    """Return Airflow's settings, without any of the caller's own Airflow or AWS settings."""
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "AWS_")) or name == "AIRFLOW_DISABLE_GREENBACK_PORTAL"
    }
    return {
        **own,
        "PATH": f"{Path(sys.executable).parent}:{own.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(home / "no-plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{_USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__CORE__PARALLELISM": "8",
        # An import error then begins with the definition's file:line:column.
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACKS": "False",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
        # A definition is read again when a task starts; parsing every file every few seconds would waste CPU.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
        # The default second between two scheduler loops makes up most of the duration of a chain of short tasks.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__SCHEDULER__ENABLE_TRACEMALLOC": "False",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        # Each task masks the lines of keys; one by one, they would cost more CPU time than the rest of a short task.
        "AIRFLOW__LOGGING__SECRET_MASK_ADAPTER": "gantry.credentials.key_masks.of",
        # Task logs are read through this; the machine's own name may not resolve.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "airflow.utils.net.get_host_ip_address",
    }


def _is_healthy(client: httpx.Client, url: str) -> bool:
    try:
        # The API for tasks is built at its first request, for seconds: here, not in the first task.
        client.get(f"{url}/execution/health", timeout=30).raise_for_status()
        answer = client.get(f"{url}/api/v2/monitor/health", timeout=5)
    except httpx.HTTPError:
        return False
    if answer.status_code != httpx.codes.OK:
        return False
    parts = answer.json()
    return all(
        (parts.get(part) or {}).get("status") == "healthy"
        for part in ("metadatabase", "scheduler", "triggerer", "dag_processor")
    )


def _knows(client: httpx.Client, url: str, password: str) -> bool:
    """Return whether the Airflow that answers has this password, which was made for the one just started."""
    answer = client.post(f"{url}/auth/token", json={"username": _USER, "password": password}, timeout=30)
    return answer.status_code == httpx.codes.CREATED


def _group_lives(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True
