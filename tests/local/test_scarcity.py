"""What EC2 has no room for, or cannot make, in EC2's own words: told at once, and gone round where that is possible."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterator
from typing import Any, cast

import boto3
import botocore.config
import pytest

from gantry import inventory
from gantry.agent import ssh
from gantry.cloud import end_reasons, errors, images, instance_start
from gantry.runtime import server_bootstrap
from tests.cloud.conftest import KEY, WEB, Shop

from .conftest import Account

pytestmark = pytest.mark.docker

SIZE = "m7g.large"
"""Of which no other test has servers."""


@pytest.fixture
def shop(account: Account, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """A shop of the test's own, whose servers do not boot. After each test there is enough of everything again."""
    shop = Shop(account.cloud, f"s{zlib.crc32(request.node.nodeid.encode())}", account.quiet)
    yield shop
    account.cloud.limit()
    shop.servers().terminate(shop.servers().everything().everything)


def other(shop: Shop, service: str) -> Any:
    """A client of another of the cloud's APIs."""
    return boto3.client(  # type: ignore[call-overload]
        service,
        aws_access_key_id=shop.cloud.access_key_id,
        aws_secret_access_key=shop.cloud.secret_access_key,
        region_name=shop.cloud.region,
        endpoint_url=shop.cloud.endpoint_url,
    )


def impatient(shop: Shop) -> Any:
    """A client that repeats nothing: EC2 answers with status 500 where a zone has no capacity."""
    return shop.client(config=botocore.config.Config(retries={"total_max_attempts": 1}))


def subnets(shop: Shop) -> list[str]:
    """A subnet of each zone, in the order of the zones."""
    found = shop.client().describe_subnets()["Subnets"]
    return [each["SubnetId"] for each in sorted(found, key=lambda each: each["AvailabilityZone"])]


def greeted(shop: Shop, server: inventory.Server) -> server_bootstrap.PendingServer:
    """What becomes of a server that is waited for."""
    started = frozenset({server.instance_id})
    greeter = server_bootstrap.Bootstrapper(
        shop.servers(), cast("ssh.Access", None), lambda _name, _line: None, started
    )
    (guest,) = guests = server_bootstrap.everyone([server.name])
    asyncio.run(greeter.greet(guests, server_bootstrap.Limit.of(120, 0)))
    return guest


def ended(shop: Shop) -> end_reasons.EndedServerError:
    """How a new server ends."""
    (server,) = shop.scale_up(1).started
    error = greeted(shop, server).error
    assert isinstance(error, end_reasons.EndedServerError), error
    assert error.instance_id == server.instance_id
    assert shop.raw(server)["State"]["Name"] in ("shutting-down", "terminated")
    return error


# --- an instance that ends while it is made --------------------------------------------------------------------


def test_a_disabled_key_ends_the_instance_and_the_handshake_says_which_rights_to_look_at(shop: Shop) -> None:
    kms, ec2 = other(shop, "kms"), shop.client()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)
    kms.disable_key(KeyId=key)
    try:
        shop.more = "volumes: [{device: /dev/xvdb, size: 10}]"
        error = ended(shop)
    finally:
        kms.enable_key(KeyId=key)
    assert (error.code, "KMS key" in str(error)) == ("Client.InternalError", True)
    # What is mended starts: the dead instance's token is not answered with.
    (server,) = shop.scale_up(1).started
    shop.await_states("running")
    assert server.instance_id != error.instance_id


def test_a_quota_of_storage_ends_the_instance_and_is_named(shop: Shop) -> None:
    shop.cloud.limit(storage={"sc1": 200})
    shop.more = "volumes: [{device: /dev/xvdb, size: 201, type: sc1}]"
    error = ended(shop)
    assert "Client.VolumeLimitExceeded: Volume limit exceeded" in str(error)
    assert "quota of EBS storage" in str(error)


def test_an_image_whose_snapshot_is_gone_ends_the_instance(shop: Shop) -> None:
    shop.cloud.limit(broken_images=[shop.image])
    assert ended(shop).code == "Client.InvalidSnapshot.NotFound"


# --- no room ---------------------------------------------------------------------------------------------------


def test_a_zone_without_capacity_has_its_servers_in_the_next_one(shop: Shop) -> None:
    first, second = subnets(shop)
    zone = f"{shop.cloud.region}a"
    shop.size = SIZE
    shop.cloud.limit(capacity={zone: {SIZE: 1}})
    shop.more = f"network: {{subnets: [{first}, {second}]}}"
    scaling = shop.scale_up(4, client=impatient(shop))
    assert len(scaling.started) == 4
    assert [each.slot for each in scaling.servers] == [1, 2, 3, 4]
    # The first zone has had room for one of its two.
    assert [shop.raw(each)["SubnetId"] for each in scaling.servers] == [first, second, second, second]
    # A repeated call finds them where they are.
    again = shop.scale_up(4, client=impatient(shop))
    assert [each.instance_id for each in again.kept] == [each.instance_id for each in scaling.servers]


def test_a_subnet_without_addresses_is_gone_round_too_and_all_of_them_are_named(shop: Shop) -> None:
    first, second = subnets(shop)
    shop.size = SIZE
    shop.cloud.limit(addresses={first: 0})
    shop.more = f"network: {{subnets: [{first}, {second}]}}"
    (server,) = shop.scale_up(1).started
    assert shop.raw(server)["SubnetId"] == second
    shop.cloud.limit(addresses={first: 0}, capacity={f"{shop.cloud.region}b": {SIZE: 0}})
    with pytest.raises(instance_start.NoRoomError) as refused:
        shop.scale_up(2, "run-2", client=impatient(shop))
    assert f"{first}: InsufficientFreeAddressesInSubnet" in str(refused.value)
    assert f"{second}: InsufficientInstanceCapacity" in str(refused.value)


def test_ec2_remembers_a_token_by_zone(shop: Shop) -> None:
    """So one token for all subnets would start a server in each of them."""
    client, tokens = shop.client(), []
    for subnet in (*subnets(shop), subnets(shop)[0]):
        request: Any = {
            "ImageId": shop.image,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": f"token-{shop.name}",
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": "gantry:deployment", "Value": shop.name}]}
            ],
        }
        tokens.append(client.run_instances(**request, SubnetId=subnet)["Instances"][0]["InstanceId"])
    assert (len(set(tokens)), tokens[0]) == (2, tokens[2])


# --- metadata, tags, images ------------------------------------------------------------------------------------


def test_an_account_that_demands_imdsv2_gets_it_and_refuses_what_makes_it_optional(shop: Shop) -> None:
    ec2 = shop.client()
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    try:
        (server,) = shop.scale_up(1).started
        assert shop.raw(server)["MetadataOptions"]["HttpTokens"] == "required"
        shop.more = "metadata: {tokens: optional}"
        with pytest.raises(
            errors.CloudError, match="UnsupportedOperation: You can't launch instances with IMDSv1"
        ):
            shop.scale_up(2)
    finally:
        ec2.modify_instance_metadata_defaults(HttpTokensEnforced="disabled")
    shop.more = "metadata: {tokens: optional, hop_limit: 3}"
    (second,) = shop.scale_up(2).started
    options = shop.raw(second)["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("optional", 3)


def test_network_interfaces_and_volumes_have_the_tags_that_the_definition_wants(shop: Shop) -> None:
    shop.more = "tags: {team: red}, volume_tags: {backup: daily}, network: {tags: {zone: front}}"
    (server,) = shop.scale_up(1).started
    (interface,) = shop.client().describe_network_interfaces(
        Filters=[{"Name": "attachment.instance-id", "Values": [server.instance_id]}]
    )["NetworkInterfaces"]
    written = {each["Key"]: each["Value"] for each in interface["TagSet"]}
    assert (written["team"], written["zone"], written["gantry:tier"]) == ("red", "front", "web")
    assert "backup" not in written


def test_an_image_that_is_a_parameter_is_resolved_by_ec2_and_by_whoever_compares(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", json.dumps(shop.cloud.aws_connection()))
    parameter = f"/{shop.name}/image"
    other(shop, "ssm").put_parameter(Name=parameter, Value=shop.image, Type="String")
    real, shop.image = shop.image, f"resolve:ssm:{parameter}"
    (server,) = shop.scale_up(1).started
    assert server.image == real
    (call,) = shop.calls("RunInstances")
    assert call["ImageId"] == shop.image
    assert shop.servers().image_id(shop.image) == real
    with pytest.raises(images.UnknownParameterError, match="there is no such parameter"):
        shop.servers().image_id(f"{shop.image}-of-tomorrow")


def test_a_parameter_that_is_not_there_is_named_when_servers_are_started(shop: Shop) -> None:
    shop.image = "resolve:ssm:/nowhere"
    with pytest.raises(errors.CloudError, match="'/nowhere' does not exist"):
        shop.servers().scale_up(WEB, 1, KEY, "deploy", instance_start.StartOrder("run-1"))
