"""Two deployments on an Airflow of several machines, what may happen to its parts, and how their launches end.

Each deployment has one server. The start script of one is followed by a worker, that of the other by a triggerer, and
both last until they are to end: meanwhile something dies or pauses, and comes back. The servers' own journals say
how often each script ran. `cluster_faults.py` and `tests/cluster` are made of this.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import io
import os
import re
import signal
import subprocess
import tarfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import docker

from gantry.local.cloud import inspect_servers
from gantry.local.cluster import bookshop, stage
from gantry.local.demo import example
from gantry.rest import client, errors

ROOT = Path(__file__).parents[1]
BY_WORKER, BY_TRIGGERER = "followed-by-worker", "followed-by-triggerer"
ATTEND = {BY_WORKER: "900s", BY_TRIGGERER: "2s"}
STEP = "service-probe.configure"
PATIENCE = {
    # How soon a killed worker's task is tried again: sooner than in five minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "210",
}
REMOTE_LOGS = {
    # As docker/helm/values.yaml has it; without it, a log goes with its machine.
    "AIRFLOW__LOGGING__REMOTE_LOGGING": "True",
    "AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER": f"s3://{example.BUCKET}/airflow-logs",
    "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID": "aws_default",
}
SCRIPTS = {
    "enstratus-configure": "#!/bin/sh\nexit 0\n",
    "enstratus-start": (
        "#!/bin/sh\necho begun >> /tmp/starts\necho 'the probe begins'\nnumber=0\n"
        'while [ ! -e /tmp/hurry ] && [ "$number" -lt 3000 ]; do number=$((number + 1)); sleep 0.2; done\n'
        "echo ended >> /tmp/starts\ntouch /tmp/probe-runs\necho 'the probe has ended'\n"
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


_JOURNAL = "/enstratus/ws/log/agent.log"
_LINE = re.compile(r"^\S+ (?P<moment>begin|end) (?P<script>\S+)", re.MULTILINE)
Calls = collections.Counter[tuple[str, str]]
"""How often each script began and ended, by (`begin` or `end`, script)."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A cluster with both deployments on it."""

    shop: bookshop.ClusterBookshop

    @property
    def cluster(self) -> stage.Cluster:
        """The machines."""
        return self.shop.cluster

    @property
    def api(self) -> client.AirflowApi:
        """Airflow's."""
        return self.shop.api

    def sh(self, deployment: str, command: str) -> str:
        """A shell command on a deployment's server; its output. Raises ValueError where there is no server."""
        found = self.shop.cloud.client("ec2").describe_instances(
            Filters=[
                {"Name": "tag:gantry:deployment", "Values": [deployment]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )
        (instance,) = [one for each in found["Reservations"] for one in each["Instances"]]
        container = docker.from_env().containers.get(f"{self.shop.cloud.name}-{instance['InstanceId']}")
        return inspect_servers.run(container, command).out

    def calls(self, deployment: str) -> Calls:
        """What the server's own journal knows of scripts that change something; nothing where there is no server."""
        try:
            journal = self.sh(deployment, f"cat {_JOURNAL} 2>/dev/null || :")
        except ValueError:
            return Calls()
        return Calls(
            (each["moment"], each["script"])
            for each in _LINE.finditer(journal)
            if each["script"] in inspect_servers.CHANGING
        )

    def upload(self, key: str, scripts: Mapping[str, str]) -> str:
        """Make an archive of a service's scripts; return its URL."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
            for name, text in scripts.items():
                member = tarfile.TarInfo(f"bin/{name}")
                member.size, member.mode = len(text), 0o750
                packed.addfile(member, io.BytesIO(text.encode()))
        self.shop.cloud.client("s3").put_object(Bucket=example.BUCKET, Key=key, Body=buffer.getvalue())
        return f"s3://{example.BUCKET}/{key}"

    def send(self, machine: str, number: signal.Signals) -> None:
        """A signal to everything that runs on a machine."""
        for pid in processes(self.cluster, machine):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def processes(cluster: stage.Cluster, machine: str) -> list[int]:
    """Everything that runs on a machine of the cluster."""
    listed = subprocess.run(
        ["ip", "netns", "pids", cluster.network.within(machine)[3]], capture_output=True, check=True
    )
    return [int(each) for each in listed.stdout.split()]


@dataclasses.dataclass(frozen=True)
class Step:
    """A step that is followed while its script goes on."""

    dag: str
    run: str
    task: str = STEP


@dataclasses.dataclass(frozen=True)
class Trial:
    """Two runs, their scripts going on.

    Attributes:
        steps: with the long scripts; one each that is followed BY_WORKER and BY_TRIGGERER.
    """

    field: Field
    steps: dict[str, Step]

    def place(self, followed: str) -> stage.TaskPlace:
        """Where the step is that is followed BY_WORKER or BY_TRIGGERER. Airflow may just be coming back."""
        step, found = self.steps[followed], list[stage.TaskPlace]()

        def look() -> bool:
            places = stage.places(self.field.cluster, step.dag, step.run)
            found.extend(each for each in places if each.task == step.task and each.map_index <= 0)
            return True

        await_(look, 120)
        return found[0]

    def states(self, seconds: float) -> dict[str, str]:
        """How both runs have ended; of one that has not after this time, the state that it is in."""
        return {followed: _end(self.field.api, step, seconds) for followed, step in self.steps.items()}


@dataclasses.dataclass(frozen=True)
class Launches(Trial):
    """Both launches, their scripts going on.

    Attributes:
        before: what the journals knew when the launches began, by deployment.
    """

    before: dict[str, Calls]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How one of the launches ended.

    Attributes:
        tries: of the step with the long script.
        calls: of scripts, since the launch began.
    """

    deployment: str
    state: str
    tries: int
    calls: Calls

    @property
    def repeated(self) -> dict[str, tuple[int, int]]:
        """Scripts that did not begin once and end once, with how often they did."""
        counts = {
            script: (self.calls["begin", script], self.calls["end", script]) for _, script in self.calls
        }
        return {script: count for script, count in counts.items() if count != (1, 1)}

    def __str__(self) -> str:
        scripts = len({script for _, script in self.calls})
        told = "each once" if not self.repeated else f"but not once: {self.repeated}"
        return f"{self.deployment}: run {self.state}, try {self.tries}, {scripts} scripts, {told}"


@contextlib.contextmanager
def _away(field: Field, machine: str, seconds: float) -> Iterator[None]:
    field.cluster.supervisor.do("stop", machine)
    try:
        yield
        time.sleep(seconds)  # the fault itself: this long
    finally:
        field.cluster.supervisor.do("start", machine)


def worker_killed(trial: Trial) -> str:
    """The machine of the worker is gone at once; the supervisor brings a new one."""
    victim = trial.place(BY_WORKER).worker
    trial.field.send(victim, signal.SIGKILL)
    began = time.monotonic()
    await_(lambda: trial.place(BY_WORKER).tries > 1, 420)
    return f"{victim} killed; next try after {time.monotonic() - began:.0f} s"


def worker_cold(trial: Trial) -> str:
    """The worker does not wait for its tasks: Celery's cold shutdown. Its step goes on in a triggerer."""
    victim = trial.place(BY_WORKER).worker
    began = time.monotonic()
    os.kill(trial.field.cluster.supervisor.pid(victim), signal.SIGQUIT)
    await_(lambda: trial.place(BY_WORKER).triggerer != "", 300)
    return f"SIGQUIT to {victim}; in a triggerer after {time.monotonic() - began:.0f} s"


def worker_warm(trial: Trial) -> str:
    """The worker is asked to end, as in a rollout. It waits for its tasks."""
    victim = trial.place(BY_WORKER).worker
    os.kill(trial.field.cluster.supervisor.pid(victim), signal.SIGTERM)
    time.sleep(15)  # the fault itself
    return f"SIGTERM to {victim}"


def schedulers(trial: Trial) -> str:
    """Both schedulers, one after the other."""
    for machine in ("scheduler-1", "scheduler-2"):
        trial.field.send(machine, signal.SIGKILL)
        time.sleep(20)  # between two faults
    return "both killed, 20 s apart"


def triggerer(trial: Trial) -> str:
    """The triggerer that follows freezes until the other has taken over, and wakes up."""
    victim = trial.place(BY_TRIGGERER).triggerer
    trial.field.send(victim, signal.SIGSTOP)
    began = time.monotonic()
    try:
        await_(lambda: trial.place(BY_TRIGGERER).triggerer not in ("", victim), 120)
        taken = time.monotonic() - began
        time.sleep(max(0.0, 30 - taken))  # at least this long
    finally:
        trial.field.send(victim, signal.SIGCONT)
    time.sleep(15)  # two follow one job
    return f"{victim} frozen for {time.monotonic() - began - 15:.0f} s, taken over after {taken:.0f} s"


def redis(trial: Trial) -> str:
    """Redis is restarted."""
    with _away(trial.field, "redis", 5):
        pass
    return "away for 5 s"


def postgres(trial: Trial) -> str:
    """PostgreSQL is restarted."""
    with _away(trial.field, "postgres", 8):
        pass
    return "away for 8 s"


def api_server(trial: Trial) -> str:
    """The API server is away for five minutes, and then takes its time to start."""
    with _away(trial.field, "api-server", 300):
        pass
    return "away for 300 s"


def cable(trial: Trial) -> str:
    """The worker's network is cut, to everything, for 20 s."""
    victim = trial.place(BY_WORKER).worker
    trial.field.cluster.network.cut(victim)
    try:
        time.sleep(20)  # the fault itself
    finally:
        trial.field.cluster.network.reconnect(victim)
    return f"{victim} cut off for 20 s"


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


def _settle(field: Field) -> None:
    """Let scripts end that a failed trial has left: the next launch would wait for its turn."""
    for deployment in ATTEND:
        with contextlib.suppress(ValueError):
            field.sh(deployment, "touch /tmp/hurry")

        def over(deployment: str = deployment) -> bool:
            return all(each.is_over for each in field.api.runs(deployment))

        await_(over, 300)


def begin(field: Field, name: str) -> Launches:
    """Launch both, and come back when both scripts run, and are followed as they should be."""
    _settle(field)
    steps, before = {}, {deployment: field.calls(deployment) for deployment in ATTEND}
    for deployment in ATTEND:
        with contextlib.suppress(ValueError):
            field.sh(deployment, "rm -f /tmp/hurry /tmp/starts")
        # Redeployed, so that each run begins the script.
        run = field.api.trigger(deployment, redeploy=["probe"], reason=name)
        steps[deployment] = Step(deployment, run)
    trial = Launches(field, steps, before)
    for deployment in ATTEND:

        def begun(deployment: str = deployment) -> bool:
            with contextlib.suppress(ValueError):
                return "begun" in field.sh(deployment, "cat /tmp/starts 2>/dev/null")
            return False

        await_(begun, 400)
    await_(lambda: trial.place(BY_TRIGGERER).triggerer != "", 300)
    return trial


def outcomes(trial: Launches, seconds: float = 400) -> Iterator[Outcome]:
    """Let the scripts end; how each run ended, and what the server knows."""
    field = trial.field
    for deployment in trial.steps:
        field.sh(deployment, "touch /tmp/hurry")
    for deployment, state in trial.states(seconds).items():
        calls = field.calls(deployment)
        calls.subtract(trial.before[deployment])
        yield Outcome(deployment, state, trial.place(deployment).tries, +calls)


def _end(api: client.AirflowApi, step: Step, seconds: float) -> str:
    states = ["unknown"]

    def over() -> bool:
        states.append(api.run_state(step.dag, step.run))
        return states[-1] not in client.RUNNING

    with contextlib.suppress(TimeoutError):
        await_(over, seconds)
    return states[-1]


def furnish(shop: bookshop.ClusterBookshop) -> Field:
    """Upload the service, and put both definitions on every machine, each beside its loader."""
    field = Field(shop)
    field.upload("probe.tar.gz", SCRIPTS)
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
        shop.cluster.put(f"dags/{deployment}.yaml", text)
        shop.cluster.put(f"dags/{deployment}.py", LOADER)
    for deployment in ATTEND:
        field.api.await_dag(deployment)
    return field
