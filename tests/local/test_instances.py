"""An instance of the embedded cloud is a server: booted from its user data, reached by SSH, gone when terminated."""

from __future__ import annotations

import ipaddress

import pytest
from botocore.exceptions import ClientError

from gantry import local

from .conftest import Account, eventually

pytestmark = pytest.mark.docker


def test_a_server_is_made_by_its_user_data_and_reached_with_the_host_key_on_its_console(
    account: Account, server: str
) -> None:
    assert account.run(server, "cat /etc/motd").strip() == "written by cloud-init"
    assert account.run(server, "sudo id --user").strip() == "0"
    assert account.run(server, "cat /var/lib/cloud/data/instance-id").strip() == server


def test_a_server_has_the_address_that_ec2_reports(account: Account, server: str) -> None:
    instance = account.instance(server)
    assert instance["PrivateIpAddress"] in account.run(server, "ip -4 -brief address show eth0")
    assert "PublicIpAddress" not in instance


def test_user_data_is_for_root_only(account: Account, server: str) -> None:
    modes = account.run(server, "sudo stat -c %a:%U /var/lib/cloud/seed/nocloud/user-data")
    assert modes.strip() == "600:root"


def test_a_launch_that_is_repeated_with_its_client_token_starts_nothing_new(account: Account) -> None:
    ec2 = account.cloud.client("ec2")
    before = account.containers()
    first = account.launch(ClientToken="bookshop-app-1", MinCount=3, MaxCount=3)
    again = account.launch(ClientToken="bookshop-app-1", MinCount=3, MaxCount=3)
    assert again == first
    assert len(set(first)) == 3

    for instance_id in first:
        account.await_state(instance_id, "running")
    assert account.containers() == before + 3

    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        account.launch(ClientToken="bookshop-app-1", MinCount=2, MaxCount=2)

    filters = [{"Name": "client-token", "Values": ["bookshop-app-1"]}]
    (reservation,) = ec2.describe_instances(Filters=filters)["Reservations"]  # type: ignore[arg-type]
    assert {i["AmiLaunchIndex"]: i["InstanceId"] for i in reservation["Instances"]} == dict(enumerate(first))
    assert {i["ClientToken"] for i in reservation["Instances"]} == {"bookshop-app-1"}

    ec2.terminate_instances(InstanceIds=first)
    for instance_id in first:
        assert "PrivateIpAddress" not in account.await_state(instance_id, "terminated")
    assert account.containers() == before

    # The token outlives what it stands for.
    assert account.launch(ClientToken="bookshop-app-1", MinCount=3, MaxCount=3) == first
    assert account.containers() == before


def test_instances_come_in_pages(account: Account, server: str) -> None:
    ec2 = account.cloud.client("ec2")
    pages = ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    account.launch(ImageId=_broken_image(account))  # one more reservation, however the tests are ordered
    seen = [i["InstanceId"] for page in pages for r in page["Reservations"] for i in r["Instances"]]
    assert server in seen
    first = ec2.describe_instances(MaxResults=1)
    second = ec2.describe_instances(MaxResults=1, NextToken=first["NextToken"])
    assert first["Reservations"][0]["ReservationId"] != second["Reservations"][0]["ReservationId"]


def test_an_instance_that_cannot_boot_says_why(account: Account) -> None:
    (instance_id,) = account.launch(ImageId=_broken_image(account))
    reason = account.await_state(instance_id, "terminated")["StateReason"]
    assert reason["Code"] == "Server.InternalError"
    assert "No such image" in reason["Message"]


def test_an_unknown_image_is_refused(account: Account) -> None:
    with pytest.raises(ClientError, match=r"InvalidAMIID\.NotFound"):
        account.launch(ImageId="ami-0123456789abcdef0")


def test_reboot_stop_and_start_do_so_and_the_disk_and_the_host_key_stay(account: Account) -> None:
    (instance_id,) = account.boot()
    account.await_state(instance_id, "running")
    ec2 = account.cloud.client("ec2")
    keys = account.console_keys(instance_id)
    address = account.instance(instance_id)["PrivateIpAddress"]
    account.run(instance_id, "touch mark; sleep 300 >/dev/null 2>&1 &")

    ec2.reboot_instances(InstanceIds=[instance_id])
    eventually(lambda: account.container(instance_id).logs().count(b"gantry-boot: sshd started") == 2)
    assert account.run(instance_id, "ls; pgrep -fc '[s]leep 300' || true").split() == ["mark", "0"]

    ec2.stop_instances(InstanceIds=[instance_id])
    stopped = account.await_state(instance_id, "stopped")
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert account.container(instance_id).status == "exited"

    ec2.start_instances(InstanceIds=[instance_id])
    assert account.await_state(instance_id, "running")["PrivateIpAddress"] == address
    assert account.run(instance_id, "ls").split() == ["mark"]
    assert account.console_keys(instance_id) == keys

    # What a server does by itself is seen too: it shuts down, or dies.
    account.run(instance_id, "sudo shutdown -h now")
    reason = account.await_state(instance_id, "stopped")["StateReason"]
    assert reason["Code"] == "Client.InstanceInitiatedShutdown"
    ec2.start_instances(InstanceIds=[instance_id])
    account.await_state(instance_id, "running")
    account.container(instance_id).kill()
    assert account.await_state(instance_id, "stopped")["StateReason"]["Code"] == "Server.InternalError"

    account.container(instance_id).remove()
    account.await_state(instance_id, "terminated")


def test_without_a_subnet_an_instance_is_in_the_first_of_two(account: Account, server: str) -> None:
    first, second = account.cloud.client("ec2").describe_subnets()["Subnets"]
    assert account.instance(server)["SubnetId"] == first["SubnetId"] == account.cloud.subnet_id
    network = ipaddress.IPv4Network(account.cloud.cidr)
    assert [each["CidrBlock"] for each in (first, second)] == [str(half) for half in network.subnets()]
    assert first["AvailabilityZone"] != second["AvailabilityZone"]


def test_the_image_has_a_name(cloud: local.EmbeddedCloud) -> None:
    filters = [{"Name": "name", "Values": ["gantry-debian-12"]}]
    (image,) = cloud.client("ec2").describe_images(Filters=filters)["Images"]  # type: ignore[arg-type]
    assert image["ImageId"] == cloud.ami


def _broken_image(account: Account) -> str:
    ec2 = account.cloud.client("ec2")
    return ec2.register_image(Name="broken", ImageLocation="gantry.local/no-such:image")["ImageId"]
