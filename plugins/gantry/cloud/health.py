"""How servers are, as far as the cloud can say and remember it.

The looks that have found a server not well are kept in a tag of its instance: it survives every run and worker, all who
may list the servers see it (`gantry plan` too, which knows no Airflow), and it goes with the instance.
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
    """The cloud's own checks of servers, and what is noted of those that are not well."""

    def __init__(self, ec2: EC2Client, connection: names.ConnectionId) -> None:
        self._ec2 = ec2
        self._connection = connection

    def impaired(self, servers: Sequence[inventory.Server]) -> dict[str, str]:
        """What the cloud's own checks say is wrong, by instance; those that they say nothing bad of are absent.

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
        """Note on servers which looks have found them not well."""
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded("noting what is not well", self._connection):
                self._ec2.create_tags(
                    Resources=batch,
                    Tags=[{"Key": tags.AILING, "Value": tags.ailing_value(looks)}],
                )

    def note_well(self, servers: Sequence[inventory.Server]) -> None:
        """Forget that servers were not well."""
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded("noting what is well again", self._connection):
                self._ec2.delete_tags(Resources=batch, Tags=[{"Key": tags.AILING}])
