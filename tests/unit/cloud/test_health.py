"""What the cloud says and remembers of servers, in a real EC2 client's hands."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any, cast

import boto3
import moto
import pytest

from gantry import definition, inventory, names
from gantry.cloud import health, servers, tags
from tests.unit.agent.world import DEFINITION, World

KNOWN = definition.loads(DEFINITION)
SINCE = datetime.datetime(2026, 3, 1, 12, 0, 30, tzinfo=datetime.UTC)


class Statuses:
    """EC2 as far as it tells of status checks."""

    def __init__(self, **system: str) -> None:
        self._system = system

    def describe_instance_status(self, **wanted: list[str]) -> dict[str, Any]:
        return {
            "InstanceStatuses": [
                {
                    "InstanceId": each,
                    "InstanceStatus": {"Status": "initializing"},
                    "SystemStatus": {"Status": self._system.get(each.replace("-", "_"), "ok")},
                }
                for each in wanted["InstanceIds"]
            ]
        }


def test_only_what_is_impaired_is_told() -> None:
    found = [World().server(each) for each in ("application-1", "application-2", "proxy-1")]
    checks = health.Health(
        cast("Any", Statuses(i_application_2="impaired", i_proxy_1="insufficient-data")),
        names.ConnectionId("aws_default"),
    )
    assert checks.impaired(found) == {"i-application-2": "the cloud's system status checks fail"}


def test_since_when_a_server_is_not_well_and_why_it_is_lost_stays_with_its_instance() -> None:
    with moto.mock_aws():
        ec2 = boto3.client(
            "ec2", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="secret"
        )
        image = ec2.describe_images()["Images"][0]["ImageId"]
        started = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[
                {
                    "ResourceType": "instance",
                    "Tags": [
                        {"Key": tags.DEPLOYMENT, "Value": "bookshop"},
                        {"Key": tags.TIER, "Value": "application"},
                        {"Key": tags.SLOTS, "Value": "2"},
                    ],
                }
            ],
        )["Instances"][0]["InstanceId"]
        connection = names.ConnectionId("aws_default")
        checks = health.Health(ec2, connection)
        cloud = servers.Servers(ec2, KNOWN, cast("Any", None))

        def seen() -> inventory.Server:
            return cloud.find().everything[0]

        assert (seen().ailing, seen().lost) == (None, None)
        for looks in (
            inventory.Ailing(SINCE, SINCE),
            inventory.Ailing(SINCE, SINCE + datetime.timedelta(hours=1, milliseconds=250)),
            inventory.Ailing(SINCE, SINCE, unproven=True),
        ):
            checks.note_ailing([seen()], looks)
            assert seen().ailing == looks
        cloud.note_well(seen())
        assert seen().ailing is None
        cloud.give_up(seen(), "it does not answer (" + "x" * 300 + ")")
        found = cloud.find()
        assert (found.servers, found.leaving[0].instance_id) == ((), started)
        assert str(found.leaving[0].lost).startswith("it does not answer (xxx")
        assert not found.leaving[0].given_up
        cloud.give_up(seen(), "it creaks", anyway=True)
        assert (seen().lost, seen().given_up) == ("it creaks", True)
        cloud.let_leave([dataclasses.replace(seen())])
        assert seen().lost is None


def noted(value: str) -> inventory.Ailing | None:
    """What is read from the tag of an instance."""
    instance: Any = {
        "InstanceId": "i-1",
        "ImageId": "ami-1",
        "State": {"Name": "running"},
        "LaunchTime": SINCE,
        "Tags": [
            {"Key": key, "Value": text}
            for key, text in {
                tags.DEPLOYMENT: "bookshop",
                tags.TIER: "application",
                tags.SLOTS: "1",
                tags.AILING: value,
            }.items()
        ],
    }
    return tags.server(KNOWN, instance).ailing


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-03-01T12:00:30",
        "/",
        "2026-03-01T12:00:30+00:00/soon",
        "2026-03-01T12:00:30Z/2026-02-01T12:00:30Z",
    ],
)
def test_what_a_person_has_changed_by_hand_tells_of_no_looks(value: str) -> None:
    assert noted(value) is None


def test_what_an_earlier_gantry_has_noted_makes_no_server_lost() -> None:
    assert noted(SINCE.isoformat(timespec="seconds")) == inventory.Ailing(SINCE, SINCE, unproven=True)
