"""Why instances end without being asked to: EC2's state reasons, with advice."""

from __future__ import annotations

from gantry import errors, inventory

_BY_REQUEST = frozenset(
    {"Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate", "Client.InstanceInitiatedShutdown"}
)
"""Reasons of instances that were stopped or terminated on request, from outside or from within."""

_ADVICE = {
    "Client.InternalError": (
        "Most often its encrypted volumes could not be opened: the KMS key of a volume, a snapshot or the image is "
        "disabled or deleted, or its policy lets the caller make no grant (kms:CreateGrant, kms:Decrypt, "
        "kms:GenerateDataKeyWithoutPlaintext, kms:DescribeKey)."
    ),
    "Client.VolumeLimitExceeded": (
        "The account's quota of EBS storage is used up in this region: remove volumes that are not needed, or ask for "
        "a larger quota (Service Quotas, Amazon EBS)."
    ),
    "Client.InvalidSnapshot.NotFound": (
        "The image or a volume of the launch configuration is made from a snapshot that was deleted, or that this "
        "account may not use: name another image or snapshot."
    ),
    "Client.UserInitiatedShutdown": "It was terminated by a user: the account's CloudTrail says by which.",
    "Client.InstanceInitiatedShutdown": "It was shut down from inside: check its user data and its console.",
    "Server.InsufficientInstanceCapacity": (
        "The zone has no room for this size at the moment: name subnets in several zones (network.subnets), or another "
        "size."
    ),
    "Server.InternalError": "An error of the cloud itself, which rarely occurs twice.",
    "Server.SpotInstanceTermination": "It was a spot instance, and its capacity was reclaimed.",
}
"""Advice by code. For the codes see https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html"""


class EndedServerError(errors.GantryError):
    """A server is waited for whose instance has ended or does not start: waiting longer does not help.

    Attributes:
        code, reason: the cloud's own; both empty if it gives none.
    """

    def __init__(self, server: inventory.Server) -> None:
        self.server = server.name
        self.instance_id = server.instance_id
        self.state = server.state
        self.code = server.reason.code if server.reason else ""
        self.reason = server.reason.message if server.reason else ""
        super().__init__(
            f"{server.name}: instance {server.instance_id} is {server.state} before it has answered: "
            f"{worded(server.reason)}\n{_ADVICE.get(self.code, '')}{' ' if self.code in _ADVICE else ''}"
            f"Fix the cause, then clear this tier's scale_up task with everything downstream: it starts another one."
        )


def worded(reason: inventory.StateReason | None) -> str:
    """Format a state reason in one line: EC2's messages mostly begin with the code."""
    if reason is None:
        return "the cloud reports no reason"
    if reason.message.startswith(reason.code):
        return reason.message
    return f"{reason.code}: {reason.message}"


def is_by_itself(reason: inventory.StateReason | None) -> bool:
    """Return whether an instance was stopped or terminated for a reason other than a request."""
    return reason is not None and reason.code not in _BY_REQUEST
