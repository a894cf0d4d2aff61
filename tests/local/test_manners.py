"""The embedded cloud knows new instances late, shows their consoles late, and refuses too many calls: as EC2 does."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from gantry import local
from gantry.local.cloud import behavior

from .conftest import Account, eventually

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

pytestmark = pytest.mark.docker

NEVER = 3600.0


def client(cloud: local.EmbeddedCloud) -> EC2Client:
    """One that repeats nothing by itself."""
    session = boto3.Session(cloud.access_key_id, cloud.secret_access_key, region_name=cloud.region)
    return session.client(
        "ec2", endpoint_url=cloud.endpoint_url, config=Config(retries={"total_max_attempts": 1})
    )


def start(account: Account) -> str:
    """An instance that nobody has waited for."""
    answer = account.cloud.client("ec2").run_instances(
        ImageId=account.quiet, InstanceType="t3.small", MinCount=1, MaxCount=1
    )
    return answer["Instances"][0]["InstanceId"]


def read(ec2: EC2Client, instance_id: str, times: int) -> None:
    """Read an instance's console."""
    for _ in range(times):
        ec2.get_console_output(InstanceId=instance_id)


def test_a_new_instance_is_missing_in_lists_and_unknown_by_its_id_at_first(
    cloud: local.EmbeddedCloud, account: Account
) -> None:
    ec2 = client(cloud)
    by_id: list[Any] = [{"Name": "instance-id", "Values": []}]
    with cloud.behaving(dataclasses.replace(behavior.BRISK, lists_after=NEVER)):
        new = by_id[0]["Values"] = [start(account)]
        (instance_id,) = new
        assert ec2.describe_instances(Filters=by_id)["Reservations"] == []
        assert instance_id not in str(ec2.describe_instances())
        for call in (
            lambda: ec2.describe_instances(InstanceIds=new),
            lambda: ec2.get_console_output(InstanceId=instance_id),
            lambda: ec2.create_tags(Resources=new, Tags=[{"Key": "a", "Value": "b"}]),
            lambda: ec2.delete_tags(Resources=new, Tags=[{"Key": "a"}]),
            lambda: ec2.terminate_instances(InstanceIds=new),
            lambda: ec2.describe_instance_status(InstanceIds=new),
        ):
            with pytest.raises(ClientError) as refused:
                call()
            assert refused.value.response["Error"]["Code"] == "InvalidInstanceID.NotFound"
    # It was there all the time, and nothing has happened to it. Here too a list is late, by a little.
    eventually(lambda: ec2.describe_instances(Filters=by_id)["Reservations"] or None)
    account.await_state(instance_id, "running")
    assert ec2.describe_instances(Filters=by_id)["Reservations"][0]["Instances"][0].get("Tags", []) == []
    ec2.terminate_instances(InstanceIds=new)


def test_a_console_is_empty_at_first(cloud: local.EmbeddedCloud, account: Account) -> None:
    (instance_id,) = account.boot()
    assert account.console_keys(instance_id)
    ec2 = client(cloud)
    with cloud.behaving(dataclasses.replace(behavior.BRISK, console_after=NEVER)):
        assert ec2.get_console_output(InstanceId=instance_id, Latest=True)["Output"] == ""
    ec2.terminate_instances(InstanceIds=[instance_id])


def test_too_many_calls_are_refused_and_later_ones_answered(cloud: local.EmbeddedCloud, server: str) -> None:
    ec2 = client(cloud)
    with cloud.behaving(dataclasses.replace(behavior.BRISK, allowance=0.05)):
        # 5 at once, and one a second.
        with pytest.raises(ClientError) as refused:
            read(ec2, server, 100)
        assert refused.value.response["Error"]["Code"] == "RequestLimitExceeded"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        # S3 has no such limit, and other actions have one of their own.
        cloud.client("s3").list_buckets()
        ec2.describe_regions()
        deadline = time.monotonic() + 120
        while True:
            try:
                ec2.get_console_output(InstanceId=server)
                break
            except ClientError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    with cloud.behaving(dataclasses.replace(behavior.BRISK, allowance=None)):
        for _ in range(100):
            ec2.describe_regions()


def test_manners_hold_for_a_cloud_that_runs_already(cloud: local.EmbeddedCloud) -> None:
    assert cloud.behaviour == behavior.BRISK
    with cloud.behaving(behavior.REALISTIC):
        assert local.load(cloud.name, cloud.state_dir).behaviour == behavior.REALISTIC
    assert cloud.behaviour == behavior.BRISK
