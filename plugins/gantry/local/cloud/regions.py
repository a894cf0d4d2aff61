"""Possible regions of an embedded cloud: those of AWS that moto knows."""

from __future__ import annotations

import boto3

from gantry import errors as root
from gantry.local import errors


class UnknownRegionError(errors.LocalCloudError):
    """The region does not exist."""

    def __init__(self, region: str, known: list[str]) -> None:
        self.region = region
        near = root.near(region, known)
        hint = f", did you mean {near!r}?" if near else ": one of AWS's is, for example, 'eu-central-1'"
        super().__init__(f"unknown region {region!r}{hint}")


def require(region: str) -> None:
    """Raise UnknownRegionError unless it is a region of AWS."""
    known = boto3.Session().get_available_regions("ec2")
    if region not in known:
        raise UnknownRegionError(region, known)
