"""An embedded cloud, and deployments in it that tests have for themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import time
import zlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from gantry import definition, inventory, local, names
from gantry.cloud import instance_start
from gantry.cloud import servers as cloud_servers
from gantry.definition import models
from gantry.local.cloud import behavior
from tests import quiet as quiet_servers

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

DEFINITION = """\
deployment: {deployment}
server_name: '{server_name}'
cloud: {{connection: aws_shop, region: {region}}}
launch_configurations:
  debian: {{image: {image}, size: {size}, ssh: {{connection: shop_ssh{ssh_more}}}{more}}}
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 9}}}}
  db:  {{launch_configuration: debian, servers: 1}}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"
WEB = names.TierName("web")


# A session reads megabytes of API descriptions for its first client, and none for the others.
@functools.cache
def _session(key: str, secret: str, region: str) -> boto3.Session:
    return boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, region_name=region)


@dataclasses.dataclass
class Shop:
    """A deployment of its own, and what was asked of the cloud for it."""

    cloud: local.EmbeddedCloud
    name: str
    image: str = "ami-unset"
    server_name: str = models.SERVER_NAME
    size: str = "t3.small"
    more: str = ""
    ssh_more: str = ""
    asked: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def client(self, **changed: Any) -> EC2Client:
        """A client that notes each call it makes."""
        session = _session(
            changed.pop("key", self.cloud.access_key_id),
            changed.pop("secret", self.cloud.secret_access_key),
            self.cloud.region,
        )
        client = session.client("ec2", **{"endpoint_url": self.cloud.endpoint_url, **changed})
        client.meta.events.register("provide-client-params.ec2.*", self._note)
        return client

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.asked.append((model.name, dict(params)))

    def definition(self) -> models.Definition:
        """The deployment's definition; `more` and `ssh_more` are keys of its launch configuration."""
        text = DEFINITION.format(
            deployment=self.name,
            region=self.cloud.region,
            image=self.image,
            server_name=self.server_name,
            size=self.size,
            more=f", {self.more}" if self.more else "",
            ssh_more=self.ssh_more,
        )
        return definition.loads(text)

    def servers(self, client: EC2Client | None = None) -> cloud_servers.Servers:
        return cloud_servers.Servers(client or self.client(), self.definition(), logging.getLogger("gantry"))

    def scale_up(
        self, wanted: int, run: str = "run-1", generation: str = "0", client: EC2Client | None = None
    ) -> cloud_servers.Scaling:
        order = instance_start.StartOrder(run, generation)
        scaling = self.servers(client).scale_up(WEB, wanted, KEY, "deploy", order)
        self.await_listed(each.instance_id for each in scaling.started)
        return scaling

    def await_listed(self, started: Iterable[str]) -> None:
        """Wait for new instances (by ids): as EC2, the cloud lists them some moments later."""
        wanted = set(started)
        filters: Any = [{"Name": "instance-id", "Values": sorted(wanted)}]
        deadline = time.monotonic() + 120
        while wanted:
            found = self.cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
            wanted -= {each["InstanceId"] for one in found for each in one["Instances"]}
            assert time.monotonic() < deadline, wanted
            time.sleep(0.05)

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [params for called, params in self.asked if called == name]

    def await_states(self, *wanted: str) -> tuple[inventory.Server, ...]:
        """The servers, once they are in these states."""
        deadline = time.monotonic() + 120
        while True:
            found = self.servers().find().servers
            if sorted(each.state.value for each in found) == sorted(wanted):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def an_hour_later(self) -> contextlib.AbstractContextManager[None]:
        """Within this context, EC2 forgets the instances that have ended."""
        return self.cloud.behaving(dataclasses.replace(behavior.BRISK, shows_ended=0))

    def raw(self, server: inventory.Server) -> Any:
        answer = self.client().describe_instances(InstanceIds=[server.instance_id])
        return answer["Reservations"][0]["Instances"][0]


@pytest.fixture(scope="session")
def quiet_image() -> Iterator[str]:
    with quiet_servers.image() as found:
        yield found


@pytest.fixture(scope="session")
def cloud(quiet_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.EmbeddedCloud]:
    name, folder = f"servers-{os.getpid()}", tmp_path_factory.mktemp("cloud")
    try:
        yield local.up(name, folder)
    finally:
        local.down(name, folder)


@pytest.fixture(scope="session")
def quiet(cloud: local.EmbeddedCloud, quiet_image: str) -> str:
    """The machine image of servers that do not boot."""
    return quiet_servers.machine_image(cloud, quiet_image)


@pytest.fixture
def booting(shop: Shop, cloud: local.EmbeddedCloud) -> Shop:
    """A shop whose servers boot, print their host keys and can be logged in to."""
    shop.image = cloud.ami
    return shop


@pytest.fixture
def shop(cloud: local.EmbeddedCloud, quiet: str, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop of the test's own, whose servers do not boot."""
    shop = Shop(cloud, f"s{zlib.crc32(request.node.nodeid.encode())}", quiet)
    yield shop
    ids = [
        instance["InstanceId"]
        for reservation in cloud.client("ec2").describe_instances(
            Filters=[{"Name": "tag:gantry:deployment", "Values": [shop.name]}]
        )["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    if ids:
        cloud.client("ec2").terminate_instances(InstanceIds=ids)
