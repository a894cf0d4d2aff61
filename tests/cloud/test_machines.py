"""Servers are made as their launch configuration says: where they stand, what they have, what they are called."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from gantry import local, names
from gantry.cloud import errors, tags

from .conftest import Shop

pytestmark = pytest.mark.docker


def instance_profile(cloud: local.EmbeddedCloud, name: str) -> str:
    """Make an instance profile; its ARN."""
    iam: Any = boto3.client(
        "iam",
        aws_access_key_id=cloud.access_key_id,
        aws_secret_access_key=cloud.secret_access_key,
        region_name=cloud.region,
        endpoint_url=cloud.endpoint_url,
    )
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
    arn = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(arn)


def test_servers_are_spread_over_the_subnets_by_their_slots(shop: Shop) -> None:
    first, second = (each["SubnetId"] for each in shop.client().describe_subnets()["Subnets"][:2])
    shop.more = (
        f"network: {{subnets: [{first}, {second}], security_groups: [{shop.cloud.security_group_id}]}}"
    )
    scaling = shop.scale_up(3)
    assert [each.slot for each in scaling.servers] == [1, 2, 3]
    assert [shop.raw(each)["SubnetId"] for each in scaling.servers] == [first, second, first]
    assert [(call["MinCount"], call["MaxCount"]) for call in shop.calls("RunInstances")] == [(1, 2), (1, 1)]
    assert len({call["ClientToken"] for call in shop.calls("RunInstances")}) == 2
    # The second one is lost, and comes back where it was.
    shop.servers().terminate([scaling.servers[1]])
    shop.await_states("running", "running")
    (started,) = shop.scale_up(3).started
    assert (started.slot, shop.raw(started)["SubnetId"]) == (2, second)


def test_a_launch_that_fails_between_two_subnets_goes_on_where_it_was(shop: Shop) -> None:
    first = shop.client().describe_subnets()["Subnets"][0]["SubnetId"]
    shop.more = f"network: {{subnets: [{first}, subnet-0123456789abcdef0]}}"
    with pytest.raises(errors.CloudError, match=r"InvalidSubnetID\.NotFound"):
        shop.scale_up(4)
    assert [each.slot for each in shop.await_states("running", "running")] == [1, 3]
    second = shop.client().describe_subnets()["Subnets"][1]["SubnetId"]
    shop.more = f"network: {{subnets: [{first}, {second}]}}"
    scaling = shop.scale_up(4)
    assert ([each.slot for each in scaling.kept], [each.slot for each in scaling.started]) == ([1, 3], [2, 4])


def test_every_server_has_the_volumes_tags_and_profile_of_its_launch_configuration(shop: Shop) -> None:
    arn = instance_profile(shop.cloud, shop.name)
    shop.more = (
        "volumes: [{device: /dev/xvdb, size: 100, iops: 4000}], tags: {cost-center: '4711'}, "
        f"instance_profile: {shop.name}"
    )
    for server in shop.scale_up(2).servers:
        raw = shop.raw(server)
        assert raw["IamInstanceProfile"]["Arn"] == arn
        assert {"Key": "cost-center", "Value": "4711"} in raw["Tags"]
        volumes = {
            each["Attachments"][0]["Device"]: each
            for each in shop.client().describe_volumes(
                Filters=[{"Name": "attachment.instance-id", "Values": [server.instance_id]}]
            )["Volumes"]
        }
        assert set(volumes) == {"/dev/sda1", "/dev/xvdb"}
        data = volumes["/dev/xvdb"]
        assert (data["Size"], data["VolumeType"], data["Iops"], data["Encrypted"]) == (100, "gp3", 4000, True)
        for each in volumes.values():
            written = {tag["Key"]: tag["Value"] for tag in each["Tags"]}
            assert written == {
                "cost-center": "4711",
                tags.DEPLOYMENT: shop.name,
                tags.TIER: "web",
                "Name": f"{shop.name}-web",
            }


def test_a_profile_or_a_group_that_does_not_exist_is_named_and_nothing_is_started(shop: Shop) -> None:
    for more, words in (
        ("instance_profile: nobody", r"starting .*-web-1 from .*InvalidParameterValue: Value \(nobody\)"),
        ("network: {security_groups: [sg-0123456789abcdef0]}", r"InvalidGroup\.NotFound"),
    ):
        shop.more = more
        with pytest.raises(errors.CloudError, match=words) as refused:
            shop.scale_up(1)
        assert not refused.value.transient
    assert shop.servers().find().servers == ()


def test_a_public_address_is_there_when_the_definition_says_so_and_is_then_connected_to(shop: Shop) -> None:
    shop.more = "network: {public_address: true}"
    shop.scale_up(1)
    (server,) = shop.await_states("running")
    assert server.public_address is not None
    assert server.ssh_address == server.private_address
    shop.ssh_more = ", address: public"
    (server,) = shop.servers().find().servers
    assert server.ssh_address == server.public_address


def test_servers_are_called_what_the_template_says_and_renamed_when_it_changes(shop: Shop) -> None:
    shop.server_name = '{{ tier.name }}{{ "%02d" | format(server.slot) }}-{{ deployment.name }}'
    one, two = shop.scale_up(2).servers
    assert [one.name, two.name] == [f"web01-{shop.name}", f"web02-{shop.name}"]
    shop.servers().pin_host_key(one, "ssh-ed25519 AAAA")
    assert {"Key": "Name", "Value": f"web01-{shop.name}"} in shop.raw(one)["Tags"]

    shop.server_name = "{{ tier.name }}-{{ server.slot }}"
    found = shop.servers().find()
    assert [each.name for each in found] == ["web-1", "web-2"]
    again = shop.scale_up(2, "run-2")
    assert [each.instance_id for each in again.kept] == [one.instance_id, two.instance_id]
    assert {"Key": "Name", "Value": "web-1"} in shop.raw(one)["Tags"]
    # Not greeted yet: the handshake names it.
    assert {"Key": "Name", "Value": f"{shop.name}-web"} in shop.raw(two)["Tags"]
    assert shop.servers().find().named(names.ServerName("web-1")) is not None
    calls = len(shop.calls("CreateTags"))
    shop.scale_up(2, "run-3")
    assert len(shop.calls("CreateTags")) == calls
