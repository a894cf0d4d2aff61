"""Background demo: started by `gantry demo up`, ended by `gantry demo down`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import httpx
import pydantic

from gantry import names
from gantry.local import errors
from gantry.local.cloud import behavior, control, docker_engine, regions, server, state
from gantry.local.demo import airflow_process, cleanup, connections, example, machine, project
from gantry.local.demo import environment as stage
from gantry.rest import client, profiles

Say = Callable[[str], None]
_PARSED_SECONDS = 60.0
_SETTINGS = {
    # A changed definition should be visible in the graph soon.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
    # It is idle most of the time: with 0.1, the scheduler alone takes twice as much CPU time then.
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
}


class OtherProjectError(errors.LocalCloudError):
    """The demo belongs to another project."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        super().__init__(
            f"the demo {name!r} runs for {root}: end it with `gantry demo down`, or start another with --name"
        )


class StandingError(errors.LocalCloudError):
    """A demo of that name is running in the background."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        super().__init__(
            f"the demo {name!r} runs in the background, for {root}: end it with `gantry demo down`, or use --name"
        )


@dataclasses.dataclass(frozen=True)
class DemoState:
    """A background demo.

    Attributes:
        root: its project.
        pid: the process id of Airflow's session.
    """

    name: str
    root: Path
    url: str
    user: str
    password: str = dataclasses.field(repr=False)
    pid: int

    @property
    def airflow(self) -> airflow_process.AirflowProcess:
        """Return its Airflow."""
        return airflow_process.AirflowProcess(
            cleanup.airflow_home(self.name), self.url, self.password, self.pid, self.user
        )


@dataclasses.dataclass(frozen=True)
class Begun:
    """The result of `up`.

    Attributes:
        profile: the profile file through which other commands find it.
    """

    standing: DemoState
    project: project.Project
    profile: Path


_FORMAT = pydantic.TypeAdapter(DemoState)


def find(name: str) -> DemoState | None:
    """Return the demo of that name, if one was started and not ended. Parts of it may be gone meanwhile."""
    try:
        return _FORMAT.validate_json(cleanup.record(name).read_bytes())
    except FileNotFoundError:
        return None


def refuse(name: str) -> None:
    """Raise StandingError if a demo of that name is running."""
    found = find(name)
    if found is not None:
        raise StandingError(name, found.root)


def up(
    name: str,
    root: Path,
    say: Say,
    *,
    port: int | None = None,
    bookshop: bool = False,
    wanted: behavior.Manners = behavior.BRISK,
    region: str | None = None,
) -> Begun:
    """Start a demo for a project, or update a running one. It outlives this process.

    Args:
        name: the name of the demo, its cloud and its profile.
        root: an Airflow project with `dags/`.
        say: called with what was done, and how long it took.
        port: Airflow's port; by default 8080, or another one if that is taken.
        bookshop: whether to add the example. A project without definitions always gets it.
        wanted: how much like EC2 the cloud behaves from now on.
        region: the region of the embedded cloud, and of an example that is added; by default the definitions'.

    Raises:
        LocalCloudError: something is missing, or does not start; then all of it is removed.
    """
    machine.require_libraries()
    if region is not None:
        regions.require(region)
    with cleanup.only_one(name):
        former = find(name)
        if former is not None and former.root != root:
            raise OtherProjectError(name, former.root)
        if bookshop:
            (root / "dags").mkdir(exist_ok=True)
        found = project.look(root)
        if bookshop or not found.files:
            project.add_bookshop(root, say, region)
            found, bookshop = project.look(root), True
        for problem in found.broken:
            say(f"left out, as it cannot be read: {problem}")
        start = functools.partial(control.up, name, region=_region(found, region, say), wanted=wanted)
        try:
            return _begin(name, found, former, say, port=port, bookshop=bookshop, start=start)
        except BaseException:
            if former is None:
                say("that did not work; taking away what had been begun")
                _end(name)
            raise


def down(name: str, say: Say) -> list[str]:
    """End a demo and remove all of it; also if there is nothing, or only leftovers.

    Returns:
        What existed.

    Raises:
        NotRemovedError: something could not be removed.
    """
    machine.require_libraries()
    with cleanup.only_one(name):
        return _end(name, say)


def _begin(
    name: str,
    found: project.Project,
    former: DemoState | None,
    say: Say,
    *,
    port: int | None,
    bookshop: bool,
    start: Callable[[], state.EmbeddedCloud],
) -> Begun:
    clock = stage.Clock(say)
    _prepare_machine(name, say)
    clock.took("machine: ready")
    if former is None or not control.processes(name):
        former = None
        for thing in cleanup.remove(name):
            say(f"removed what an earlier demo left: {thing}")
    cloud = start()
    clock.took(
        f"embedded cloud: EC2 and S3 of {cloud.region} answer on {cloud.endpoint_url}, Chef on {cloud.chef_server_url}"
    )
    folder = cleanup.folder(name)
    if bookshop:
        example.upload(cloud, found.root / "include", folder / "example")
        clock.took("bookshop: archives, dump and cookbooks uploaded")
    made, new = _connections(cloud, found, folder)
    for each in made.left:
        say(f"connection {each.name} ({each.kind.value}) is left to you: only you know what belongs in it")
    if former is not None and answers(former):
        airflow = former.airflow
        _add(airflow.api(), new)
    else:
        cleanup.end_airflow(cleanup.airflow_home(name))
        airflow = stage.start_airflow(name, found.dags, {**made.environment, **_SETTINGS}, port)
    standing = DemoState(name, found.root, airflow.url, airflow.user, airflow.password, airflow.pid)
    _keep(cleanup.record(name), _FORMAT.dump_json(standing))
    clock.took(f"Airflow: {airflow.url}, with the connections {', '.join(sorted(made.connections))}")
    profile = _profile(standing, made.environment)
    for line in _parsed(airflow.api(), found):
        say(line)
    clock.took(f"DAGs of {', '.join(found.deployments) or 'no deployment yet'}: looked at")
    return Begun(standing, found, profile)


def answers(standing: DemoState) -> bool:
    """Return whether its Airflow answers."""
    if not standing.airflow.parts():
        return False
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{standing.url}/api/v2/monitor/health", timeout=30).is_success
    return False


def _prepare_machine(name: str, say: Say) -> None:
    ran = machine.engine_runs()
    machine.prepare(say)
    if not ran:
        # Recorded before anything else is started: ending the demo also ends the engine.
        marker = _engine_marker(name)
        marker.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker.touch()


def _region(found: project.Project, wanted: str | None, say: Say) -> str:
    chosen = wanted or next(iter(found.regions), server.DEFAULT_REGION)
    others = [each for each in found.regions if each != chosen]
    if others:
        say(f"the embedded cloud is {chosen}; deployments in {', '.join(others)} find no images there")
    return chosen


def _connections(
    cloud: state.EmbeddedCloud, found: project.Project, folder: Path
) -> tuple[connections.Made, dict[str, connections.Connection]]:
    """Return all connections of the project, and those that are new."""
    file = folder / "connections.json"
    known: dict[str, connections.Connection] = json.loads(file.read_text()) if file.exists() else {}
    made = connections.make(cloud, found.definitions, connections.private_key(folder / "ssh-key"), known)
    _keep(file, json.dumps(made.connections).encode())
    return made, {name: each for name, each in made.connections.items() if name not in known}


def _add(api: client.AirflowApi, new: Mapping[str, connections.Connection]) -> None:
    """Add connections to a running Airflow."""
    for name, each in new.items():
        extra = json.dumps(each.get("extra", {}))
        api.call("POST", "/connections", json={**each, "connection_id": name, "extra": extra})


def _profile(standing: DemoState, environment: Mapping[str, str]) -> Path:
    file = _environment_file(standing.name)
    profiles.write_environment(file, environment)
    return profiles.write(
        profiles.Profile(
            name=standing.name,
            url=standing.url,
            username=standing.user,
            password=standing.password,
            environment_file=file,
        )
    )


def _parsed(api: client.AirflowApi, found: project.Project) -> Iterator[str]:
    """Wait until Airflow has parsed the project's loaders; yield messages about them.

    A file without DAGs can be distinguished from one that is not parsed yet only by waiting.
    """
    wanted = set(found.deployments)
    deadline = time.monotonic() + _PARSED_SECONDS
    while True:
        dags = {each.id: Path(each.file).name for each in api.dags() if not each.is_stale}
        failed = {Path(each.file).name: each.message for each in api.broken_files()}
        seen = {*dags.values(), *failed}
        waiting = {path for path in found.loaders() if path.name not in seen}
        if wanted <= dags.keys() or not waiting or time.monotonic() > deadline:
            break
        time.sleep(0.3)
    yield from (f"import error: {text.strip()}" for text in failed.values())
    if not failed:
        yield from (f"{name} has a definition, and no DAG in dags/" for name in sorted(wanted - dags.keys()))
    yield from _let_run(api, found, dags.keys())


def _let_run(api: client.AirflowApi, found: project.Project, dags: Collection[str]) -> Iterator[str]:
    """Unpause DAGs without a schedule: a new DAG is paused, and these do not start unexpectedly."""
    scheduled = {each.deployment for each in found.definitions if each.schedule is not None}
    by_clock = {
        *(names.dag_id(each.deployment, names.Operation.SCALE) for each in found.definitions if each.scaling),
        *(names.dag_id(each.deployment, names.Operation.WATCH) for each in found.definitions if each.watch),
    }
    for name in found.deployments:
        for operation in names.Operation:
            dag = names.dag_id(name, operation)
            if dag in dags and dag not in scheduled | by_clock:
                api.unpause(dag)
        if name in dags and name in scheduled:
            yield f"{name} has a schedule, so it stays as it is in Airflow: paused, if it is new"


def _end(name: str, say: Say = lambda _: None) -> list[str]:
    removed = _remove(name, say)
    file = _environment_file(name)
    if any(each.name == name and each.environment_file == file for each in profiles.read().values()):
        profiles.remove(name)
        removed.append(f"profile {name}")
    if _engine_marker(name).exists() and _engine_is_idle() and control.stop_engine():
        removed.append("the Docker Engine, which was started for it")
    # We hold the lock, so nothing is left.
    shutil.rmtree(state.directory(name), ignore_errors=True)
    return removed


def _remove(name: str, say: Say) -> list[str]:
    if not machine.engine_runs():
        # Then it runs no containers; its remaining records are removed at the next `up`.
        if cleanup.folder(name).exists():
            say("no Docker Engine answers; what it remembers of the demo is removed when it is next begun")
        return [*cleanup.end_airflow(cleanup.airflow_home(name)), *control.end_processes(name)]
    found = cleanup.remove(name)
    left = cleanup.left(name)
    if left:
        raise cleanup.NotRemovedError(name, left)
    return found


def _engine_is_idle() -> bool:
    with contextlib.closing(docker_engine.connect()) as client:
        clouds = client.networks.list(filters={"label": docker_engine.LABEL})
        return not clouds and not client.containers.list()


def _engine_marker(name: str) -> Path:
    return state.directory(name) / "engine-started"


def _environment_file(name: str) -> Path:
    return cleanup.folder(name) / "connections.env"


def _keep(file: Path, content: bytes) -> None:
    """Write a file with secrets atomically."""
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
    draft.replace(file)
