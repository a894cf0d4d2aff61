"""Validation of RunInstances as in EC2: moto accepts much that EC2 refuses, and ignores some of it.

It accepts unknown security groups (and creates them), groups of another network, volumes of any kind, and any tags; it
ignores IOPS and throughput, and drops the root device when another volume is requested.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
from moto.ec2.exceptions import EC2ClientError
from moto.iam.models import iam_backends

from gantry.definition import models

ROOT_GIB = 8
"""Default size of an image's root device."""

_LARGEST_USER_DATA = 16_384
_MOST_TAGS, _LONGEST_KEY, _LONGEST_VALUE = 50, 128, 256


def check(backend: Any, request: Mapping[str, Any]) -> None:  # noqa: ANN401 - moto is untyped for us
    """Refuse what EC2 refuses, before anything is created.

    Args:
        backend: moto's EC2 of the region.
        request: the parameters of RunInstances, including the subnet.

    Raises:
        EC2ClientError: with EC2's code.
    """
    user_data = base64.b64decode(request.get("UserData") or "")
    if len(user_data) > _LARGEST_USER_DATA:
        raise _invalid("User data is limited to 16384 bytes")
    interfaces = request.get("NetworkInterfaces") or []
    if interfaces and (request.get("SecurityGroupIds") or request.get("SecurityGroups")):
        raise EC2ClientError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        )
    if interfaces and request.get("SubnetId"):
        raise EC2ClientError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID may not be specified on the same request",
        )
    for each in interfaces or [request]:
        groups = each.get("Groups" if interfaces else "SecurityGroupIds") or []
        _check_network(backend, str(each["SubnetId"]), groups)
    for specification in request.get("TagSpecifications") or []:
        check_tags(specification.get("Tags") or [])


def zone(backend: Any, request: Mapping[str, Any]) -> str:  # noqa: ANN401 - moto is untyped for us
    """Return the zone of a request's subnet; empty if it names none. Raises EC2ClientError."""
    interfaces = request.get("NetworkInterfaces") or [request]
    subnet = interfaces[0].get("SubnetId")
    return str(backend.get_subnet(str(subnet)).availability_zone) if subnet else ""


def check_tags(tags: Sequence[Mapping[str, str]]) -> None:
    """Refuse tags that EC2 refuses. Raises EC2ClientError."""
    keys = [str(each.get("Key", "")) for each in tags]
    if len(keys) > _MOST_TAGS:
        raise EC2ClientError(
            "TagLimitExceeded", "The maximum number of Tags for a resource has been reached."
        )
    for key in keys:
        if keys.count(key) > 1:
            raise _invalid(f"Duplicate tag key '{key}' specified.")
        if not 0 < len(key) <= _LONGEST_KEY:
            raise _invalid("Tag key exceeds the maximum length of 128 characters")
        if key.lower().startswith("aws:"):
            raise _invalid("Tag keys starting with 'aws:' are reserved for internal use")
    if any(len(str(each.get("Value", ""))) > _LONGEST_VALUE for each in tags):
        raise _invalid("Tag value exceeds the maximum length of 256 characters")


def profile(account: str, wanted: Mapping[str, str]) -> str | None:
    """Return the ARN of the requested instance profile, or None. Raises EC2ClientError."""
    if not wanted:
        return None
    name, arn = wanted.get("Name"), wanted.get("Arn")
    for found in iam_backends[account]["aws"].get_instance_profiles():
        if (name or found.name) == found.name and (arn or found.arn) == found.arn:
            if not found.roles:
                raise _invalid(f"IAM Instance Profile '{found.arn}' has no associated IAM Roles")
            return str(found.arn)
    key, value = ("name", name) if name else ("arn", arn)
    words = f"Invalid IAM Instance Profile {'name' if name else 'ARN'}"
    raise _invalid(f"Value ({value}) for parameter iamInstanceProfile.{key} is invalid. {words}")


def volumes(
    backend: Any,  # noqa: ANN401 - moto is untyped for us
    root_device: str,
    mappings: Sequence[Mapping[str, Any]],
) -> tuple[models.Volume, ...]:
    """Return the volumes of an instance: its root device, as requested or as in the image, and the others.

    Raises:
        EC2ClientError: with EC2's code.
    """
    root = models.Volume(device=root_device, size=ROOT_GIB, type="gp2", encrypted=False)
    found = {root_device: root}
    asked: set[str] = set()
    for mapping in mappings:
        device, ebs = str(mapping.get("DeviceName", "")), mapping.get("Ebs") or {}
        if device in asked:
            raise EC2ClientError(
                "InvalidBlockDeviceMapping",
                f"The device '{device}' is used in more than one block-device mapping",
            )
        asked.add(device)
        found[device] = _volume(backend, device, ebs, ROOT_GIB if device == root_device else None)
    return tuple(found.values())


def _volume(backend: Any, device: str, ebs: Mapping[str, Any], least: int | None) -> models.Volume:  # noqa: ANN401
    snapshot = ebs.get("SnapshotId")
    if snapshot:
        # Raises InvalidSnapshot.NotFound.
        held = backend.get_snapshot(snapshot)
        least = int(held.volume.size)
        if held.encrypted and ebs.get("Encrypted") is False:
            raise EC2ClientError(
                "InvalidParameterDependency",
                f"The encrypted snapshot '{snapshot}' makes encrypted volumes only",
            )
    size = ebs.get("VolumeSize", least)
    if size is not None and least is not None and int(size) < least:
        raise EC2ClientError(
            "InvalidBlockDeviceMapping",
            f"Volume of size {size}GB is smaller than snapshot '{snapshot or device}', expect size >= {least}GB",
        )
    try:
        # EBS's volumes are recorded there.
        return models.Volume(
            device=device,
            size=size,
            type=ebs.get("VolumeType", "gp2"),
            iops=ebs.get("Iops"),
            throughput=ebs.get("Throughput"),
            encrypted=ebs.get("Encrypted", False),
            snapshot=snapshot,
            delete_on_termination=ebs.get("DeleteOnTermination", True),
        )
    except pydantic.ValidationError as error:
        words = "; ".join(each["msg"] for each in error.errors())
        raise _invalid(f"The block-device mapping of {device} is invalid: {words}") from None


def _check_network(backend: Any, subnet_id: str, groups: Sequence[str]) -> None:  # noqa: ANN401
    # Raises InvalidSubnetID.NotFound.
    subnet = backend.get_subnet(subnet_id)
    for group_id in groups:
        group = backend.get_security_group_from_id(group_id)
        if group is None:
            raise EC2ClientError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")
        if group.vpc_id != subnet.vpc_id:
            raise EC2ClientError(
                "InvalidParameter",
                f"Security group {group_id} and subnet {subnet_id} belong to different networks.",
            )


def wrong_state(instance: Any, verb: str) -> EC2ClientError:  # noqa: ANN401 - moto is untyped for us
    """Return EC2's error for an instance that cannot be started, stopped or rebooted in its state."""
    return EC2ClientError(
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be {verb} (it is {instance.state}).",
    )


def _invalid(words: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", words)
