"""Whole launches with Airflow beside whole runs of pyinfra: the same service on the same servers, in turns.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/fleet_launch.py --servers 20 --peers .work/peers

The servers are those of an embedded cloud that a launch has started. Then each tool, in each round, rolls out a new
release (redeploy), and the same one again (nothing changed). Gantry's time is that from a run's trigger to its end, as
Airflow has it: all tasks, with the scheduler's time between them. Its control side is all of Airflow and the embedded
cloud. pyinfra's is its whole command. The best of the rounds counts.

Needs the Docker Engine and the servers' image (`make setup`). Exits 1 where a launch fails, or the whole run with
nothing changed takes more than 2.5 times pyinfra's (1.5 times from 100 servers on).
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import os
import pathlib
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence

from benchmarks import fleet, fleet_peers, fleet_servers

from gantry import definition
from gantry.cloud import tags
from gantry.local.cloud import control, docker_engine, state
from gantry.local.demo import airflow_process, cleanup, connections
from gantry.rest import client

NAME = "demo-fleet"
DAG = "fleet"
_BUCKET = "fleet"
_SECONDS = 1800.0
_LIMITS = {20: 2.5, 100: 1.5}
"""How many times as long as pyinfra a whole run with nothing changed may take, by the number of servers."""
_DEFINITION = """\
deployment: fleet
cloud: {{connection: aws_default, region: {region}}}
fan_out: {fan_out}
launch_configurations:
  debian: {{image: gantry-debian-12, size: t3.nano, ssh: {{connection: fleet_ssh}}}}
tiers:
  shop: {{launch_configuration: debian, servers: {count}}}
services:
  shop:
    id: a4200
    tier: shop
    archive: s3://fleet/{archive}
    sha256: {sha256}
    custom: {{greeting: {greeting}}}
"""
_LOADER = """\
from gantry.dag import deployment_dags  # airflow dag

dags = deployment_dags({file!r})
"""


@dataclasses.dataclass
class Deployment:
    """The fleet's definition and its DAG, in a folder."""

    folder: pathlib.Path
    cloud: state.EmbeddedCloud
    count: int
    fan_out: int

    @property
    def dags(self) -> pathlib.Path:
        return self.folder / "dags"

    def release(self, release: fleet_servers.Release, archive: pathlib.Path) -> None:
        """Upload a release, and write a definition that asks for it."""
        self.cloud.client("s3").upload_file(str(archive), _BUCKET, archive.name)
        self.dags.mkdir(exist_ok=True)
        file = self.folder / "fleet.yaml"
        draft = self.folder / "fleet.draft"
        draft.write_text(
            _DEFINITION.format(
                region=self.cloud.region,
                fan_out=self.fan_out,
                count=self.count,
                archive=archive.name,
                sha256=release.sha256,
                greeting=release.greeting,
            )
        )
        draft.replace(file)
        (self.dags / "fleet.py").write_text(_LOADER.format(file=str(file)))


@dataclasses.dataclass
class Launches:
    """Runs of the DAG, with what they use."""

    airflow: airflow_process.AirflowProcess
    api: client.AirflowApi
    cloud: state.EmbeddedCloud
    servers: fleet_servers.Fleet

    def launch(self) -> fleet.Used:
        """Trigger a run and wait for its end. Raises FailedError."""
        servers, control_side = self.servers.cpu(), self._cpu()
        run = self.api.trigger(DAG)
        if self.api.await_run(DAG, run, _SECONDS) != "success":
            failed = [each.task_id for each in self.api.instances(DAG, run) if each.state == "failed"]
            raise fleet.FailedError(f"the launch has failed at {', '.join(failed)}: {self.airflow.home}")
        found = self.api.run(DAG, run)
        began, ended = (datetime.datetime.fromisoformat(str(each)) for each in (found.asked, found.ended))
        return fleet.Used(
            (ended - began).total_seconds(), self.servers.cpu() - servers, self._cpu() - control_side, 0.0
        )

    def _cpu(self) -> float:
        """Seconds of processors that Airflow, its tasks and the embedded cloud have used so far."""
        parts = (pid for pids in self.airflow.parts().values() for pid in pids)
        return sum(map(_cpu_of, {*parts, self.airflow.pid, self.cloud.pid}))


def _cpu_of(pid: int) -> float:
    """Seconds of processors of a process and of those of its children that have ended."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def fleet_of(cloud: state.EmbeddedCloud, key: pathlib.Path, folder: pathlib.Path) -> fleet_servers.Fleet:
    """The running servers of the deployment, as the other tool reaches them."""
    pages = cloud.client("ec2").get_paginator("describe_instances").paginate()
    instances = [
        each
        for page in pages
        for reservation in page["Reservations"]
        for each in reservation["Instances"]
        if each["State"]["Name"] == "running"
    ]
    engine = docker_engine.connect()
    boxes = {
        address: box
        for box in engine.containers.list(filters={"label": docker_engine.LABEL})
        for each in box.attrs["NetworkSettings"]["Networks"].values()
        if (address := each["IPAddress"])
    }
    found = []
    for each in instances:
        known = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
        address = each["PrivateIpAddress"]
        found.append(fleet_servers.Server(known["Name"], address, known[tags.HOST_KEY], boxes[address]))
    hosts = folder / "known_hosts"
    hosts.write_text("".join(f"{each.address} {each.host_key}\n" for each in found))
    gateway = cloud.endpoint_url.partition("://")[2].partition(":")[0]
    return fleet_servers.Fleet(tuple(found), key, hosts, gateway, user=connections.SSH_USER)


@contextlib.contextmanager
def stage(count: int, fan_out: int, project: pathlib.Path) -> Iterator[Deployment]:
    """An embedded cloud, and a folder for definition and DAG. All of it is gone at the end."""
    with cleanup.only_one(NAME):
        cleanup.remove(NAME)
        try:
            cloud = control.up(NAME)
            cloud.make_bucket(_BUCKET)
            project.mkdir()
            yield Deployment(project, cloud, count, fan_out)
        finally:
            cleanup.remove(NAME)


def table(gantry: dict[str, fleet.Used], pyinfra: dict[str, fleet.Used], servers: int) -> list[str]:
    """What was measured, and in brackets as multiples of pyinfra's."""
    heads = ("wall s", "servers' CPU s", "control CPU s")
    lines = [f"{f'{servers} servers, whole runs':38}" + "".join(f"{each:>20}" for each in heads)]
    for what, ours in gantry.items():
        lines.append(what)
        for name, used in ((f"pyinfra {fleet_peers.PYINFRA}", pyinfra[what]), ("Gantry with Airflow", ours)):
            cells = list(zip(dataclasses.astuple(used), used.over(pyinfra[what]), strict=True))[: len(heads)]
            lines.append(
                f"  {name:36}" + "".join(f"{f'{value:.2f} ({ratio:.2f})':>20}" for value, ratio in cells)
            )
    return lines


def is_past_limit(gantry: fleet.Used, pyinfra: fleet.Used, servers: int) -> bool:
    """Whether a whole run with nothing changed took too long."""
    limit = min((limit for count, limit in _LIMITS.items() if count <= servers), default=None)
    return limit is not None and gantry.seconds > limit * pyinfra.seconds


def measured(
    deployment: Deployment, folder: pathlib.Path, peers_at: pathlib.Path, rounds: int
) -> tuple[dict[str, fleet.Used], dict[str, fleet.Used]]:
    """What Gantry has taken, and what pyinfra has, for each thing to do. Raises FailedError."""
    archives = folder / "store"
    archives.mkdir()
    gateway = deployment.cloud.endpoint_url.partition("://")[2].partition(":")[0]
    store = fleet_servers.Store(archives, gateway)
    with contextlib.closing(store):
        deployment.release(first := store.release(), archives / first.url.rpartition("/")[2])
        key = folder / "key"
        text = connections.private_key(key)
        known = definition.load(deployment.folder / "fleet.yaml")
        environment = connections.make(deployment.cloud, [known], text).environment
        airflow = airflow_process.start(cleanup.airflow_home(NAME), deployment.dags, environment)
        try:
            api = airflow.api()
            api.await_dag(DAG)
            _unmeasured(api)
            servers = fleet_of(deployment.cloud, key, folder)
            launches = Launches(airflow, api, deployment.cloud, servers)
            peers = fleet_peers.Peers(servers, folder, peers_at, with_ansible=False)
            return _rounds(deployment, launches, peers, store, rounds)
        finally:
            airflow_process.stop(airflow)


def _unmeasured(api: client.AirflowApi) -> None:
    """The first launch: it starts the servers."""
    if api.await_run(DAG, api.trigger(DAG), _SECONDS) != "success":
        raise fleet.FailedError("the first launch has failed")


def _rounds(
    deployment: Deployment,
    launches: Launches,
    peers: fleet_peers.Peers,
    store: fleet_servers.Store,
    rounds: int,
) -> tuple[dict[str, fleet.Used], dict[str, fleet.Used]]:
    archives = deployment.folder.parent / "store"
    ours: dict[str, list[fleet.Used]] = {}
    theirs: dict[str, list[fleet.Used]] = {}
    _pyinfra(peers, launches.servers, store.release())
    for _ in range(rounds):
        release = store.release()
        for what in (fleet.REDEPLOY, fleet.SAME):
            theirs.setdefault(what, []).append(_pyinfra(peers, launches.servers, release))
            print(f"pyinfra, {what}: {theirs[what][-1]}", file=sys.stderr, flush=True)
        deployment.release(release, archives / release.url.rpartition("/")[2])
        for what in (fleet.REDEPLOY, fleet.SAME):
            ours.setdefault(what, []).append(launches.launch())
            print(f"Gantry, {what}: {ours[what][-1]}", file=sys.stderr, flush=True)
        if not fleet.running(launches.servers, "/mnt/services/a4200", release):
            raise fleet.FailedError("the service does not run on every server as configured")
    return (
        {what: fleet.best(each) for what, each in ours.items()},
        {what: fleet.best(each) for what, each in theirs.items()},
    )


def _pyinfra(
    peers: fleet_peers.Peers, servers: fleet_servers.Fleet, release: fleet_servers.Release
) -> fleet.Used:
    command, environment = peers.pyinfra(release)
    usage = str(pathlib.Path(__file__).with_name("usage.py"))
    return fleet.used(servers, [usage, *command], environment, log=servers.key.with_name("pyinfra.log"))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--fan-out", type=int, default=8)
    parser.add_argument("--peers", type=pathlib.Path, help="an environment for pyinfra to keep")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="gantry-fleet-") as name:
        folder = pathlib.Path(name)
        peers = (asked.peers or folder / "peers").resolve()
        with stage(asked.servers, asked.fan_out, folder / "project") as deployment:
            ours, theirs = measured(deployment, folder, peers, asked.rounds)
    for line in table(ours, theirs, asked.servers):
        print(line)
    return int(is_past_limit(ours[fleet.SAME], theirs[fleet.SAME], asked.servers))


if __name__ == "__main__":
    sys.exit(main())
