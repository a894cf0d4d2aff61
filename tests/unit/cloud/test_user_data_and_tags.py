"""What new servers are told, and how they are told apart."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest
import yaml

from gantry import definition, names
from gantry.cloud import errors, requests, tags, user_data
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import InstanceTypeDef

DB = names.TierName("database")
AWS = names.ConnectionId("aws_default")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMIyA7C7cS2dJ4eS1v9bG5d0u1LxDE5j5V1f5k6l7m8n"


def cloud_config(user: str) -> Any:
    text = user_data.cloud_config(user, "ssh-ed25519 AAAA")
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def test_a_server_lets_one_user_in_with_one_key_and_nobody_with_a_password() -> None:
    config = cloud_config("deploy")
    (user,) = config["users"]
    assert (user["name"], user["ssh_authorized_keys"], user["lock_passwd"]) == (
        "deploy",
        ["ssh-ed25519 AAAA"],
        True,
    )
    assert (config["disable_root"], config["ssh_pwauth"]) == (True, False)
    config = cloud_config("root")
    assert "sudo" not in config["users"][0]
    assert config["disable_root"] is False


def test_no_private_key_travels_in_user_data_and_the_same_login_gives_the_same_text() -> None:
    assert "PRIVATE" not in user_data.cloud_config("deploy", KEY)
    assert user_data.cloud_config("deploy", KEY) == user_data.cloud_config("deploy", KEY)


# --- the host key on the console -----------------------------------------------------------------------------


def block(*lines: str) -> str:
    return "\n".join(("-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----", ""))


RSA = f"ssh-rsa {'A' * 372} root@ip-10-0-0-11"


@pytest.mark.parametrize(
    "console",
    [
        block(RSA, f"{KEY} root@ip-10-0-0-11"),
        block(KEY).replace("\n", "\r\n"),
        "\n".join(
            f"[   17.{n:06}] cloud-init[531]: {line}" for n, line in enumerate(block(RSA, KEY).split("\n"))
        ),
        "\n".join(f"2026-01-01T10:00:00+00:00 ec2: {line}" for line in block(f"{KEY} root@x").split("\n")),
        f"Welcome\n{block(KEY)}login: ",
    ],
    ids=["plain", "carriage returns", "kernel time stamps", "syslog", "in between"],
)
def test_the_host_key_is_read_from_the_console(console: str) -> None:
    assert user_data.host_key_on_console(console) == KEY


@pytest.mark.parametrize("console", ["", "Welcome\n", block(RSA), KEY, block(KEY).rpartition("-----END")[0]])
def test_a_console_without_a_whole_block_has_no_host_key_yet(console: str) -> None:
    assert user_data.host_key_on_console(console) is None


def test_a_block_that_somebody_prints_later_is_ignored() -> None:
    assert user_data.host_key_on_console(block(KEY) + block(KEY.replace("MIyA", "EVIL"))) == KEY


# --- tags ----------------------------------------------------------------------------------------------------


def instance(index: int = 0, **changed: str | None) -> InstanceTypeDef:
    written = {tags.DEPLOYMENT: "bookshop", tags.TIER: "database", tags.SLOTS: "2 5"}
    for key, value in changed.items():
        name = f"gantry:{key}"
        if value is None:
            del written[name]
        else:
            written[name] = value
    return {
        "InstanceId": "i-1",
        "AmiLaunchIndex": index,
        "State": {"Name": "running"},
        "ImageId": "ami-1",
        "LaunchTime": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "PrivateIpAddress": "10.0.0.11",
        "Tags": [{"Key": key, "Value": value} for key, value in written.items()],
    }


def test_an_instance_knows_its_slot_by_its_place_in_the_batch(bookshop: models.Definition) -> None:
    assert [tags.server(bookshop, instance(index)).name for index in (0, 1)] == [
        "bookshop-database-2",
        "bookshop-database-5",
    ]


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (instance(2), "number 2 of its batch"),
        (instance(slots="x"), "names no slot"),
        (instance(slots=""), "names no slot"),
        (instance(slots="0"), "names no slot"),
        (instance(slots=None), "gantry:slots is missing"),
        (instance(tier=None), "gantry:tier is missing"),
    ],
)
def test_tags_that_somebody_changed_are_named_with_their_instance(
    found: InstanceTypeDef, problem: str, bookshop: models.Definition
) -> None:
    with pytest.raises(tags.UnreadableTagsError, match=problem) as unreadable:
        tags.server(bookshop, found)
    assert "i-1" in str(unreadable.value)
    # A termination takes it all the same, and calls it by its id.
    any_one = tags.any_server(bookshop, found)
    assert (any_one.name, any_one.instance_id, any_one.slot) == ("i-1", "i-1", 0)
    assert problem in str(any_one.unreadable)


def test_whatever_a_tag_says_a_termination_can_read_the_instance(bookshop: models.Definition) -> None:
    named = definition.loads(
        "deployment: shop\nserver_name: '{{ tier.name }}{{ server.slot }}-{{ deployment.name }}'\n"
        "cloud: {region: eu-central-1}\n"
        "launch_configurations: {debian: {image: ami-1, ssh: {connection: shop_ssh}}}\n"
        "tiers: {web: {launch_configuration: debian, servers: 1}}\nservices: {}\n"
    )
    for tier in ("", "web web", "{{ 1/0 }}", "x" * 256, "\u00e4"):
        found = instance(tier=tier)
        for known in (bookshop, named):
            assert tags.any_server(known, found).instance_id == "i-1"


def test_what_leaves_and_what_a_tier_was_scaled_to_stand_in_tags(bookshop: models.Definition) -> None:
    found = instance(0)
    assert (tags.is_leaving(found), tags.server(bookshop, found).wanted) == (False, None)
    found["Tags"] = [
        *found["Tags"],
        {"Key": tags.LEAVING, "Value": "yes"},
        {"Key": tags.WANTED, "Value": "3"},
    ]
    assert (tags.is_leaving(found), tags.server(bookshop, found).wanted) == (True, 3)
    # Somebody may have written anything.
    found["Tags"][-1]["Value"] = "many"
    assert tags.server(bookshop, found).wanted is None


def test_the_slots_of_the_largest_batch_fit_into_a_tag_of_ec2(bookshop: models.Definition) -> None:
    highest = range(models.MOST_SERVERS - requests.LARGEST_BATCH + 1, models.MOST_SERVERS + 1)
    for tag in tags.of_batch(bookshop, DB, [names.Slot(slot) for slot in highest], "r"):
        assert len(tag["Value"]) <= 256


# --- what the cloud refuses ----------------------------------------------------------------------------------


def worded(code: str) -> errors.CloudError:
    answer: Any = {"Error": {"Code": code, "Message": "said the cloud"}}
    with pytest.raises(errors.CloudError) as refused, errors.worded("starting bookshop-database-1", AWS):
        raise botocore.exceptions.ClientError(answer, "RunInstances")
    return refused.value


@pytest.mark.parametrize("code", ["AuthFailure", "OptInRequired", "InvalidToken", "403"])
def test_refused_credentials_name_the_connection_and_are_not_tried_again(code: str) -> None:
    error = worded(code)
    assert "starting bookshop-database-1: the cloud answered" in str(error)
    assert "Check the credentials and rights of the Airflow connection 'aws_default'" in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "code", ["InvalidSubnetID.NotFound", "InvalidGroup.NotFound", "InvalidSnapshot.NotFound"]
)
def test_an_id_that_is_not_there_says_where_it_is_written(code: str) -> None:
    error = worded(code)
    assert "Check network and volumes of the launch configuration" in str(error)
    assert "'aws_default'" in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "code", ["RequestLimitExceeded", "InsufficientInstanceCapacity", "InternalError", "SlowDown"]
)
def test_what_may_pass_is_tried_again(code: str) -> None:
    assert worded(code).transient


def test_anything_else_says_what_was_done_and_with_which_connection() -> None:
    error = worded("VcpuLimitExceeded")
    assert "VcpuLimitExceeded: said the cloud" in str(error)
    assert "'aws_default'" in str(error)
    assert not error.transient


def test_an_endpoint_that_does_not_answer_may_pass_and_missing_credentials_do_not() -> None:
    with (
        pytest.raises(errors.CloudUnreachableError, match="'aws_default'") as lost,
        errors.worded("listing", AWS),
    ):
        raise botocore.exceptions.EndpointConnectionError(endpoint_url="http://x")
    assert lost.value.transient
    with (
        pytest.raises(errors.CloudUnreachableError, match="'aws_default'") as none,
        errors.worded("listing", AWS),
    ):
        raise botocore.exceptions.NoCredentialsError
    assert not none.value.transient
