"""EC2's errors for exhausted capacity and unusable volumes: moto has unlimited capacity.

Some are errors of RunInstances; others occur while the instance is created, which then ends with a state reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.kms.models import kms_backends

from gantry.definition import models
from gantry.local.cloud.limits import Limits

_ENDED = ("shutting-down", "terminated")


class ServerFaultError(EC2ClientError):  # type: ignore[misc] # moto is untyped for us, see pyproject
    """An error with status 500: AWS's clients retry it automatically."""


def room(backend: Any, request: Mapping[str, Any], limits: Limits) -> int:  # noqa: ANN401 - moto is untyped for us
    """Return how many instances a request gets: as many as there is room for, between `MinCount` and `MaxCount`.

    Args:
        backend: moto's EC2 of the region.
        request: the parameters of RunInstances, including the subnet.
        limits: the available capacity.

    Raises:
        EC2ClientError: there is no room for the minimum.
    """
    least, most = int(request["MinCount"]), int(request["MaxCount"])
    interfaces = request.get("NetworkInterfaces") or [request]
    subnet = backend.get_subnet(str(interfaces[0]["SubnetId"]))
    zone, size = str(subnet.availability_zone), str(request.get("InstanceType") or "m1.small")
    running = [each for each in backend.all_instances() if each.state not in _ENDED]

    capacity = limits.capacity.get(zone, {}).get(size)
    if capacity is not None:
        most = min(
            most,
            capacity - sum((each.availability_zone, each.instance_type) == (zone, size) for each in running),
        )
        if most < least:
            raise ServerFaultError(
                "InsufficientInstanceCapacity",
                f"We currently do not have sufficient {size} capacity in the Availability Zone you requested ({zone}). "
                f"Our system will be working on provisioning additional capacity.",
            )
    addresses = limits.addresses.get(str(subnet.id))
    if addresses is not None and addresses - sum(each.subnet_id == subnet.id for each in running) < most:
        raise EC2ClientError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of "
            f"instances.",
        )
    return most


def fate(
    backend: Any,  # noqa: ANN401 - moto is untyped for us
    image: str,
    volumes: Iterable[Any],
    limits: Limits,
) -> tuple[str, str] | None:
    """Return why an instance ends during creation, as code and message of its state reason, or None."""
    if image in limits.broken_images:
        return "Client.InvalidSnapshot.NotFound", "The specified snapshot does not exist"
    keys = kms_backends[backend.account_id][backend.region_name].keys
    for volume in volumes:
        key = keys.get(str(volume.kms_key_id).rpartition("/")[2]) if volume.encrypted else None
        if key is not None and key.key_state != "Enabled":
            return "Client.InternalError", "Client error on launch"
        quota = limits.storage.get(str(volume.volume_type))
        used = sum(
            int(each.size) for each in backend.volumes.values() if each.volume_type == volume.volume_type
        )
        if quota is not None and used > quota:
            return "Client.VolumeLimitExceeded", "Volume limit exceeded"
    return None


def image(backend: Any, wanted: str) -> str:  # noqa: ANN401 - moto is untyped for us
    """Return the id of an image, which may be a Systems Manager parameter (`resolve:ssm:NAME`).

    Raises:
        EC2ClientError: the parameter does not exist.
    """
    if not wanted.startswith(models.IMAGE_PARAMETER):
        return wanted
    from moto.ssm.models import ssm_backends  # noqa: PLC0415 - it loads all of AWS's public parameters

    name = wanted.removeprefix(models.IMAGE_PARAMETER)
    found = ssm_backends[backend.account_id][backend.region_name].get_parameters([name])
    if name not in found:
        raise EC2ClientError("InvalidParameterValue", f"The SSM parameter '{name}' does not exist")
    return str(found[name].value)
