"""A stage for launches: a real Airflow, the embedded cloud, and what a person would do and look at there."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import asyncssh
import docker
from docker.models.containers import Container

from gantry import local, names
from gantry.configuration_management import chef_server
from gantry.local.demo import example
from gantry.rest import client, logs
from gantry.rest.errors import ConflictError
from tests import inside
from tests.airflow import run_states

if TYPE_CHECKING:
    from tests.airflow.shared import Shared

T = TypeVar("T")

LOADER = '''\
"""Loads one definition (airflow dag)."""
from gantry.dag import deployment_dags

dags = deployment_dags({path!r})
'''

SCRIPTS = {
    "enstratus-configure": '#!/bin/sh\ncp "$2" /tmp/configured-with\n',
    "enstratus-start": "#!/bin/sh\ntouch /tmp/probe-runs\n",
    "enstratus-stop": "#!/bin/sh\nrm -f /tmp/probe-runs\n",
    "enstratus-check": "#!/bin/sh\n[ -e /tmp/probe-runs ] && echo OK || echo 'the probe does not run'\n",
}
"""The smallest service there is: it runs while a file is there."""

PATIENCE = 600.0
"""Seconds for what a launch or Airflow does within some seconds on an idle machine. On two cores at half their speed,
with other launches beside it, the steps from an approval to the end have taken more than 150."""
_LAST_LINES_SECONDS = 60.0
_LAST_LINES_OF_TRIGGERER_SECONDS = 300.0
"""All launches have one triggerer here, which takes 4 KiB of all logs in each round of its loop."""
_ASK_AGAIN = 10.0
"""Seconds after which a loader that has not been read by then is asked for again."""
_LOOK_AGAIN = 0.3
"""Seconds between two looks in the database, each of which takes less than a millisecond."""
_LOOKS_APART = 5
"""Times the length of a look."""
_WRITTEN_TO_THE_END = ("success", "failed", "skipped")
BARE = "gantry-debian-12"
SECRETS = "airflow/connections"
"""What the names of connections begin with in Secrets Manager."""


def eventually(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """What `look` finds as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while True:
        before = time.monotonic()
        if found := look():
            return found
        now = time.monotonic()
        assert now < deadline, f"not within {seconds:g} s: {what}"
        # Who looks all the time keeps the machine from what is waited for.
        time.sleep(max(0.1, _LOOKS_APART * (now - before)))


def archive(scripts: dict[str, str] | None = None) -> bytes:
    """A service archive with the smallest service's scripts, some of them replaced."""
    buffer = io.BytesIO()
    # Without the time of day, so that the same scripts are the same archive.
    with (
        gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as packed,
    ):
        for name, text in {**SCRIPTS, **(scripts or {})}.items():
            content = text.encode()
            member = tarfile.TarInfo(f"bin/{name}")
            member.size, member.mode = len(content), 0o750
            packed.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo("cfg")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o770
        packed.addfile(folder)
    return buffer.getvalue()


@dataclasses.dataclass(frozen=True)
class Machine:
    """One server, looked at from its inside."""

    instance_id: str
    container: Container

    def sh(self, command: str) -> str:
        """Run a shell command as root; its output."""
        ended = inside.run(self.container, command)
        assert ended.code == 0, f"{command}: exit {ended.code}: {ended.out}{ended.err}"
        return ended.out

    def journal(self) -> list[str]:
        """The agent's own record of every script."""
        return self.sh("cat /enstratus/ws/log/agent.log").splitlines()

    def calls(self, script: str, moment: str = "begin") -> int:
        """How often a script began (or ended) here, as the agent's journal has it."""
        return sum(1 for line in self.journal() if f" {moment} {script} " in f"{line} ")

    def secrets_in_transit(self) -> list[str]:
        """Files that wait for a script; none may be left when a step has ended."""
        return self.sh("ls -A /enstratus/ws/tmp").split()


class Launch:
    """One run of a deployment's DAG, as a person follows it in the UI. For its end it is the database that is asked."""

    def __init__(self, stage: Stage, dag: str, run: str) -> None:
        self.api = stage.api
        self._states = stage.states
        self.dag = dag
        self.run = run

    def ends(self, seconds: float = 900) -> str:
        """Wait for the end: `success` or `failed`."""
        deadline = time.monotonic() + seconds
        while not self._states.is_over(self.dag, self.run) and time.monotonic() < deadline:
            time.sleep(_LOOK_AGAIN)
        # What is reported is what the API says, also of a run that does not end.
        state = self.api.await_run(self.dag, self.run, 0)
        if state == "failed":
            self.last_errors = "\n".join(self.errors())
        return state

    def succeeds(self, seconds: float = 900) -> None:
        """The run has to succeed."""
        state = self.ends(seconds)
        assert state == "success", self.last_errors

    def fails_at(self, task: str, seconds: float = 900) -> str:
        """The run has to fail, at this task and no other; the task's error."""
        assert self.ends(seconds) == "failed", "the run succeeded"
        failed = {each.task_id for each in self.api.instances(self.dag, self.run) if each.state == "failed"}
        assert failed == {task}, f"failed: {failed}\n{self.last_errors}"
        errors = self.errors()
        assert len(errors) == 1, errors
        return errors[0]

    def errors(self) -> list[str]:
        """The errors of the failed task instances: what stands in their logs after "Task failed"."""
        return [self._error(each) for each in self._failed()]

    def errors_by_task(self) -> dict[str, str]:
        """The same by the tasks' ids, where no task has failed in more than one instance."""
        failed = self._failed()
        assert len({each.task_id for each in failed}) == len(failed), failed
        return {each.task_id: self._error(each) for each in failed}

    def _failed(self) -> list[client.ApiTaskInstance]:
        return [each for each in self.api.instances(self.dag, self.run) if each.state == "failed"]

    def _error(self, instance: client.ApiTaskInstance) -> str:
        log = self.log(instance).partition("Task failed with exception\n")[2]
        # What pages and terminal show is what the log says.
        for each in self.api.failures(self.dag, self.run, instance.task_id, instance.map_index) or ():
            assert each.headline in log
        return log.partition("info ::group::")[0]

    def instance(self, task: str, map_index: int | None = None) -> client.ApiTaskInstance:
        """One task instance."""
        found = [
            each
            for each in self.api.instances(self.dag, self.run)
            if each.task_id == task and map_index in (None, each.map_index)
        ]
        assert found, f"{task} has no instance"
        return found[0]

    def log(self, instance: client.ApiTaskInstance) -> str:
        """The log of an instance's last try.

        Airflow knows how a task ended a moment before the last lines of its log are written: whoever asks for
        the log of a task that has just ended waits for them, also behind each pause in which it waited for
        something outside. A process that was killed never writes them.
        """
        began = time.monotonic()
        while True:
            lines = self.api.log_chunk(self.dag, self.run, instance).lines
            ended = instance.state in _WRITTEN_TO_THE_END
            in_triggerer = logs.is_in_triggerer(lines)
            most = _LAST_LINES_OF_TRIGGERER_SECONDS if in_triggerer else _LAST_LINES_SECONDS
            if not ended or logs.is_whole(lines) or time.monotonic() > began + most:
                return "\n".join(each.plain() for each in lines)
            time.sleep(0.1)

    def task_log(self, task: str) -> str:
        """The log of a task with one instance."""
        return self.log(self.instance(task))

    def everything_shown(self) -> str:
        """All that Airflow shows of the run: logs of all tries, XComs, rendered fields."""
        shown = []
        for each in self.api.instances(self.dag, self.run):
            if each.state in (None, "upstream_failed"):
                continue
            shown += [
                self.api.log(self.dag, self.run, each.task_id, each.map_index, number)
                for number in range(1, each.try_number + 1)
            ]
            path = f"/dags/{self.dag}/dagRuns/{self.run}/taskInstances/{each.task_id}"
            shown.append(str(self.api.call("GET", f"{path}/xcomEntries")))
            shown.append(
                str(self.api.call("GET", f"{path}/{each.map_index}" if each.map_index >= 0 else path))
            )
        return "\n".join(shown)

    def clear(self, *tasks: str) -> None:
        """Clear tasks and what comes after them."""
        self.api.clear(self.dag, self.run, *tasks)

    def await_state(self, task: str, *states: str, seconds: float = PATIENCE) -> client.ApiTaskInstance:
        """Wait until a task's instance is in one of these states."""

        def look() -> client.ApiTaskInstance | None:
            if not self._states.of_task(self.dag, self.run, task) & set(states):
                return None
            every = self.api.instances(self.dag, self.run)
            return next((each for each in every if each.task_id == task and each.state in states), None)

        return eventually(look, f"{task} {states}", seconds)


class Stage:
    """Everything a launch needs, and hands to touch it."""

    def __init__(self, found: Shared) -> None:
        self.cloud = found.cloud
        self.shop = found.shop
        self.airflow = found.airflow
        self.database = found.database
        self.states = run_states.at(found.database.url)
        self.api = found.airflow.api()
        self.definitions = found.definitions
        self._dags = found.dags
        self._triggerers: list[subprocess.Popen[bytes]] = []

    def start_triggerer(self) -> None:
        """Start another triggerer, as an operator of Airflow would: `standalone` does not bring one back."""
        variables = Path(f"/proc/{self.airflow.pid}/environ").read_text().split("\0")
        with (self.airflow.home / "triggerer.log").open("ab") as log:
            self._triggerers.append(
                subprocess.Popen(
                    [str(Path(sys.executable).with_name("airflow")), "triggerer", "--skip-serve-logs"],
                    env=dict(each.split("=", 1) for each in variables if "=" in each),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def kill_triggerer(self) -> None:
        """Kill the triggerer, Airflow's own or the one that took its place, and start another one."""
        own = self.airflow.parts().get("triggerer", [])
        others = [each.pid for each in self._triggerers if each.poll() is None]
        assert own or others, "no triggerer runs"
        for pid in own:
            os.kill(pid, signal.SIGKILL)
        for leader in others:
            os.killpg(leader, signal.SIGKILL)
        self.start_triggerer()

    def close(self) -> None:
        """End what the stage itself has started."""
        for process in self._triggerers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def define(self, name: str, text: str) -> None:
        """Put a definition where Airflow finds it, and wait for its DAGs."""
        path = self.definitions / f"{name}.yaml"
        path.write_text(text)
        (self._dags / f"{name}.py").write_text(LOADER.format(path=str(path)))
        self.api.await_dag(name, PATIENCE)
        self.api.await_dag(f"{name}.terminate", PATIENCE)

    def redefine(self, name: str, text: str) -> None:
        """Change a definition, as a person would in git. Tasks read it anew when they start."""
        (self.definitions / f"{name}.yaml").write_text(text)

    def details(self, name: str) -> dict[str, Any]:
        """What Airflow knows of a deployment's DAG."""
        found: dict[str, Any] = self.api.call("GET", f"/dags/{name}/details")
        return found

    def reparse(self, name: str, look: Callable[[], T | None], what: str) -> T:
        """What *Reparse Dag* in the UI does: Airflow reads a deployment's loader now. What `look` finds then.

        Airflow (3.3.2) drops the request when the file is being read at that moment, perhaps as it was before, or a
        callback of its DAG works. A callback that comes while the file is read waits until it is read again.
        """
        token = self.details(name)["file_token"]
        asked = -_ASK_AGAIN

        def ask_and_look() -> T | None:
            nonlocal asked
            if time.monotonic() - asked > _ASK_AGAIN:
                asked = time.monotonic()
                # It refuses to be asked twice before it has heard the first time.
                with contextlib.suppress(ConflictError):
                    self.api.call("PUT", f"/parseDagFile/{token}")
            return look()

        return eventually(ask_and_look, what)

    def launch(self, name: str, **params: Any) -> Launch:
        """Trigger a launch."""
        return Launch(self, name, self.api.trigger(name, **params))

    def terminate(self, name: str, confirm: str | None = None, **params: Any) -> Launch:
        """Trigger a termination, with the name typed in."""
        dag = f"{name}.terminate"
        typed = name if confirm is None else confirm
        return Launch(self, dag, self.api.trigger(dag, confirm=typed, **params))

    def chef(self) -> chef_server.ChefServer:
        """The cloud's Chef server, as its administrator."""
        return self.cloud.chef_server()

    def chef_connection(self, *, admin: bool = True) -> dict[str, Any]:
        """A connection to the cloud's Chef server, with or without its administrator's key."""
        found = self.cloud.chef_connection()
        if not admin:
            found["extra"] = {key: value for key, value in found["extra"].items() if "admin" not in key}
        return found

    def connect(self, name: str, connection: dict[str, Any]) -> None:
        """Put a connection into Secrets Manager; one of the same name is replaced."""
        manager = self.cloud.client("secretsmanager")
        secret = f"{SECRETS}/{name}"
        # As a text: Secrets Manager has no mappings within mappings, and Airflow reads both.
        text = json.dumps({**connection, "extra": json.dumps(connection["extra"])})
        try:
            manager.create_secret(Name=secret, SecretString=text)
        except manager.exceptions.ResourceExistsException:
            manager.put_secret_value(SecretId=secret, SecretString=text)

    def disconnect(self, name: str) -> None:
        """Take a connection away from Secrets Manager."""
        manager = self.cloud.client("secretsmanager")
        manager.delete_secret(SecretId=f"{SECRETS}/{name}", ForceDeleteWithoutRecovery=True)

    def other_key(self) -> str:
        """A private key that no Chef server knows."""
        key = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        return key.export_private_key("pkcs1-pem").decode()

    @property
    def gateway(self) -> str:
        """This machine's address, as servers see it."""
        return str(urlsplit(self.cloud.endpoint_url).hostname)

    def freeze(self, part: str) -> Callable[[], None]:
        """Stop all processes of one of Airflow's parts, as a machine without air does; the answer lets them go on."""
        # Some call themselves something else once they run.
        renamed = processes(f"airflow {part.replace('-', '_')} ")
        found = {pid for pid in renamed if _group_of(pid) == self.airflow.pid}
        found |= set(self.airflow.parts().get(part, []))
        if part == "triggerer" and not found:
            leaders = {each.pid for each in self._triggerers if each.poll() is None}
            found = {pid for pid in all_processes() if _group_of(pid) in leaders}
        assert found, f"no {part} runs"

        def send(number: signal.Signals) -> None:
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        send(signal.SIGSTOP)
        return lambda: send(signal.SIGCONT)

    def workers(self, launch: Launch, task: str, map_index: int = 0) -> list[int]:
        """The processes that run a task; their parents are the supervisors."""
        instance = self.api.call(
            "GET", f"/dags/{launch.dag}/dagRuns/{launch.run}/taskInstances/{task}/{map_index}"
        )
        return processes(f"airflow worker -- {instance['id']}")

    def kill_workers(self, launch: Launch, task: str, map_index: int = 0) -> None:
        """Kill the processes that run a task, as the kernel does when memory is out."""
        found = self.workers(launch, task, map_index)
        assert found, "no worker process runs the task"
        for pid in found:
            os.kill(pid, signal.SIGKILL)

    def shut_down_worker(self, launch: Launch, task: str, map_index: int = 0) -> None:
        """Ask a task's supervisor to end, as a pod's eviction does."""
        (pid,) = self.workers(launch, task, map_index)
        stat = Path(f"/proc/{pid}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGTERM)

    def upload(self, key: str, content: bytes) -> str:
        """Put an object into the example's bucket; its URL."""
        self.cloud.client("s3").put_object(Bucket=example.BUCKET, Key=key, Body=content)
        return f"s3://{example.BUCKET}/{key}"

    def machines(self, deployment: str) -> dict[str, Machine]:
        """The living servers of a deployment, by tier and slot (`application-1`)."""
        return machines(self.cloud, deployment)

    def machine(self, deployment: str) -> Machine:
        """The only server of a deployment."""
        (machine,) = self.machines(deployment).values()
        return machine

    def address(self, deployment: str, server: str) -> str:
        """A server's address."""
        instance_id = self.machines(deployment)[server].instance_id
        found = {each["InstanceId"]: each["PrivateIpAddress"] for each in self.instances(deployment)}
        return str(found[instance_id])

    def await_question(self, launch: Launch) -> None:
        """Wait until the question stands, and Airflow has put aside the process that has asked it.

        An answer before that makes the task fail: the scheduler (3.3.2) hears of the end of the process that asked
        when the one that takes the answer is queued already, under the same try, and takes it for that one's.
        """
        launch.await_state("approve", "awaiting_input")
        log = self.airflow.home / "standalone.log"
        key = f"TaskInstanceKey(dag_id='{launch.dag}', task_id='approve', run_id='{launch.run}'"
        heard = f"state success for task instance {key}"
        eventually(lambda: heard in log.read_text(errors="replace") or None, f"the scheduler to say: {heard}")

    def scrap(self, deployment: str) -> None:
        """Take a deployment's servers away without ceremony, at the end of a test."""
        own = {names.dag_id(deployment, operation) for operation in names.Operation}
        asked = {"dag_id_pattern": f"{deployment}%", "paused": False, "limit": 100}
        for each in self.api.call("GET", "/dags", params=asked)["dags"]:
            if each["dag_id"] in own:
                self.api.call("PATCH", f"/dags/{each['dag_id']}", json={"is_paused": True})
        ids = [each["InstanceId"] for each in self.instances(deployment)]
        if ids:
            self.cloud.client("ec2").terminate_instances(InstanceIds=ids)

    def instances(self, deployment: str) -> Iterator[Any]:
        """The living instances of a deployment, as EC2 describes them."""
        return instances(self.cloud, deployment)


@functools.cache
def _engine() -> docker.DockerClient:
    return docker.from_env()


def instances(cloud: local.EmbeddedCloud, deployment: str) -> Iterator[Any]:
    """The living instances of a deployment, as a cloud's EC2 describes them."""
    answer = cloud.client("ec2").describe_instances(
        Filters=[
            {"Name": "tag:gantry:deployment", "Values": [deployment]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
    )
    for reservation in answer["Reservations"]:
        yield from reservation["Instances"]


def machines(cloud: local.EmbeddedCloud, deployment: str) -> dict[str, Machine]:
    """The living servers of a deployment in a cloud, by tier and slot (`application-1`)."""
    engine, found = _engine(), {}
    for instance in instances(cloud, deployment):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        slot = tags["gantry:slots"].split()[instance["AmiLaunchIndex"]]
        try:
            container = engine.containers.get(f"{cloud.name}-{instance['InstanceId']}")
        except docker.errors.NotFound:
            # EC2 tells of it a moment before there is anything to look into.
            continue
        found[f"{tags['gantry:tier']}-{slot}"] = Machine(instance["InstanceId"], container)
    return found


def all_processes() -> list[int]:
    """Everything that runs on this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def processes(title: str) -> list[int]:
    """Processes by the beginning of what `ps` shows of them."""
    found = []
    for pid in all_processes():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
            if words.startswith(title):
                found.append(pid)
    return found


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def without_chef(text: str) -> str:
    """The bookshop's definition on servers that bring what Chef would install."""
    kept = "\n".join(line for line in text.split("\n") if "chef:" not in line and "../chef" not in line)
    return re.sub(r', run_list: \[".*?"\]', "", kept).replace(BARE, f"{BARE}-prepared")


def probe(name: str, archive_url: str, **changes: str) -> str:
    """The definition of a deployment with one server and the smallest service."""
    facts = {
        "image": "gantry-debian-12",
        "aws": "aws_default",
        "ssh": "bookshop_ssh",
        "attend": "30s",
        "handshake": "180s",
        "reconnect": "60s",
        "configure": "120s",
        "sha256": "",
        **changes,
    }
    sha256 = f"sha256: {facts['sha256']}" if facts["sha256"] else ""
    return textwrap.dedent(f"""\
        deployment: {name}
        attend_time: {facts["attend"]}
        timeouts: {{handshake: {facts["handshake"]}, configure: {facts["configure"]}, check: 20s}}
        cloud: {{connection: {facts["aws"]}, region: eu-central-1}}
        launch_configurations:
          debian: {{image: {facts["image"]}, ssh: {{connection: {facts["ssh"]}, reconnect_for: {facts["reconnect"]}}}}}
        tiers:
          only: {{launch_configuration: debian, servers: 1}}
        services:
          probe:
            id: a2001
            tier: only
            archive: {archive_url}
            {sha256}
        """)
