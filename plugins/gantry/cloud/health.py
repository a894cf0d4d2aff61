"""Servers' health as reported by the cloud and recorded in tags.

The checks that found a server unhealthy are recorded in a tag of its instance: the tag survives all runs and workers,
is visible to everyone who may list the servers (`gantry plan` too, which works without Airflow), and disappears with
the instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gantry import inventory, names
from gantry.cloud import requests, tags
from gantry.cloud.errors import worded

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

_IMPAIRED = "impaired"


class Health:
    """The cloud's own checks of servers, and the records of unhealthy ones."""

    def __init__(self, ec2: EC2Client, connection: names.ConnectionId) -> None:
        self._ec2 = ec2
        self._connection = connection

    def impaired(self, servers: Sequence[inventory.Server]) -> dict[str, str]:
        """Return the failures that the cloud's own checks report, by instance; healthy ones are absent.

        Raises:
            CloudError: the cloud refused.
        """
        found = {}
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded("asking for status checks", self._connection):
                answer = self._ec2.describe_instance_status(InstanceIds=batch)
            for each in answer["InstanceStatuses"]:
                checks = {"instance": each.get("InstanceStatus"), "system": each.get("SystemStatus")}
                bad = [what for what, check in checks.items() if check and check.get("Status") == _IMPAIRED]
                if bad:
                    found[each["InstanceId"]] = f"the cloud's {' and '.join(bad)} status checks fail"
        return found

    def note_ailing(self, servers: Sequence[inventory.Server], looks: inventory.Ailing) -> None:
        """Record on servers which checks found them unhealthy."""
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded("recording which servers are unhealthy", self._connection):
                self._ec2.create_tags(
                    Resources=batch,
                    Tags=[{"Key": tags.AILING, "Value": tags.ailing_value(looks)}],
                )

    def note_well(self, servers: Sequence[inventory.Server]) -> None:
        """Remove the records from servers that are healthy again."""
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded("recording which servers are healthy again", self._connection):
                self._ec2.delete_tags(Resources=batch, Tags=[{"Key": tags.AILING}])
