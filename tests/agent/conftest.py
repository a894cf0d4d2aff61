"""Three servers of an embedded cloud: two with a user of their own and sudo, one with root alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence

import docker
import pytest

from gantry import local, names
from gantry.agent import bootstrap, errors, job_runner, ssh
from gantry.cloud import user_data

from .machines import Machine, login, new_key, public


@pytest.fixture(scope="session")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Machine]]:
    folder = tmp_path_factory.mktemp("cloud")
    with cloud_with(f"agent-{os.getpid()}", folder, (("deploy", 2), ("root", 1))) as started:
        yield started


@contextlib.contextmanager
def cloud_with(name: str, folder: pathlib.Path, users: Sequence[tuple[str, int]]) -> Iterator[list[Machine]]:
    """Servers of a cloud of their own, so many for each login."""
    cloud = local.up(name, folder)
    try:
        key = new_key()
        started = []
        for user, count in users:
            answer = cloud.client("ec2").run_instances(
                ImageId=cloud.ami,
                InstanceType="t3.small",
                MinCount=count,
                MaxCount=count,
                UserData=user_data.cloud_config(user, public(key)),
            )
            started += [(user, instance["InstanceId"]) for instance in answer["Instances"]]
        cloud.client("ec2").get_waiter("instance_exists").wait(
            InstanceIds=[instance for _, instance in started], WaiterConfig={"Delay": 1}
        )
        yield [
            _machine(cloud, instance, ssh.Access(login(key, user)), f"shop-server-{number}")
            for number, (user, instance) in enumerate(started, start=1)
        ]
    finally:
        local.down(name, folder)


def _machine(cloud: local.EmbeddedCloud, instance_id: str, access: ssh.Access, name: str) -> Machine:
    ec2 = cloud.client("ec2")
    deadline = time.monotonic() + 120
    while True:
        found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        console = ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
        host_key = user_data.host_key_on_console(console)
        if found["State"]["Name"] == "running" and host_key is not None:
            break
        assert time.monotonic() < deadline, f"{instance_id} does not come up"
        time.sleep(0.1)
    label = f"gantry.local.instance={instance_id}"
    (container,) = docker.from_env().containers.list(filters={"label": label})
    target = ssh.Target(names.ServerName(name), instance_id, found["PrivateIpAddress"], host_key)
    return Machine(target, access, container)


def with_agent(machine: Machine) -> Machine:
    """The same server, once it has shaken hands."""

    async def greet() -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                async with job_runner.Agent(machine.target, machine.access).open() as server:
                    await bootstrap.install_agent(server, machine.target.name)
                    return
            # sshd is up before the account is.
            except (errors.ConnectionLostError, errors.AccessRefusedError):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.2)

    asyncio.run(greet())
    return machine


@pytest.fixture(scope="session")
def machine(machines: list[Machine]) -> Machine:
    """A server with its agent, reached by a user who may sudo."""
    return with_agent(machines[0])


@pytest.fixture(scope="session")
def neighbour(machines: list[Machine]) -> Machine:
    """Another one."""
    return with_agent(machines[1])


@pytest.fixture(scope="session")
def fresh(machines: list[Machine]) -> Machine:
    """A server that lets root in, without an agent at first."""
    machine = machines[2]
    deadline = time.monotonic() + 120
    while machine.container.exec_run(["pgrep", "-x", "sshd"])[0] != 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return machine
