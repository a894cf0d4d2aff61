"""Initial contents of the embedded cloud's account: images, and a network."""

from __future__ import annotations

import ipaddress

from moto.ec2.models import ec2_backends
from moto.ec2.models.amis import Ami

ACCOUNT_ID = "123456789012"  # moto's default
IMAGE_NAME = "gantry-debian-12"
IMAGE_ID = "ami-0d6120009a4712000"  # the same in every embedded cloud
PREPARED_IMAGE_NAME = "gantry-debian-12-prepared"
PREPARED_IMAGE_ID = "ami-0d6120009a4712001"


def furnish(region: str, cidr: str, image: str, prepared_image: str) -> tuple[str, str, str]:
    """Create our images, and make the Docker network the account's default VPC, with a subnet in each of two zones.

    Done in moto's objects, as the API supports neither a chosen image id nor a default VPC with a chosen range.

    Returns:
        The ids of the VPC, of its first subnet, and of the VPC's default security group.
    """
    ec2 = ec2_backends[ACCOUNT_ID][region]
    for identifier, name, description, location in (
        (IMAGE_ID, IMAGE_NAME, "Debian 12 with cloud-init, sshd and chef-client", image),
        (
            PREPARED_IMAGE_ID,
            PREPARED_IMAGE_NAME,
            "The same with MariaDB, HAProxy and PyMySQL",
            prepared_image,
        ),
    ):
        ec2.amis[identifier] = Ami(
            ec2,
            identifier,
            name=name,
            description=f"{description}, a container of this machine",
            image_location=location,
            architecture="x86_64",
            virtualization_type="hvm",
            region_name=f"{region}a",
        )
    for subnet in list(ec2.get_default_subnets().values()):
        ec2.delete_subnet(subnet.id)
    ec2.delete_vpc(ec2.get_default_vpc().id)
    vpc = ec2.create_vpc(cidr, is_default=True)
    ec2.default_vpc = vpc
    subnets = [
        ec2.create_subnet(vpc.id, str(half), availability_zone=f"{region}{zone}")
        for zone, half in zip("ab", ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=1), strict=True)
    ]
    for subnet in subnets:
        # The first subnet of a zone would assign public addresses, which need a separate network here.
        ec2.modify_subnet_attribute(subnet.id, "map_public_ip_on_launch", attr_value=False)
    group = ec2.get_security_group_from_name("default", vpc_id=vpc.id)
    return vpc.id, subnets[0].id, group.id
