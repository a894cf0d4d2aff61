"""Checks for new servers: the image of each tier, its subnets, and a dry run of starting one server.

EC2 checks permissions and parameters in a dry run, and starts nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from gantry import names
from gantry.cloud import requests, servers
from gantry.cloud.errors import CloudError, worded
from gantry.definition import models
from gantry.preflight.findings import PreflightCheck, PreflightFinding, may_look

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client

_BOOT = "#cloud-config\n"
_WOULD_WORK = "DryRunOperation"


def looks(
    definition: models.Definition, tier: names.TierName, known: servers.Servers, ec2: EC2Client
) -> Iterator[Callable[[], list[PreflightFinding]]]:
    """Yield the checks for the new servers of a tier."""
    name = definition.tiers[tier].launch_configuration
    launch = definition.launch_configurations[name]
    place = ("launch_configurations", name)
    for index, subnet in enumerate(launch.network.subnets):
        # A launch itself does not read them.
        look = PreflightCheck(
            f"tier {tier}: subnet {subnet}", (*place, "network", "subnets", index), may_look
        )
        yield functools.partial(_one, look, functools.partial(_subnet, definition, ec2, subnet))
    yield functools.partial(_started, definition, tier, known, ec2)


def _one(look: PreflightCheck, ask: Callable[[], str]) -> list[PreflightFinding]:
    return [look.of(ask)]


def _started(
    definition: models.Definition, tier: names.TierName, known: servers.Servers, ec2: EC2Client
) -> list[PreflightFinding]:
    """Check the image, and one server in each subnet: the second needs the first."""
    name = definition.tiers[tier].launch_configuration
    launch = definition.launch_configurations[name]
    place = ("launch_configurations", name)
    look = PreflightCheck(f"tier {tier}: image {launch.image}", (*place, "image"))
    image = look.of(functools.partial(known.image_id, launch.image))
    found = [image]
    if image.standing is not image.standing.WELL:
        return found
    for index, subnet in enumerate(launch.network.subnets or ("of the default VPC",)):
        ask = functools.partial(_dry_run, definition, ec2, tier, names.Slot(1 + index), image.said)
        found.append(PreflightCheck(f"tier {tier}: a server in subnet {subnet}", place).of(ask))
    return found


def _subnet(definition: models.Definition, ec2: EC2Client, subnet: str) -> str:
    # A dry run may end before it checks the subnet.
    with worded(f"looking for the subnet {subnet}", definition.cloud.connection):
        (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return f"is in {found['AvailabilityZone']}, with {found['AvailableIpAddressCount']} free addresses"


def _dry_run(
    definition: models.Definition, ec2: EC2Client, tier: names.TierName, slot: names.Slot, image: str
) -> str:
    request: Any = requests.run_instances(
        definition, tier, [slot], image_id=image, boot=_BOOT, token="", run="examination"
    )
    # Nothing here has to be protected from happening twice.
    del request["ClientToken"]
    try:
        with worded(f"trying to start a server of tier {tier}", definition.cloud.connection):
            ec2.run_instances(DryRun=True, **request)
    except CloudError as error:
        if error.code != _WOULD_WORK:
            raise
    return "would be started"
