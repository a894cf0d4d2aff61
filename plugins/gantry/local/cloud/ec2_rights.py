"""Permissions required by EC2 calls: for each affected resource, with the tags that conditions use.

The resources and keys of each action follow AWS's service authorization reference for EC2. RunInstances requires
permission for everything that an instance consists of; tags in the request also require CreateTags, with
`ec2:CreateAction`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

from gantry.local.cloud import account
from gantry.local.cloud.iam import Ask

Form = Mapping[str, list[str]]
"""The parameters of a call as sent."""

Context = dict[str, tuple[str, ...]]

_KINDS = {
    "i": "instance",
    "vol": "volume",
    "eni": "network-interface",
    "subnet": "subnet",
    "sg": "security-group",
}
"""Resource types, by the prefix of their ids."""

_OF_INSTANCES = frozenset(
    {"GetConsoleOutput", "RebootInstances", "StartInstances", "StopInstances", "TerminateInstances"}
)


def asked(form: Form, region: str) -> Iterator[Ask]:
    """Yield the permissions that a call requires."""
    name = form.get("Action", ["Other"])[0]
    match name:
        case "RunInstances":
            yield from _RunInstances(form, region).asked()
        case "CreateTags" | "DeleteTags":
            tags = _tags(form, r"Tag\.\d+")
            said = _requested(tags) if name == "CreateTags" else {"aws:TagKeys": tuple(tags)}
            for each in _values(form, r"ResourceId\.\d+"):
                yield Ask(f"ec2:{name}", _arn(region, _kind(each), each), _tagged(region, each) | said)
        case _ if name in _OF_INSTANCES:
            for each in _values(form, r"InstanceId(\.\d+)?"):
                yield Ask(f"ec2:{name}", _arn(region, "instance", each), _tagged(region, each))
        case _:
            yield Ask(f"ec2:{name}")


class _RunInstances:
    """One RunInstances call."""

    def __init__(self, form: Form, region: str) -> None:
        self._form = form
        self._region = region
        self._given = {
            form[f"TagSpecification.{index}.ResourceType"][0]: _tags(
                form, rf"TagSpecification\.{index}\.Tag\.\d+"
            )
            for index in _values_of_indexes(form, r"TagSpecification\.(\d+)\.ResourceType")
        }

    def asked(self) -> Iterator[Ask]:
        """Yield all permissions that it requires."""
        image = _values(self._form, "ImageId")
        yield from self._used("image", image or ["*"], owned=False)
        size = {"ec2:InstanceType": tuple(_values(self._form, "InstanceType"))}
        for kind in ("instance", "volume", "network-interface"):
            context = _requested(self._given.get(kind, {})) | (size if kind == "instance" else {})
            yield Ask("ec2:RunInstances", _arn(self._region, kind, "*"), context)
        yield from self._used("subnet", self._subnets())
        yield from self._used("security-group", self._groups())
        yield from self._used("key-pair", _values(self._form, "KeyName"))
        snapshots = _values(self._form, r"BlockDeviceMapping\.\d+\.Ebs\.SnapshotId")
        yield from self._used("snapshot", snapshots, owned=False)
        for kind, tags in self._given.items():
            said = _requested(tags) | {"ec2:CreateAction": ("RunInstances",)}
            yield Ask("ec2:CreateTags", _arn(self._region, kind, "*"), said)
        for role in self._roles():
            yield Ask("iam:PassRole", role, {"iam:PassedToService": ("ec2.amazonaws.com",)})

    def _used(self, kind: str, ids: list[str], *, owned: bool = True) -> Iterator[Ask]:
        for each in ids:
            yield Ask(
                "ec2:RunInstances", _arn(self._region, kind, each, owned=owned), _tagged(self._region, each)
            )

    def _subnets(self) -> list[str]:
        named = _values(self._form, r"(NetworkInterface\.\d+\.)?SubnetId")
        return named or [each.id for each in _backend(self._region).get_default_subnets().values()][:1]

    def _groups(self) -> list[str]:
        named = _values(self._form, r"(NetworkInterface\.\d+\.)?SecurityGroupId\.\d+")
        if named:
            return named
        subnet = next((each for each in _subnets(self._region) if each.id in self._subnets()), None)
        found = _backend(self._region).get_security_group_from_name(
            "default", vpc_id=subnet and subnet.vpc_id
        )
        return [found.id] if found is not None else []

    def _roles(self) -> list[str]:
        names = _values(self._form, r"IamInstanceProfile\.(Name|Arn)")
        known = iam_backends[account.ACCOUNT_ID]["aws"].instance_profiles.values()
        return [
            role.arn
            for profile in known
            if {profile.name, profile.arn} & set(names)
            for role in profile.roles
        ]


def _requested(tags: Mapping[str, str]) -> Context:
    """Return the context of tags to be set."""
    if not tags:
        return {}
    return {"aws:TagKeys": tuple(tags)} | {f"aws:RequestTag/{key}": (value,) for key, value in tags.items()}


def _tagged(region: str, resource: str) -> Context:
    """Return the context of a resource's tags. A missing resource has none."""
    tags = _backend(region).tags.get(resource, {})
    return {
        f"{prefix}:ResourceTag/{key}": (str(value),)
        for key, value in tags.items()
        for prefix in ("aws", "ec2")
    }


def _tags(form: Form, prefix: str) -> dict[str, str]:
    """Return the tags in a form."""
    found = {}
    for name, values in form.items():
        if re.fullmatch(rf"{prefix}\.Key", name):
            found[values[0]] = form.get(f"{name.removesuffix('Key')}Value", [""])[0]
    return found


def _values(form: Form, pattern: str) -> list[str]:
    return [values[0] for name, values in form.items() if re.fullmatch(pattern, name)]


def _values_of_indexes(form: Form, pattern: str) -> list[str]:
    return [found[1] for name in form if (found := re.fullmatch(pattern, name))]


def _arn(region: str, kind: str, resource: str, *, owned: bool = True) -> str:
    """Return an ARN. Images and snapshots belong to their creators: their ARNs contain no account."""
    return f"arn:aws:ec2:{region}:{account.ACCOUNT_ID if owned else ''}:{kind}/{resource}"


def _kind(resource: str) -> str:
    return _KINDS.get(resource.partition("-")[0], "other")


def _backend(region: str) -> Any:  # noqa: ANN401 - moto is untyped for us
    return ec2_backends[account.ACCOUNT_ID][region]


def _subnets(region: str) -> list[Any]:
    return [each for zone in _backend(region).subnets.values() for each in zone.values()]
