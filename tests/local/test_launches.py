"""What a launch asks of the embedded cloud is given as EC2 gives it, and refused as EC2 refuses it."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from gantry import local

from .conftest import Account

pytestmark = pytest.mark.docker


def make_profile(cloud: local.EmbeddedCloud, name: str, *, with_role: bool = True) -> str:
    """An instance profile's ARN."""
    iam: Any = boto3.client(
        "iam",
        aws_access_key_id=cloud.access_key_id,
        aws_secret_access_key=cloud.secret_access_key,
        region_name=cloud.region,
        endpoint_url=cloud.endpoint_url,
    )
    arn = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]["Arn"]
    if with_role:
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": []}))
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return str(arn)


def snapshot(account: Account, size: int) -> str:
    ec2 = account.cloud.client("ec2")
    volume = ec2.create_volume(AvailabilityZone=f"{account.cloud.region}a", Size=size, VolumeType="gp3")
    return ec2.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]


def volumes(account: Account, instance_id: str) -> dict[str, Any]:
    """An instance's volumes by their devices."""
    found = account.cloud.client("ec2").describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}]
    )["Volumes"]
    return {each["Attachments"][0]["Device"]: each for each in found}


# --- what is given -------------------------------------------------------------------------------------------


def test_an_instance_has_its_root_device_and_the_volumes_that_were_asked_for(account: Account) -> None:
    (instance_id,) = account.launch(
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/xvdb",
                "Ebs": {
                    "VolumeSize": 100, "VolumeType": "gp3", "Iops": 6000, "Throughput": 250, "Encrypted": True,
                    "DeleteOnTermination": False,
                },
            },
            {"DeviceName": "/dev/xvdc", "Ebs": {"SnapshotId": snapshot(account, 3)}},
        ],
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "cost-center", "Value": "4711"}]}],
    )  # fmt: skip
    found = volumes(account, instance_id)
    assert {device: each["Size"] for device, each in found.items()} == {
        "/dev/sda1": 8, "/dev/xvdb": 100, "/dev/xvdc": 3,
    }  # fmt: skip
    data = found["/dev/xvdb"]
    assert (data["VolumeType"], data["Iops"], data["Throughput"], data["Encrypted"]) == (
        "gp3",
        6000,
        250,
        True,
    )
    assert all(each["Tags"] == [{"Key": "cost-center", "Value": "4711"}] for each in found.values())
    devices = {each["DeviceName"] for each in account.instance(instance_id)["BlockDeviceMappings"]}
    assert devices == set(found)

    account.cloud.client("ec2").terminate_instances(InstanceIds=[instance_id])
    account.await_state(instance_id, "terminated")
    left = {each["VolumeId"] for each in account.cloud.client("ec2").describe_volumes()["Volumes"]}
    assert left & {each["VolumeId"] for each in found.values()} == {data["VolumeId"]}


def test_the_root_device_can_be_asked_for_larger(account: Account) -> None:
    (instance_id,) = account.launch(
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20, "VolumeType": "gp3"}}]
    )
    assert {device: each["Size"] for device, each in volumes(account, instance_id).items()} == {
        "/dev/sda1": 20
    }


def test_every_instance_of_a_call_has_the_instance_profile(account: Account) -> None:
    arn = make_profile(account.cloud, "librarians")
    for asked in ({"Name": "librarians"}, {"Arn": arn}):
        both = account.launch(IamInstanceProfile=asked, MinCount=2, MaxCount=2)
        assert [account.instance(each)["IamInstanceProfile"]["Arn"] for each in both] == [arn, arn]


def test_security_groups_are_shown_wherever_they_were_asked_for(account: Account) -> None:
    ec2 = account.cloud.client("ec2")
    made = ec2.create_security_group(GroupName="own", Description="own", VpcId=account.cloud.vpc_id)[
        "GroupId"
    ]
    interface: Any = {"DeviceIndex": 0, "Groups": [made]}
    for asked, wanted in (
        ({}, account.cloud.security_group_id),
        ({"SecurityGroupIds": [made]}, made),
        ({"NetworkInterfaces": [interface]}, made),
    ):
        (instance_id,) = account.launch(**asked)
        groups = [each["GroupId"] for each in account.instance(instance_id)["SecurityGroups"]]
        assert groups == [wanted]


def test_a_public_address_leads_to_the_server_and_another_one_does_after_a_stop(account: Account) -> None:
    interface: Any = {"DeviceIndex": 0, "AssociatePublicIpAddress": True, "DeleteOnTermination": True}
    one, other = account.boot(NetworkInterfaces=[interface], MinCount=2, MaxCount=2)
    first = account.await_state(one, "running")
    account.await_state(other, "running")
    assert first["SubnetId"] == account.cloud.subnet_id
    assert first["PublicIpAddress"] != account.instance(other)["PublicIpAddress"]
    assert account.run(one, "hostname", first["PublicIpAddress"]) == account.run(one, "hostname")
    assert first["PrivateIpAddress"] in account.run(one, "ip -4 -brief address show eth0")

    ec2 = account.cloud.client("ec2")
    ec2.stop_instances(InstanceIds=[one])
    assert "PublicIpAddress" not in account.await_state(one, "stopped")
    # What it had is free for others meanwhile.
    (third,) = account.launch(NetworkInterfaces=[interface])
    assert account.await_state(third, "running")["PublicIpAddress"] == first["PublicIpAddress"]
    ec2.start_instances(InstanceIds=[one])
    again = account.await_state(one, "running")
    assert again["PublicIpAddress"] != first["PublicIpAddress"]
    assert account.run(one, "hostname", again["PublicIpAddress"]) == account.run(one, "hostname")
    ec2.terminate_instances(InstanceIds=[one, other, third])
    assert "PublicIpAddress" not in account.await_state(one, "terminated")


def test_an_interface_without_a_public_address_has_none_and_the_subnet_decides_otherwise(
    account: Account,
) -> None:
    ec2 = account.cloud.client("ec2")
    second = ec2.describe_subnets()["Subnets"][1]["SubnetId"]
    ec2.modify_subnet_attribute(SubnetId=second, MapPublicIpOnLaunch={"Value": True})
    try:
        (named,) = account.launch(SubnetId=second)
        interface: Any = {"DeviceIndex": 0, "AssociatePublicIpAddress": False, "SubnetId": second}
        (without,) = account.launch(NetworkInterfaces=[interface])
    finally:
        ec2.modify_subnet_attribute(SubnetId=second, MapPublicIpOnLaunch={"Value": False})
    assert "PublicIpAddress" in account.await_state(named, "running")
    assert "PublicIpAddress" not in account.await_state(without, "running")


# --- what is refused -----------------------------------------------------------------------------------------

NO_SUBNET, NO_GROUP = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"


def one_volume(device: str = "/dev/xvdb", **ebs: Any) -> dict[str, Any]:
    return {"BlockDeviceMappings": [{"DeviceName": device, "Ebs": ebs}]}


def tagged(*tags: tuple[str, str], kind: str = "instance") -> dict[str, Any]:
    listed = [{"Key": key, "Value": value} for key, value in tags]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": listed}]}


@pytest.mark.parametrize(
    ("request_", "refused"),
    [
        ({"SubnetId": NO_SUBNET}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": [NO_GROUP]}, "InvalidGroup.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": NO_SUBNET}]}, "InvalidSubnetID.NotFound"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [NO_GROUP]}]}, "InvalidGroup.NotFound"),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0}], "SubnetId": NO_SUBNET},
            "InvalidParameterCombination.*subnet ID may not",
        ),
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0}], "SecurityGroupIds": [NO_GROUP]},
            "InvalidParameterCombination.*security groups may not",
        ),
        ({"IamInstanceProfile": {"Name": "nobody"}}, r"Value \(nobody\) .*iamInstanceProfile.name"),
        (
            {"IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/nobody"}},
            "iamInstanceProfile.arn",
        ),
        (one_volume(VolumeType="gp3"), "InvalidParameterValue.*needs a size"),
        (one_volume(VolumeSize=8, VolumeType="gp4"), "InvalidParameterValue"),
        (one_volume(VolumeSize=8, VolumeType="st1"), "InvalidParameterValue.*125"),
        (one_volume(VolumeSize=8, VolumeType="io2"), "InvalidParameterValue.*needs iops"),
        (one_volume(VolumeSize=8, VolumeType="gp2", Throughput=200), "InvalidParameterValue.*throughput"),
        (one_volume(SnapshotId="snap-0123456789abcdef0"), "InvalidSnapshot.NotFound"),
        (one_volume("xvdb", VolumeSize=8), "InvalidParameterValue.*xvdb"),
        (one_volume("/dev/sda1", VolumeSize=2), "InvalidBlockDeviceMapping.*expect size >= 8GB"),
        (
            {"BlockDeviceMappings": one_volume(VolumeSize=8)["BlockDeviceMappings"] * 2},
            "InvalidBlockDeviceMapping.*more than one",
        ),
        (tagged(("aws:x", "y")), "InvalidParameterValue.*reserved"),
        (tagged(("k" * 129, "y")), "InvalidParameterValue.*128"),
        (tagged(("k", "v" * 257)), "InvalidParameterValue.*256"),
        (tagged(("k", "1"), ("k", "2"), kind="volume"), "InvalidParameterValue.*Duplicate"),
        (tagged(*((f"k{number}", "v") for number in range(51))), "TagLimitExceeded"),
        ({"UserData": "#!/bin/sh\n" + "#" * 16384}, "InvalidParameterValue.*16384"),
    ],
)
def test_a_launch_that_ec2_refuses_is_refused_and_makes_nothing(
    account: Account, request_: dict[str, Any], refused: str
) -> None:
    ec2 = account.cloud.client("ec2")
    before = len(ec2.describe_instances()["Reservations"]), len(ec2.describe_volumes()["Volumes"])
    with pytest.raises(ClientError, match=refused):
        account.launch(**request_)
    assert (len(ec2.describe_instances()["Reservations"]), len(ec2.describe_volumes()["Volumes"])) == before


def test_a_group_of_another_network_is_refused(account: Account) -> None:
    ec2 = account.cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="far", Description="far", VpcId=vpc)["GroupId"]
    with pytest.raises(ClientError, match="belong to different networks"):
        account.launch(SecurityGroupIds=[group])


def test_a_profile_without_a_role_is_refused(account: Account) -> None:
    make_profile(account.cloud, "empty", with_role=False)
    with pytest.raises(ClientError, match="has no associated IAM Roles"):
        account.launch(IamInstanceProfile={"Name": "empty"})


def test_a_volume_is_not_smaller_than_its_snapshot(account: Account) -> None:
    with pytest.raises(ClientError, match="expect size >= 30GB"):
        account.launch(**one_volume(SnapshotId=snapshot(account, 30), VolumeSize=10))


def test_tags_that_are_put_on_later_have_the_same_limits(account: Account, server: str) -> None:
    with pytest.raises(ClientError, match="reserved"):
        account.cloud.client("ec2").create_tags(Resources=[server], Tags=[{"Key": "AWS:x", "Value": "y"}])
