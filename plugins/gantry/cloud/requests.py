"""RunInstances requests for batches of servers, built from the definition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from gantry import names
from gantry.cloud import tags
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2.literals import InstanceTypeType
    from types_boto3_ec2.type_defs import (
        BlockDeviceMappingTypeDef,
        EbsBlockDeviceTypeDef,
        IamInstanceProfileSpecificationTypeDef,
        InstanceMetadataOptionsRequestTypeDef,
        InstanceNetworkInterfaceSpecificationTypeDef,
        RunInstancesRequestTypeDef,
    )

T = TypeVar("T")

LARGEST_BATCH = 50
"""Maximum instances per RunInstances call: their slots must fit into a tag's value, which is 256 characters."""


def batches(items: Sequence[T]) -> Iterator[list[T]]:
    """Split items, in their order, into batches of at most `LARGEST_BATCH`."""
    for start in range(0, len(items), LARGEST_BATCH):
        yield list(items[start : start + LARGEST_BATCH])


def subnet_of(network: models.Network, slot: names.Slot) -> str | None:
    """Return the subnet of a slot's server: always the same one, whatever else is started with it."""
    return network.subnets[(slot - 1) % len(network.subnets)] if network.subnets else None


def rotation(network: models.Network, slot: names.Slot) -> tuple[str | None, ...]:
    """Return the subnets allowed for a slot's server, its own first: if one has no room, the next is tried."""
    if not network.subnets:
        return (None,)
    own = (slot - 1) % len(network.subnets)
    return network.subnets[own:] + network.subnets[:own]


def subnet_in(request: RunInstancesRequestTypeDef) -> str | None:
    """Return the subnet that a request names, or None if the cloud chooses its default one."""
    interfaces = request.get("NetworkInterfaces") or [{}]
    return request.get("SubnetId") or interfaces[0].get("SubnetId")


def in_subnet(request: RunInstancesRequestTypeDef, subnet: str) -> RunInstancesRequestTypeDef:
    """Return the same request for another subnet than the slots' own."""
    if interfaces := request.get("NetworkInterfaces"):
        return {**request, "NetworkInterfaces": [{**interfaces[0], "SubnetId": subnet}, *interfaces[1:]]}
    return {**request, "SubnetId": subnet}


def calls(network: models.Network, slots: Sequence[names.Slot]) -> Iterator[list[names.Slot]]:
    """Group slots by the calls that start them: all instances of one call are in the same subnet."""
    for home in network.subnets or (None,):
        yield from batches([slot for slot in slots if subnet_of(network, slot) == home])


def run_instances(
    definition: models.Definition,
    tier: names.TierName,
    slots: Sequence[names.Slot],
    *,
    image_id: str,
    boot: str,
    token: str,
    run: str,
) -> RunInstancesRequestTypeDef:
    """Return the request that starts a tier's servers of some slots, or the first of them if more subnets exist.

    The slots are those of one call, as grouped by `calls`; `boot` is the user data, `token` EC2's idempotency token;
    `run` is the digest of the run that starts them.
    """
    launch = definition.launch_configuration_of(tier)
    # Instances that find no room in one subnet are placed in the next one; without a next one it is all or nothing.
    several = len(launch.network.subnets) > 1
    request: RunInstancesRequestTypeDef = {
        "ImageId": image_id,
        "InstanceType": cast("InstanceTypeType", launch.size),
        "MinCount": 1 if several else len(slots),
        "MaxCount": len(slots),
        "ClientToken": token,
        "UserData": boot,
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": tags.of_batch(definition, tier, slots, run)},
            {"ResourceType": "volume", "Tags": tags.of_volumes(definition, tier)},
        ],
        "MetadataOptions": _metadata(launch.metadata),
    }
    if interface_tags := tags.of_interfaces(definition, tier):
        request["TagSpecifications"] = [
            *request["TagSpecifications"],
            {"ResourceType": "network-interface", "Tags": interface_tags},
        ]
    subnet, groups = subnet_of(launch.network, slots[0]), list(launch.network.security_groups)
    if launch.network.public_address is None:
        if subnet:
            request["SubnetId"] = subnet
        if groups:
            request["SecurityGroupIds"] = groups
    else:
        # Only an interface has this setting, and then EC2 requires subnet and groups there as well.
        interface: InstanceNetworkInterfaceSpecificationTypeDef = {
            "DeviceIndex": 0,
            "AssociatePublicIpAddress": launch.network.public_address,
            "DeleteOnTermination": True,
        }
        if subnet:
            interface["SubnetId"] = subnet
        if groups:
            interface["Groups"] = groups
        request["NetworkInterfaces"] = [interface]
    if launch.instance_profile:
        request["IamInstanceProfile"] = _profile(launch.instance_profile)
    if launch.volumes:
        request["BlockDeviceMappings"] = [_mapping(volume) for volume in launch.volumes]
    return request


def _profile(profile: str) -> IamInstanceProfileSpecificationTypeDef:
    return {"Arn": profile} if profile.startswith("arn:") else {"Name": profile}


def _metadata(metadata: models.Metadata) -> InstanceMetadataOptionsRequestTypeDef:
    options: InstanceMetadataOptionsRequestTypeDef = {"HttpTokens": metadata.tokens}
    if metadata.hop_limit is not None:
        options["HttpPutResponseHopLimit"] = metadata.hop_limit
    return options


def _mapping(volume: models.Volume) -> BlockDeviceMappingTypeDef:
    ebs: EbsBlockDeviceTypeDef = {
        "VolumeType": volume.type,
        "Encrypted": volume.encrypted,
        "DeleteOnTermination": volume.delete_on_termination,
    }
    if volume.size is not None:
        ebs["VolumeSize"] = volume.size
    if volume.iops is not None:
        ebs["Iops"] = volume.iops
    if volume.throughput is not None:
        ebs["Throughput"] = volume.throughput
    if volume.snapshot is not None:
        ebs["SnapshotId"] = volume.snapshot
    return {"DeviceName": volume.device, "Ebs": ebs}
