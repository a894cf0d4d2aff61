"""An embedded cloud, and deployments in it that tests have for themselves."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from gantry import definition, inventory, local, names
from gantry.cloud import servers as cloud_servers
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

DEFINITION = """\
deployment: {deployment}
server_name: '{server_name}'
cloud: {{connection: aws_shop, region: {region}}}
launch_configurations:
  debian: {{image: {image}, size: t3.small, ssh: {{connection: shop_ssh{ssh_more}}}{more}}}
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 9}}}}
  db:  {{launch_configuration: debian, servers: 1}}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"
WEB = names.TierName("web")


@dataclasses.dataclass
class Shop:
    """A deployment of its own, and what was asked of the cloud for it."""

    cloud: local.EmbeddedCloud
    name: str
    image: str = "ami-unset"
    server_name: str = models.SERVER_NAME
    more: str = ""
    ssh_more: str = ""
    asked: list[tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=list)

    def client(self, **changed: Any) -> EC2Client:
        """A client that notes each call it makes."""
        session = boto3.Session(
            aws_access_key_id=changed.pop("key", self.cloud.access_key_id),
            aws_secret_access_key=changed.pop("secret", self.cloud.secret_access_key),
            region_name=self.cloud.region,
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
            more=f", {self.more}" if self.more else "",
            ssh_more=self.ssh_more,
        )
        return definition.loads(text)

    def servers(self, client: EC2Client | None = None) -> cloud_servers.Servers:
        return cloud_servers.Servers(client or self.client(), self.definition(), logging.getLogger("gantry"))

    def scale_up(self, wanted: int, run: str = "run-1") -> cloud_servers.Scaling:
        return self.servers().scale_up(WEB, wanted, KEY, "deploy", run)

    def calls(self, name: str) -> list[dict[str, Any]]:
        return [params for called, params in self.asked if called == name]

    def await_states(self, *wanted: str) -> tuple[inventory.Server, ...]:
        """The servers, once they are in these states."""
        deadline = time.monotonic() + 30
        while True:
            found = self.servers().find().servers
            if sorted(each.state.value for each in found) == sorted(wanted):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def raw(self, server: inventory.Server) -> Any:
        answer = self.client().describe_instances(InstanceIds=[server.instance_id])
        return answer["Reservations"][0]["Instances"][0]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.EmbeddedCloud]:
    name, folder = f"servers-{os.getpid()}", tmp_path_factory.mktemp("cloud")
    try:
        yield local.up(name, folder)
    finally:
        local.down(name, folder)


@pytest.fixture
def shop(cloud: local.EmbeddedCloud, request: pytest.FixtureRequest) -> Iterator[Shop]:
    shop = Shop(cloud, f"s{zlib.crc32(request.node.nodeid.encode())}", cloud.ami)
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
