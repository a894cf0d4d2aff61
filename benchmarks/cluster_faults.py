"""Faults in the middle of a long script, on an Airflow of several machines: how does the launch end?

Two deployments of one server each are launched; the start script of one is followed by a worker, that of the other by
a triggerer. Then something dies or pauses, and comes back; then the scripts end. The server counts how often its script
ran. Redis, supervisor and the Celery provider have to be there: docs/distributed.md.

    docker/with-machine.sh .venv/bin/python benchmarks/cluster_faults.py
    docker/with-machine.sh .venv/bin/python benchmarks/cluster_faults.py redis+postgres worker-cold
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import signal
import subprocess
import tarfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import docker

from gantry.local.cloud import control, inspect_servers, state
from gantry.local.cluster import stage
from gantry.local.demo import cleanup, example
from gantry.rest import client, errors

NAME = "demo-cluster"
ROOT = Path(__file__).parents[1]
BY_WORKER, BY_TRIGGERER = "followed-by-worker", "followed-by-triggerer"
ATTEND = {BY_WORKER: "900s", BY_TRIGGERER: "2s"}
STEP = "service-probe.configure"
PATIENCE = {
    # So that a killed worker's task is tried again after one minute and a half, and not after five.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "90",
}
SCRIPTS = {
    "enstratus-configure": "#!/bin/sh\nexit 0\n",
    "enstratus-start": (
        "#!/bin/sh\necho begun >> /tmp/starts\nnumber=0\n"
        'while [ ! -e /tmp/hurry ] && [ "$number" -lt 3000 ]; do number=$((number + 1)); sleep 0.2; done\n'
        "echo ended >> /tmp/starts\ntouch /tmp/probe-runs\n"
    ),
    "enstratus-stop": "#!/bin/sh\nrm -f /tmp/probe-runs\n",
    "enstratus-check": "#!/bin/sh\n[ -e /tmp/probe-runs ] && echo OK || echo 'the probe does not run'\n",
}
LOADER = """\
# Loads one definition (airflow dag), which stands beside it.
import pathlib
from gantry.dag import deployment_dags

dags = deployment_dags(pathlib.Path(__file__).with_suffix(".yaml"))
"""


@dataclasses.dataclass(frozen=True)
class Field:
    """A cluster with both deployments on it."""

    cloud: state.EmbeddedCloud
    cluster: stage.Cluster
    api: client.AirflowApi

    def sh(self, deployment: str, command: str) -> str:
        """A shell command on a deployment's server; its output."""
        found = self.cloud.client("ec2").describe_instances(
            Filters=[
                {"Name": "tag:gantry:deployment", "Values": [deployment]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )
        (instance,) = [one for each in found["Reservations"] for one in each["Instances"]]
        container = docker.from_env().containers.get(f"{self.cloud.name}-{instance['InstanceId']}")
        return inspect_servers.run(container, command).out

    def processes(self, machine: str) -> list[int]:
        """Everything that runs on a machine of the cluster."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self.cluster.network.within(machine)[3]], capture_output=True, check=True
        )
        return [int(each) for each in listed.stdout.split()]

    def send(self, machine: str, number: signal.Signals) -> None:
        """A signal to everything that runs on a machine."""
        for pid in self.processes(machine):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def place(self, deployment: str, run: str) -> stage.TaskPlace:
        """Where the step with the long script is."""
        return next(each for each in stage.places(self.cluster, deployment, run) if each.task == STEP)


@contextlib.contextmanager
def _away(field: Field, machine: str, seconds: float) -> Iterator[None]:
    field.cluster.supervisor.do("stop", machine)
    try:
        yield
        time.sleep(seconds)  # the fault itself: this long
    finally:
        field.cluster.supervisor.do("start", machine)


def worker_cold(field: Field, runs: dict[str, str]) -> str:
    """The machine of the worker is gone at once; the supervisor brings a new one."""
    victim = field.place(BY_WORKER, runs[BY_WORKER]).worker
    field.send(victim, signal.SIGKILL)
    await_(lambda: field.place(BY_WORKER, runs[BY_WORKER]).tries > 1, 240)
    return f"{victim} killed"


def worker_warm(field: Field, runs: dict[str, str]) -> str:
    """The worker is asked to end, as in a rollout. It waits for its tasks."""
    victim = field.place(BY_WORKER, runs[BY_WORKER]).worker
    os.kill(field.cluster.supervisor.pid(victim), signal.SIGTERM)
    time.sleep(15)  # the fault itself
    return f"SIGTERM to {victim}"


def schedulers(field: Field, _: dict[str, str]) -> str:
    """Both schedulers, one after the other."""
    for machine in ("scheduler-1", "scheduler-2"):
        field.send(machine, signal.SIGKILL)
        time.sleep(20)  # between two faults
    return "both killed, 20 s apart"


def triggerer(field: Field, runs: dict[str, str]) -> str:
    """The triggerer that follows freezes until the other has taken over, and wakes up."""
    victim = field.place(BY_TRIGGERER, runs[BY_TRIGGERER]).triggerer
    field.send(victim, signal.SIGSTOP)
    began = time.monotonic()
    try:
        await_(lambda: field.place(BY_TRIGGERER, runs[BY_TRIGGERER]).triggerer not in ("", victim), 120)
        taken = time.monotonic() - began
        time.sleep(max(0.0, 30 - taken))  # at least this long
    finally:
        field.send(victim, signal.SIGCONT)
    time.sleep(15)  # two follow one job
    return f"{victim} frozen for {time.monotonic() - began - 15:.0f} s, taken over after {taken:.0f} s"


def redis(field: Field, _: dict[str, str]) -> str:
    """Redis is restarted."""
    with _away(field, "redis", 5):
        pass
    return "away for 5 s"


def postgres(field: Field, _: dict[str, str]) -> str:
    """PostgreSQL is restarted."""
    with _away(field, "postgres", 8):
        pass
    return "away for 8 s"


def api_server(field: Field, _: dict[str, str]) -> str:
    """The API server is away for a minute."""
    with _away(field, "api-server", 60):
        pass
    return "away for 60 s"


def cable(field: Field, runs: dict[str, str]) -> str:
    """The worker's network is cut, to everything, for 20 s."""
    victim = field.place(BY_WORKER, runs[BY_WORKER]).worker
    field.cluster.network.cut(victim)
    try:
        time.sleep(20)  # the fault itself
    finally:
        field.cluster.network.mend(victim)
    return f"{victim} cut off for 20 s"


FAULTS: dict[str, Callable[[Field, dict[str, str]], str]] = {
    "api-server": api_server,
    "triggerer": triggerer,
    "worker-cold": worker_cold,
    "worker-warm": worker_warm,
    "schedulers": schedulers,
    "redis": redis,
    "postgres": postgres,
    "cable": cable,
}


def await_(look: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so. Airflow may be away meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(errors.RestError):
            if look():
                return
        if time.monotonic() > deadline:
            raise TimeoutError(look)
        time.sleep(0.5)


def begin(field: Field, name: str) -> dict[str, str]:
    """Launch both, and come back when both scripts run, and are followed by whom they should be."""
    runs = {}
    for deployment in ATTEND:
        with contextlib.suppress(ValueError):
            field.sh(deployment, "rm -f /tmp/hurry /tmp/starts")
        # Another name each time, so that each run begins the script.
        runs[deployment] = field.api.trigger(deployment, redeploy=["probe"], reason=name)
    for deployment in ATTEND:

        def begun(deployment: str = deployment) -> bool:
            try:
                return "begun" in field.sh(deployment, "cat /tmp/starts 2>/dev/null")
            except ValueError:
                return False

        await_(begun, 400)
    await_(lambda: field.place(BY_TRIGGERER, runs[BY_TRIGGERER]).triggerer != "", 120)
    return runs


def outcome(field: Field, runs: dict[str, str], seconds: float = 400) -> Iterator[str]:
    """Let the scripts end; how each run ended, and what the server knows."""
    for deployment in runs:
        field.sh(deployment, "touch /tmp/hurry")
    for deployment, run in runs.items():
        ended: list[str] = []

        def over(deployment: str = deployment, run: str = run, ended: list[str] = ended) -> bool:
            state_ = field.api.call("GET", f"/dags/{deployment}/dagRuns/{run}")["state"]
            ended[:] = [state_]
            return state_ in ("success", "failed")

        with contextlib.suppress(TimeoutError):
            await_(over, seconds)
        place = field.place(deployment, run)
        starts = field.sh(deployment, "cat /tmp/starts").split()
        yield (
            f"  {deployment}: run {ended[0]}, try {place.tries}, script begun {starts.count('begun')} time(s), "
            f"ended {starts.count('ended')} time(s)"
        )


def furnish(cloud: state.EmbeddedCloud, cluster: stage.Cluster) -> Field:
    """Upload the service, and put both definitions on every machine, each beside its loader."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, text in SCRIPTS.items():
            member = tarfile.TarInfo(f"bin/{name}")
            member.size, member.mode = len(text), 0o750
            packed.addfile(member, io.BytesIO(text.encode()))
    cloud.client("s3").put_object(Bucket=example.BUCKET, Key="probe.tar.gz", Body=buffer.getvalue())
    field = Field(cloud, cluster, cluster.api())
    for deployment, attend in ATTEND.items():
        text = textwrap.dedent(f"""\
            deployment: {deployment}
            attend_time: {attend}
            timeouts: {{handshake: 300s, configure: 900s, check: 30s}}
            cloud: {{connection: aws_default, region: eu-central-1}}
            launch_configurations:
              debian: {{image: gantry-debian-12, ssh: {{connection: bookshop_ssh, reconnect_for: 120s}}}}
            tiers:
              only: {{launch_configuration: debian, servers: 1}}
            services:
              probe: {{id: a2001, tier: only, archive: "s3://{example.BUCKET}/probe.tar.gz"}}
            """)
        cluster.put(f"dags/{deployment}.yaml", text)
        cluster.put(f"dags/{deployment}.py", LOADER)
    for deployment in ATTEND:
        field.api.await_dag(deployment)
    return field


def trial(field: Field, names: Sequence[str]) -> None:
    """Faults one after another in the middle of the same scripts, from launch to end."""
    runs = begin(field, ", ".join(names))
    began = time.monotonic()
    for name in names:
        done = FAULTS[name](field, runs)
        print(f"{time.monotonic() - began:4.0f} s  {name}: {done}", flush=True)
    for line in outcome(field, runs):
        print(line, flush=True)
    print(f"{time.monotonic() - began:4.0f} s  over", flush=True)


def main() -> None:
    """Start the cluster, go through the faults, and remove it."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "faults", nargs="*", help=f"of {', '.join(FAULTS)}; joined by + in the same scripts; default: all"
    )
    chosen = parser.parse_args().faults or list(FAULTS)
    with cleanup.only_one(NAME):
        cloud = control.up(NAME)
        try:
            shop = example.prepare(cloud, ROOT / "include", state.directory(NAME) / "example")
            connections = {
                name.removeprefix("AIRFLOW_CONN_").lower(): json.loads(value)
                for name, value in shop.environment.items()
            }
            with stage.running(NAME, connections, ROOT, print, PATIENCE) as cluster:
                field = furnish(cloud, cluster)
                for names in chosen:
                    trial(field, names.split("+"))
        finally:
            control.down(NAME)


if __name__ == "__main__":
    main()
