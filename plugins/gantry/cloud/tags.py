"""The tags by which servers are found: the truth about which server fills which slot.

A batch of servers is started by one call, and one call gives all its instances the same tags. So the batch
carries its slots in order, and an instance's place in the batch (EC2's `AmiLaunchIndex`) picks its own. An
instance is therefore found, slot and all, from the moment it exists, even if nobody lived to name it.
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
"""A digest of the run that started the server: a run's own id may hold what EC2 takes in no tag."""
NEW = "gantry:new"
"""Set on an instance when it is started. It goes when the deployment is RUNNING with it, and never comes back."""
LEAVING = "gantry:leaving"
"""Set on an instance that a scale in has chosen, or that is lost: it is let go of, and nobody is told of it."""
LOST = "lost: "
"""What the value of `LEAVING` begins with on an instance that is lost; behind it stands why."""
ANYWAY = "anyway: "
"""What stands between them where a person wants it replaced even if it is well."""
AILING = "gantry:ailing-since"
"""The first and the last look (ISO 8601, `FIRST/LAST`) that have found an instance not well; `unproven` behind them
where it may have been the way to it. It goes when a look finds the instance well, and with the instance."""
_UNPROVEN = " unproven"
WANTED = "gantry:wanted"
"""How many servers the instance's tier was last scaled to. It goes with the tier's servers."""
NAME = "Name"

LONGEST_VALUE = 256
"""Characters that EC2 takes in a tag's value."""


class UnreadableTagsError(errors.GantryError):
    """An instance of the deployment whose tags do not say which server it is; somebody changed them by hand."""

    def __init__(self, instance_id: str, problem: str) -> None:
        self.instance_id = instance_id
        self.problem = problem
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
            NEW: "yes",
            NAME: name,
        }
    )


def of_volumes(definition: models.Definition, tier: names.TierName) -> list[TagTypeDef]:
    """The tags of new servers' volumes."""
    return _of_parts(definition, tier, definition.launch_configuration_of(tier).volume_tags)


def of_interfaces(definition: models.Definition, tier: names.TierName) -> list[TagTypeDef]:
    """The tags of new servers' network interfaces; none where the definition wants none."""
    more = definition.launch_configuration_of(tier).network.tags
    return [] if more is None else _of_parts(definition, tier, more)


def _of_parts(definition: models.Definition, tier: names.TierName, more: dict[str, str]) -> list[TagTypeDef]:
    """The tags of what servers have: nothing finds them by these, so they tell whose it is."""
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
    if index >= len(slots) or not slots[index].isdecimal() or not int(slots[index]):
        raise UnreadableTagsError(
            instance["InstanceId"],
            f"it is number {index} of its batch, and its tag {SLOTS} ({tags[SLOTS]!r}) names no slot for it",
        )
    slot = names.Slot(int(slots[index]))
    return _server(definition, instance, tier, slot, definition.name_of(tier, slot))


def any_server(definition: models.Definition, instance: InstanceTypeDef) -> inventory.Server:
    """As `server`, also for an instance whose tags do not say which server it is: that one is called by its id."""
    try:
        return server(definition, instance)
    except errors.GantryError as error:
        problem = error.problem if isinstance(error, UnreadableTagsError) else str(error).partition("\n")[0]
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
    # Somebody may have taken the tier out of the definition while its servers run.
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
        # In an IPv6-only subnet it has one address for everybody.
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
    """The first IPv6 address of an instance's first network interface, if it has one."""
    interfaces = instance.get("NetworkInterfaces") or [{}]
    found = [each.get("Ipv6Address") for each in interfaces[0].get("Ipv6Addresses", [])]
    return instance.get("Ipv6Address") or next(filter(None, found), None)


def _reason(instance: InstanceTypeDef) -> inventory.StateReason | None:
    said = instance.get("StateReason", {})
    # A running instance may have an empty one.
    return inventory.StateReason(said["Code"], said.get("Message", "")) if said.get("Code") else None


def ailing_value(looks: inventory.Ailing) -> str:
    """The value of `AILING`."""
    moments = (each.isoformat(timespec="milliseconds") for each in (looks.since, looks.seen))
    return "/".join(moments) + (_UNPROVEN if looks.unproven else "")


def _ailing(text: str) -> inventory.Ailing | None:
    """The looks that a value of `AILING` tells of; None for what somebody has changed by hand."""
    first, _, last = text.removesuffix(_UNPROVEN).partition("/")
    # An earlier Gantry has kept the first look alone, also where it may have been the way. No loss follows from that.
    since, seen = _moment(first), _moment(last or first)
    if since is None or seen is None or seen < since:
        return None
    return inventory.Ailing(since, seen, unproven=text.endswith(_UNPROVEN) or not last)


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
