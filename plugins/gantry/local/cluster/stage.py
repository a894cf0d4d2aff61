"""Setup of the cluster: network, files of each machine, PostgreSQL, Redis, all parts of Airflow, ready to launch."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from gantry.local import errors, resources
from gantry.local.cloud import state
from gantry.local.cluster import composition, network, supervisor
from gantry.rest import client, login

_ENTER = Path(__file__).with_name("enter.sh")
_SECRETS = resources.ROOT / "docker" / "airflow" / "make-secrets.sh"
_READY_SECONDS = 600.0
_PARTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
USER = "admin"
_PACKAGES = (
    "celery",
    "airflow.providers.celery",
    "airflow.providers.fab",
    "psycopg2",
    "asyncpg",
    "redis",
    "supervisor",
)
_PROGRAMS = ("redis-server", "psql", "ip", "iptables", "unshare", "setpriv")
Say = Callable[[str], None]


class ClusterStartError(errors.LocalCloudError):
    """The cluster did not become ready."""


class MissingError(errors.LocalCloudError):
    """The machine or the environment lacks a prerequisite of the cluster."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing = tuple(missing)
        super().__init__(
            f"the cluster needs {', '.join(missing)}. Python packages: pip install 'airflow-provider-gantry[cluster]'; "
            "programs, on Debian as root: apt-get install redis-server postgresql iproute2 iptables. "
            "In a checkout `make demo CLUSTER=1` brings both"
        )


def require() -> None:
    """Raise MissingError unless all prerequisites of a cluster are installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    missing += [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        raise MissingError(missing)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        folder: its folder: `machines/NAME` has the files of each machine.
        roles: the roles of its machines.
    """

    folder: Path
    roles: tuple[composition.Role, ...]
    network: network.ClusterNetwork
    supervisor: supervisor.Supervisor
    password: str = dataclasses.field(repr=False)

    @property
    def url(self) -> str:
        """Return the URL of the UI and the API, from this machine."""
        return f"http://{self.network.addresses[composition.API]}:8080"

    def api(self) -> client.AirflowApi:
        """Return its REST API, as the user `admin`."""
        return client.AirflowApi(login.AirflowLogin(self.url, username=USER, password=self.password))

    def machine(self, name: str) -> Path:
        """Return the folder of one machine's files."""
        return self.folder / "machines" / name

    def command(self, name: str, *words: str) -> list[str]:
        """Return a command that runs on a machine."""
        return [*self.network.within(name), "sh", str(_ENTER), name, str(self.machine(name)), *words]

    def put(self, path: str, content: str) -> None:
        """Write a file below `/opt/airflow` on every Airflow machine, like a rollout of DAG files."""
        for role in self.roles:
            if role.is_airflow:
                target = self.machine(role.name) / "airflow" / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content)


@dataclasses.dataclass(frozen=True)
class TaskPlace:
    """The machines of one try of a task.

    Attributes:
        worker: the machine that ran its process.
        triggerer: the machine that followed it afterwards, if any.
    """

    task: str
    map_index: int
    state: str
    tries: int
    worker: str
    triggerer: str


def start(
    name: str,
    connections: Mapping[str, Any],
    sources: Path,
    say: Say,
    more: Mapping[str, str] | None = None,
) -> Cluster:
    """Start a cluster, and wait until all its parts are healthy.

    Args:
        name: the name of its folder.
        connections: Airflow's connections, by name.
        sources: a folder with `dags/` and `include/`, copied to each machine.
        say: called with what was done, and how long it took.
        more: settings that differ from those of the compose file.

    Raises:
        MissingError: a prerequisite is not installed.
        ClusterStartError: a part of it does not become ready.
    """
    require()
    remove(name)
    folder = state.directory(name) / "cluster"
    roles = tuple(composition.read())
    first = {role.service: role.name for role in reversed(roles)}
    net = network.make(
        {
            role.name: [role.service] if first[role.service] == role.name != role.service else []
            for role in roles
        }
    )
    secrets = folder / "secrets"
    subprocess.run(["sh", str(_SECRETS), str(secrets)], check=True)  # noqa: S603, S607 - our own script
    (secrets / "connections.json").write_text(json.dumps(dict(connections)))
    for role in roles:
        _furnish(folder / "machines" / role.name, role, secrets, sources, more or {})
    draft = Cluster(folder, roles, net, supervisor.Supervisor(folder / "supervisor"), "")
    programs = {
        role.name: draft.command(role.name, *role.command)
        for role in roles
        if role.service != composition.PREPARE
    }
    cluster = dataclasses.replace(
        draft,
        supervisor=supervisor.start(folder / "supervisor", programs),
        password=(secrets / "admin_password").read_text().strip(),
    )
    began = time.monotonic()
    cluster.supervisor.do("start", composition.DATABASE, composition.BROKER)
    _prepare(cluster)
    say(f"{time.monotonic() - began:5.1f} s  PostgreSQL, Redis, Airflow's tables")
    began = time.monotonic()
    cluster.supervisor.do(
        "start", *(each for each in programs if each not in (composition.DATABASE, composition.BROKER))
    )
    _await_health(cluster)
    say(f"{time.monotonic() - began:5.1f} s  Airflow on {len(roles) - 3} machines: {cluster.url}")
    return cluster


def remove(name: str) -> None:
    """Remove a cluster with its network and files, if it exists."""
    folder = state.directory(name) / "cluster"
    if folder.exists():
        supervisor.Supervisor(folder / "supervisor").end()
    network.remove()
    shutil.rmtree(folder, ignore_errors=True)


def left(name: str) -> list[str]:
    """What of a cluster exists now: processes, machines of its network, files."""
    folder = state.directory(name) / "cluster"
    return [
        *(f"supervisord {pid}" for pid in [supervisor.Supervisor(folder / "supervisor").own_pid()] if pid),
        *network.left(),
        *(str(path) for path in [folder] if path.exists()),
    ]


def places(cluster: Cluster, dag: str, run: str) -> Iterator[TaskPlace]:
    """Yield where each step of a run ran, according to Airflow."""
    for found in cluster.api().call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances?limit=1000")[
        "task_instances"
    ]:
        job = found.get("triggerer_job") or {}
        yield TaskPlace(
            task=found["task_id"],
            map_index=found["map_index"],
            state=found["state"] or "",
            tries=found["try_number"],
            worker=cluster.network.name_of(found["hostname"] or ""),
            triggerer=cluster.network.name_of(job.get("hostname") or ""),
        )


def _furnish(
    machine: Path, role: composition.Role, secrets: Path, sources: Path, more: Mapping[str, str]
) -> None:
    """Create the files of a machine: only its own secrets, its settings, its DAG files."""
    home = machine / "airflow"
    home.mkdir(parents=True)
    (machine / "secrets").mkdir(mode=0o700)
    for name in role.secrets:
        shutil.copy(secrets / name, machine / "secrets" / name)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": "/opt/airflow",
        "LC_ALL": "C.UTF-8",
        "AIRFLOW_HOME": "/opt/airflow",
        **role.environment,
        **(more if role.is_airflow else {}),
    }
    lines = ["unset " + " ".join(_foreign())] if _foreign() else []
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    (machine / "environment.sh").write_text("\n".join(lines) + "\n")
    if role.is_airflow:
        for part in ("dags", "include"):
            shutil.copytree(sources / part, home / part, ignore=shutil.ignore_patterns("__pycache__"))


def _foreign() -> list[str]:
    """Return the caller's variables that no machine may have: those of another Airflow, or another cloud."""
    return [
        name
        for name in os.environ
        if name.startswith(("AIRFLOW", "AWS_", "GANTRY_", "PYTHONDONTWRITE")) and name.isidentifier()
    ]


def _prepare(cluster: Cluster) -> None:
    """Create Airflow's tables and the first user, like the service `prepare`, once PostgreSQL answers."""
    role = next(role for role in cluster.roles if role.service == composition.PREPARE)
    deadline = time.monotonic() + _READY_SECONDS
    log_file = cluster.folder / "prepare.log"
    while True:
        with log_file.open("wb") as log:
            done = subprocess.run(  # noqa: S603 - our own script
                cluster.command(role.name, *role.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=False,
            )
        if done.returncode == 0:
            return
        said = log_file.read_text(errors="replace")
        if "OperationalError" not in said or time.monotonic() > deadline:
            tail = "\n".join(said.splitlines()[-15:])
            raise ClusterStartError(f"Airflow's tables could not be made; the end of {log_file}:\n{tail}")
        time.sleep(0.5)


def _await_health(cluster: Cluster) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not _is_healthy(cluster.url):
        if time.monotonic() > deadline:
            raise ClusterStartError(
                f"not ready within {_READY_SECONDS:g} s; see the logs in {cluster.supervisor.folder}:\n"
                + cluster.supervisor.do("status")
            )
        time.sleep(0.5)


def _is_healthy(url: str) -> bool:
    try:
        # The API for tasks is built at its first request, for seconds: here, not in the first task.
        httpx.get(f"{url}/execution/health", timeout=30).raise_for_status()
        parts = httpx.get(f"{url}/api/v2/monitor/health", timeout=5).raise_for_status().json()
    except httpx.HTTPError:
        return False
    return all((parts.get(part) or {}).get("status") == "healthy" for part in _PARTS)
