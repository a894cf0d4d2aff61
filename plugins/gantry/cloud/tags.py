"""The tags by which servers are found: the truth about which server fills which slot.

A batch of servers is started by one call, and one call gives all its instances the same tags. So the batch
carries its slots in order, and an instance's place in the batch (EC2's `AmiLaunchIndex`) picks its own. An
instance is therefore found, slot and all, from the moment it exists, even if nobody lived to name it.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gantry import errors, inventory, names
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2.type_defs import InstanceTypeDef, TagTypeDef

DEPLOYMENT = "gantry:deployment"
TIER = "gantry:tier"
SLOTS = "gantry:slots"
HOST_KEY = "gantry:host-key"
RUN = "gantry:run"
"""A digest of the run that started the server: a run's own id may hold what EC2 takes in no tag."""
LEAVING = "gantry:leaving"
"""Set on an instance that a scale in has chosen, or that is lost: it is let go of, and nobody is told of it."""
LOST = "lost: "
"""What the value of `LEAVING` begins with on an instance that is lost; behind it stands why."""
AILING = "gantry:ailing-since"
"""Since when (ISO 8601) an instance has been seen not to be well. It goes when the instance is well, or is gone."""
WANTED = "gantry:wanted"
"""How many servers the instance's tier was last scaled to. It goes with the tier's servers."""
NAME = "Name"

LONGEST_VALUE = 256
"""Characters that EC2 takes in a tag's value."""


class UnreadableTagsError(errors.GantryError):
    """An instance of the deployment whose tags do not say which server it is; somebody changed them by hand."""

    def __init__(self, instance_id: str, problem: str) -> None:
        self.instance_id = instance_id
        super().__init__(
            f"instance {instance_id} belongs to the deployment, but {problem}\n"
            f"Mend the tag, or terminate the instance."
        )


def of_batch(
    definition: models.Definition, tier: names.TierName, slots: Sequence[names.Slot], run: str
) -> list[TagTypeDef]:
    """The tags that a batch of new servers is started with.

    Several servers of one call have one `Name`, until the handshake gives each its own.
    """
    name = definition.name_of(tier, slots[0]) if len(slots) == 1 else f"{definition.deployment}-{tier}"
    return _listed(
        {
            **definition.resource_tags(tier),
            DEPLOYMENT: definition.deployment,
            TIER: tier,
            SLOTS: " ".join(str(slot) for slot in slots),
            RUN: run,
            NAME: name,
        }
    )


def of_volumes(definition: models.Definition, tier: names.TierName) -> list[TagTypeDef]:
    """The tags of new servers' volumes."""
    return _listed(
        {
            **definition.resource_tags(tier),
            DEPLOYMENT: definition.deployment,
            TIER: tier,
            NAME: f"{definition.deployment}-{tier}",
        }
    )


def _listed(tags: dict[str, str]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def read(instance: InstanceTypeDef) -> dict[str, str]:
    """An instance's tags by their keys."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def server(definition: models.Definition, instance: InstanceTypeDef) -> inventory.Server:
    """The server that an instance is, with the name that its definition gives it now.

    Raises:
        UnreadableTagsError: the tags do not say which slot it fills.
    """
    tags = read(instance)
    for key in (DEPLOYMENT, TIER, SLOTS):
        if key not in tags:
            raise UnreadableTagsError(instance["InstanceId"], f"its tag {key} is missing")
    tier = names.TierName(tags[TIER])
    slots = tags[SLOTS].split()
    index = instance.get("AmiLaunchIndex", 0)
    if index >= len(slots) or not slots[index].isdecimal():
        raise UnreadableTagsError(
            instance["InstanceId"],
            f"it is number {index} of its batch, and its tag {SLOTS} ({tags[SLOTS]!r}) names no slot for it",
        )
    slot = names.Slot(int(slots[index]))
    wanted = tags.get(WANTED, "")
    leaving = tags.get(LEAVING, "")
    # Somebody may have taken the tier out of the definition while its servers run.
    is_known = tier in definition.tiers
    return inventory.Server(
        name=definition.name_of(tier, slot),
        tier=tier,
        slot=slot,
        instance_id=instance["InstanceId"],
        state=inventory.InstanceState(instance["State"]["Name"]),
        image=instance["ImageId"],
        size=instance.get("InstanceType", ""),
        launched_at=instance["LaunchTime"],
        private_address=instance.get("PrivateIpAddress"),
        public_address=instance.get("PublicIpAddress"),
        host_key=tags.get(HOST_KEY),
        tagged_name=tags.get(NAME),
        started_by=tags.get(RUN),
        reached_in_public=is_known and definition.launch_configuration_of(tier).ssh.address == "public",
        wanted=int(wanted) if wanted.isdecimal() else None,
        ailing_since=_moment(tags.get(AILING, "")),
        lost=leaving.removeprefix(LOST) if leaving.startswith(LOST) else None,
    )


def _moment(text: str) -> datetime.datetime | None:
    """A moment; None for what somebody has changed by hand."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def is_leaving(instance: InstanceTypeDef) -> bool:
    """Whether a scale in has chosen the instance, or it is lost."""
    return LEAVING in read(instance)
