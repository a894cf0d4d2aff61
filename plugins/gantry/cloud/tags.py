"""Tags by which servers are found: the source of truth about which server fills which slot.

A batch of servers is started by one call, and one call gives all its instances the same tags. So the tags contain the
slots of the batch in order, and an instance's index in the batch (EC2's `AmiLaunchIndex`) selects its own. An instance
can therefore be found, slot included, from the moment it exists, even if the task died before naming it.
"""

from __future__ import annotations

import dataclasses
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
"""A digest of the run that started the server: a run's id may have characters that EC2 does not allow in tags."""
NEW = "gantry:new"
"""Set on an instance when it is started. Removed when the deployment is RUNNING with it, and never set again."""
LEAVING = "gantry:leaving"
"""Set on an instance that a scale-in has chosen, or that is lost: balancers drop it, and other servers are not told of
it."""
LOST = "lost: "
"""Prefix of `LEAVING`'s value on a lost instance, followed by the reason."""
ANYWAY = "anyway: "
"""Between prefix and reason if its replacement was requested even if it is healthy."""
AILING = "gantry:ailing-since"
"""The first and the last check (ISO 8601, `FIRST/LAST`) that found an instance unhealthy, followed by `unproven` if
the network may have been the cause. Removed when a check finds the instance healthy; disappears with the instance."""
_UNPROVEN = " unproven"
WANTED = "gantry:wanted"
"""How many servers the instance's tier was last scaled to. Disappears with the tier's servers."""
NAME = "Name"

LONGEST_VALUE = 256
"""Maximum length of a tag's value in EC2."""


class UnreadableTagsError(errors.GantryError):
    """The tags of one of the deployment's instances do not identify the server; they were changed by hand."""

    def __init__(self, instance_id: str, problem: str) -> None:
        self.instance_id = instance_id
        self.problem = problem
        super().__init__(
            f"instance {instance_id} belongs to the deployment, but {problem}\n"
            f"Fix the tag, or terminate the instance."
        )


def of_batch(
    definition: models.Definition, tier: names.TierName, slots: Sequence[names.Slot], run: str
) -> list[TagTypeDef]:
    """Return the tags that a batch of new servers is started with.

    Servers of one call share one `Name`, until the handshake gives each its own.
    """
    name = definition.name_of(tier, slots[0]) if len(slots) == 1 else f"{definition.deployment}-{tier}"
    return _listed(
        {
            **definition.resource_tags(tier),
            DEPLOYMENT: definition.deployment,
            TIER: tier,
            SLOTS: " ".join(str(slot) for slot in slots),
            RUN: run,
            NEW: "yes",
            NAME: name,
        }
    )


def of_volumes(definition: models.Definition, tier: names.TierName) -> list[TagTypeDef]:
    """Return the tags of new servers' volumes."""
    return _of_parts(definition, tier, definition.launch_configuration_of(tier).volume_tags)


def of_interfaces(definition: models.Definition, tier: names.TierName) -> list[TagTypeDef]:
    """Return the tags of new servers' network interfaces; empty if the definition wants none."""
    more = definition.launch_configuration_of(tier).network.tags
    return [] if more is None else _of_parts(definition, tier, more)


def _of_parts(definition: models.Definition, tier: names.TierName, more: dict[str, str]) -> list[TagTypeDef]:
    """Return the tags of servers' parts: nothing is found by these, they only show the owner."""
    return _listed(
        {
            **definition.resource_tags(tier),
            **more,
            DEPLOYMENT: definition.deployment,
            TIER: tier,
            NAME: f"{definition.deployment}-{tier}",
        }
    )


def _listed(tags: dict[str, str]) -> list[TagTypeDef]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def read(instance: InstanceTypeDef) -> dict[str, str]:
    """Return an instance's tags as a mapping."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def server(definition: models.Definition, instance: InstanceTypeDef) -> inventory.Server:
    """Return the server that an instance is, with its current name according to the definition.

    Raises:
        UnreadableTagsError: the tags do not identify its slot.
    """
    tags = read(instance)
    for key in (DEPLOYMENT, TIER, SLOTS):
        if key not in tags:
            raise UnreadableTagsError(instance["InstanceId"], f"its tag {key} is missing")
    tier = names.TierName(tags[TIER])
    slots = tags[SLOTS].split()
    index = instance.get("AmiLaunchIndex", 0)
    if index >= len(slots) or not slots[index].isdecimal() or not int(slots[index]):
        raise UnreadableTagsError(
            instance["InstanceId"],
            f"it is number {index} of its batch, and its tag {SLOTS} ({tags[SLOTS]!r}) names no slot for it",
        )
    slot = names.Slot(int(slots[index]))
    return _server(definition, instance, tier, slot, definition.name_of(tier, slot))


def any_server(definition: models.Definition, instance: InstanceTypeDef) -> inventory.Server:
    """As `server`, also for an instance whose tags do not identify the server: it is named by its id."""
    try:
        return server(definition, instance)
    except errors.GantryError as error:
        problem = error.problem if isinstance(error, UnreadableTagsError) else error.failure.headline
        tier = names.TierName(read(instance).get(TIER, ""))
        called = names.ServerName(instance["InstanceId"])
        found = _server(definition, instance, tier, names.Slot(0), called)
        return dataclasses.replace(found, unreadable=problem)


def _server(
    definition: models.Definition,
    instance: InstanceTypeDef,
    tier: names.TierName,
    slot: names.Slot,
    name: names.ServerName,
) -> inventory.Server:
    tags = read(instance)
    wanted = tags.get(WANTED, "")
    leaving = tags.get(LEAVING, "")
    why = leaving.removeprefix(LOST) if leaving.startswith(LOST) else None
    ipv6 = _ipv6(instance)
    private, public = instance.get("PrivateIpAddress"), instance.get("PublicIpAddress")
    # The tier may have been removed from the definition while its servers run.
    is_known = tier in definition.tiers
    return inventory.Server(
        name=name,
        tier=tier,
        slot=slot,
        instance_id=instance["InstanceId"],
        state=inventory.InstanceState(instance["State"]["Name"]),
        image=instance["ImageId"],
        size=instance.get("InstanceType", ""),
        launched_at=instance["LaunchTime"],
        # In an IPv6-only subnet it has one address for all purposes.
        private_address=private or ipv6,
        public_address=public if private else public or ipv6,
        host_key=tags.get(HOST_KEY),
        tagged_name=tags.get(NAME),
        started_by=tags.get(RUN),
        is_new=NEW in tags,
        reached_in_public=is_known and definition.launch_configuration_of(tier).ssh.address == "public",
        wanted=int(wanted) if wanted.isdecimal() else None,
        ailing=_ailing(tags.get(AILING, "")),
        lost=None if why is None else why.removeprefix(ANYWAY),
        given_up=why is not None and why.startswith(ANYWAY),
        reason=_reason(instance),
    )


def _ipv6(instance: InstanceTypeDef) -> str | None:
    """Return the first IPv6 address of an instance's first network interface, if it has one."""
    interfaces = instance.get("NetworkInterfaces") or [{}]
    found = [each.get("Ipv6Address") for each in interfaces[0].get("Ipv6Addresses", [])]
    return instance.get("Ipv6Address") or next(filter(None, found), None)


def _reason(instance: InstanceTypeDef) -> inventory.StateReason | None:
    said = instance.get("StateReason", {})
    # A running instance may have an empty one.
    return inventory.StateReason(said["Code"], said.get("Message", "")) if said.get("Code") else None


def ailing_value(looks: inventory.Ailing) -> str:
    """Format the value of `AILING`."""
    moments = (each.isoformat(timespec="milliseconds") for each in (looks.since, looks.seen))
    return "/".join(moments) + (_UNPROVEN if looks.unproven else "")


def _ailing(text: str) -> inventory.Ailing | None:
    """Parse a value of `AILING`; None if it was changed by hand."""
    first, _, last = text.removesuffix(_UNPROVEN).partition("/")
    # An older Gantry recorded the first check alone, even if the network may have been the cause. This never counts as
    # a loss.
    since, seen = _moment(first), _moment(last or first)
    if since is None or seen is None or seen < since:
        return None
    return inventory.Ailing(since, seen, unproven=text.endswith(_UNPROVEN) or not last)


def _moment(text: str) -> datetime.datetime | None:
    """Parse a time; None if it was changed by hand."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def is_leaving(instance: InstanceTypeDef) -> bool:
    """Return whether the instance is leaving: chosen by a scale-in, or lost."""
    return LEAVING in read(instance)
