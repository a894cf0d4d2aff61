"""Images of launch configurations: ids, names of own images, and Systems Manager parameters that hold an id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gantry import errors
from gantry.cloud import clients
from gantry.cloud.errors import worded
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client


class UnknownImageError(errors.GantryError):
    """The account has no image of that name."""

    def __init__(self, image: str, region: str) -> None:
        self.image = image
        super().__init__(
            f"unknown image {image!r}: this account has no image of that name in {region}\n"
            f"Correct the launch configuration's image (an id ami-…, the name of an own image, or resolve:ssm:NAME)."
        )


class UnknownParameterError(errors.GantryError):
    """A Systems Manager parameter for an image does not exist, or does not hold an image id."""

    def __init__(self, image: str, region: str, problem: str) -> None:
        self.image = image
        super().__init__(
            f"image {image!r}: {problem} in {region}\n"
            f"Correct the launch configuration's image. Parameters belong to one region of one account, but for public "
            f"ones (/aws/service/…)."
        )


def to_launch(ec2: EC2Client, image: str, cloud: models.Cloud) -> str:
    """Return the image for RunInstances: an id, or a parameter as written, which EC2 resolves itself.

    Raises:
        UnknownImageError: the account owns no image of that name.
        CloudError: the cloud refused.
    """
    if image.startswith(("ami-", models.IMAGE_PARAMETER)):
        return image
    # Names are looked up among the account's own images only: anyone may publish an image.
    with worded(f"looking for the image {image}", cloud.connection):
        found = ec2.describe_images(Owners=["self"], Filters=[{"Name": "name", "Values": [image]}])
    newest = max(found["Images"], key=lambda each: each.get("CreationDate", ""), default=None)
    if newest is None:
        raise UnknownImageError(image, cloud.region)
    return newest["ImageId"]


def image_id(ec2: EC2Client, image: str, cloud: models.Cloud) -> str:
    """Return the id of the image that servers would be started from now.

    Raises:
        UnknownImageError: the account owns no image of that name.
        UnknownParameterError: the parameter does not exist, or does not hold an image id.
        CloudError: the cloud refused.
    """
    if not image.startswith(models.IMAGE_PARAMETER):
        return to_launch(ec2, image, cloud)
    name = image.removeprefix(models.IMAGE_PARAMETER)
    with worded(f"looking for the parameter {name}", cloud.connection):
        # The plural call: EC2 requires the same permission when it resolves the parameter.
        found = clients.ssm(cloud).get_parameters(Names=[name])["Parameters"]
    if not found:
        raise UnknownParameterError(image, cloud.region, "there is no such parameter")
    value = str(found[0].get("Value", ""))
    if not value.startswith("ami-"):
        raise UnknownParameterError(image, cloud.region, "the parameter holds no image's id (ami-…)")
    return value
