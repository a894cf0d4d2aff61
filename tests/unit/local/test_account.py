"""The embedded cloud's account, in every region that a definition may name."""

from __future__ import annotations

import boto3
import moto
import pytest

from gantry.local.cloud import account

REGIONS = ("us-east-1", "eu-west-1", "eu-central-1", "ap-east-1")


@pytest.mark.parametrize("region", REGIONS)
def test_every_region_has_the_images_and_two_subnets_of_its_own_zones(region: str) -> None:
    with moto.mock_aws():
        vpc, subnet, group = account.furnish(region, "10.200.4.0/24", "bare", "prepared")
        ec2 = boto3.client("ec2", region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
        found = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
        zones = {each["AvailabilityZone"]: each["CidrBlock"] for each in found}
        assert zones == {f"{region}a": "10.200.4.0/25", f"{region}b": "10.200.4.128/25"}
        assert subnet in {each["SubnetId"] for each in found}
        assert ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["VpcId"] == vpc
        images = ec2.describe_images(ImageIds=[account.IMAGE_ID, account.PREPARED_IMAGE_ID])["Images"]
        assert len(images) == 2
