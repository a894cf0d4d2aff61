"""An embedded cloud for the tests of this directory, and what they do with its servers."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncssh
import docker
import pytest

from gantry import local
from tests import quiet

if TYPE_CHECKING:
    from docker.models.containers import Container
    from types_boto3_ec2.type_defs import InstanceTypeDef

T = TypeVar("T")

USER_DATA = """\
#cloud-config
users:
  - name: deploy
    shell: /bin/bash
    sudo: "ALL=(ALL) NOPASSWD:ALL"
    ssh_authorized_keys: ["{public_key}"]
write_files:
  - path: /etc/motd
    content: written by cloud-init
"""


def eventually(look: Callable[[], T | None], seconds: float = 300.0) -> T:
    """What `look` finds as soon as it finds something."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@dataclass
class Account:
    """A user of the cloud with an SSH key.

    Attributes:
        quiet: The machine image of servers that do not boot.
    """

    cloud: local.EmbeddedCloud
    quiet: str
    key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))

    def boot(self, **parameters: Any) -> list[str]:
        """RunInstances; the ids of servers that boot, print their host keys and can be logged in to."""
        return self.launch(ImageId=self.cloud.ami, **parameters)

    def launch(self, **parameters: Any) -> list[str]:
        """RunInstances; the ids of servers that only run."""
        request = {
            "ImageId": self.quiet,
            "InstanceType": "t3.small",
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": USER_DATA.format(public_key=self.key.export_public_key().decode().strip()),
        }
        answer = self.cloud.client("ec2").run_instances(**{**request, **parameters})
        ids = [instance["InstanceId"] for instance in answer["Instances"]]
        eventually(lambda: self._lists(ids), 30)
        return ids

    def _lists(self, ids: list[str]) -> bool:
        """Whether all of them are listed: as with EC2, new ones are some moments later."""
        filters: Any = [{"Name": "instance-id", "Values": ids}]
        found = self.cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
        return {each["InstanceId"] for one in found for each in one["Instances"]} == set(ids)

    def instance(self, instance_id: str) -> InstanceTypeDef:
        answer = self.cloud.client("ec2").describe_instances(InstanceIds=[instance_id])
        return answer["Reservations"][0]["Instances"][0]

    def await_state(self, instance_id: str, state: str) -> InstanceTypeDef:
        def look() -> InstanceTypeDef | None:
            instance = self.instance(instance_id)
            return instance if instance["State"]["Name"] == state else None

        return eventually(look)

    def console_keys(self, instance_id: str) -> list[str]:
        """The public host keys on the console, as soon as they are there."""
        block = "-----BEGIN SSH HOST KEY KEYS-----\n(.*?)-----END SSH HOST KEY KEYS-----"

        def look() -> list[str] | None:
            answer = self.cloud.client("ec2").get_console_output(InstanceId=instance_id, Latest=True)
            found = re.findall(block, answer.get("Output", "").replace("\r", ""), re.DOTALL)
            return found[-1].splitlines() if found else None

        return eventually(look)

    def run(self, instance_id: str, command: str, address: str | None = None) -> str:
        """What a command on the server prints; the server must have the host key of its console."""
        address = address or self.instance(instance_id)["PrivateIpAddress"]
        keys = [asyncssh.import_public_key(line) for line in self.console_keys(instance_id)]
        return asyncio.run(self._run(address, keys, command))

    async def _run(self, address: str, host_keys: list[asyncssh.SSHKey], command: str) -> str:
        deadline = time.monotonic() + 120
        while True:
            try:
                async with asyncssh.connect(
                    address,
                    username="deploy",
                    client_keys=[self.key],
                    known_hosts=(host_keys, [], []),
                    config=[],
                ) as connection:
                    answer = await connection.run(command, check=True)
                    return str(answer.stdout)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "sshd does not answer"
                await asyncio.sleep(0.1)

    def container(self, instance_id: str) -> Container:
        """The container that stands for the instance, as Docker knows it."""
        label = f"gantry.local.instance={instance_id}"
        (container,) = docker.from_env().containers.list(all=True, filters={"label": label})
        return container

    def containers(self) -> int:
        label = f"gantry.local={self.cloud.name}"
        return len(docker.from_env().containers.list(all=True, filters={"label": label}))


@pytest.fixture(scope="session")
def quiet_image() -> Iterator[str]:
    """The Docker image of servers that do not boot."""
    with quiet.image() as found:
        yield found


@pytest.fixture(scope="session")
def cloud(quiet_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.EmbeddedCloud]:
    name = f"test-{os.getpid()}"
    state_dir: Path = tmp_path_factory.mktemp("clouds")
    yield local.up(name, state_dir)
    local.down(name, state_dir)
    assert local.leftovers(name) == []


@pytest.fixture(scope="session")
def account(cloud: local.EmbeddedCloud, quiet_image: str) -> Account:
    return Account(cloud, quiet.machine_image(cloud, quiet_image))


@pytest.fixture(scope="session")
def server(account: Account) -> str:
    """An instance that is up, for tests that leave it running."""
    (instance_id,) = account.boot()
    account.await_state(instance_id, "running")
    account.console_keys(instance_id)
    return instance_id
