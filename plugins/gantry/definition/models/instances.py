"""EC2 settings of a launch configuration beyond image and size: network, volumes, tags, user data."""

from __future__ import annotations

import base64
import dataclasses
import re
from typing import Annotated, Literal

import pydantic
import yaml
from pydantic import Field

from gantry.definition import source
from gantry.definition.fields import Device, Flag, Model, SecurityGroup, Snapshot, Subnet

LARGEST_USER_DATA = 14_000
"""Maximum bytes of a definition's own user data. EC2 accepts 16,384, including Gantry's part and the envelope."""

MOST_TAGS = 40
"""Maximum number of a definition's own tags on one resource. EC2 allows 50, including Gantry's."""

LONGEST_TAG_KEY = 128

DECIDED_HERE = frozenset(
    {
        "cloud_config_modules", "cloud_final_modules", "cloud_init_modules", "disable_root", "disable_root_opts",
        "merge_how", "merge_type", "ssh", "ssh_deletekeys", "ssh_genkeytypes", "ssh_keys", "ssh_publish_hostkeys",
        "ssh_pwauth", "ssh_quiet_keygen", "user", "users",
    }
)  # fmt: skip
"""Keys of a cloud-config that Gantry's own access to a server depends on. A definition's part must not contain them:
cloud-init would silently drop its values if Gantry's win."""

IMAGE_PARAMETER = "resolve:ssm:"
"""The prefix of an image that is a Systems Manager parameter, as in EC2."""

LONGEST_IMAGE = 1100
"""Characters. A parameter's ARN has at most about this length; an image's name has at most 128."""

_LONGEST_IMAGE_NAME = 128
_PARAMETER = re.compile(r"[A-Za-z0-9_.:/-]+")

TagValue = Annotated[str, Field(max_length=256)]
Tags = dict[str, TagValue]


class Network(Model):
    """The network that servers are in, and who may access them."""

    subnets: tuple[Subnet, ...] = Field(
        default=(),
        description=(
            "Ids. With several, servers are spread over them by their slots: the first server in the first subnet, "
            "the second in the second, and so on, starting over after the last. Where one has no room for a server "
            "(no capacity for the size in its zone, no free addresses), the next one gets it. Left out: the default "
            "VPC's."
        ),
        examples=[["subnet-0a1b2c3d", "subnet-4e5f6a7b"]],
    )
    security_groups: tuple[SecurityGroup, ...] = Field(
        default=(),
        description=(
            "Ids; they must allow SSH from the workers, and let the servers reach each other's ports. Left out: the "
            "VPC's default."
        ),
        examples=[["sg-0a1b2c3d"]],
    )
    public_address: Flag | None = Field(
        default=None,
        description="Whether servers get a public address. Left out: as the subnet is configured.",
        examples=[True],
    )

    tags: Tags | None = Field(
        default=None,
        description=(
            "Tags on the servers' network interfaces, besides `cloud.tags` and the launch configuration's; `{}` for "
            "these alone. Left out: the interfaces get no tags."
        ),
        examples=[{"network": "shop"}],
    )

    @pydantic.field_validator("subnets", "security_groups")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _without_repetition(value)


class Metadata(Model):
    """How a server's own processes may ask for its metadata and the credentials of its instance profile."""

    tokens: Literal["required", "optional"] = Field(
        default="required",
        description=(
            "`required`: only with a session token (IMDSv2), which a request forged through a proxy "
            "or a web application cannot get. `optional` is for images whose software knows IMDSv1 only."
        ),
        examples=["optional"],
    )
    hop_limit: Annotated[int, Field(strict=True, ge=1, le=64)] | None = Field(
        default=None,
        description=(
            "Routers that an answer with a token may pass: 2 lets containers on the server ask as well. Left out: as "
            "the image or the account is configured, else 1."
        ),
        examples=[2],
    )


@dataclasses.dataclass(frozen=True)
class _Kind:
    """EBS limits for a type of volume: sizes in GiB, IOPS, IOPS per GiB, MiB/s; None if not applicable."""

    sizes: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0
    throughput: tuple[int, int] | None = None


_KINDS = {
    "gp3": _Kind((1, 65536), (3000, 80000), 500, (125, 2000)),
    "gp2": _Kind((1, 16384)),
    "io1": _Kind((4, 16384), (100, 64000), 50),
    "io2": _Kind((4, 65536), (100, 256000), 1000),
    "st1": _Kind((125, 16384)),
    "sc1": _Kind((125, 16384)),
    "standard": _Kind((1, 1024)),
}
"""https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html"""

_IOPS_FOR_A_MIB = 4
_IOPS_OF_GP3 = 3000


class Volume(Model):
    """An EBS volume that each server gets of its own."""

    device: Device = Field(
        description=(
            "Its device name on the server. Name the image's root device to give that another size or type."
        ),
        examples=["/dev/xvdb"],
    )
    size: Annotated[int, Field(strict=True, ge=1, le=65536)] | None = Field(
        default=None, description="GiB. Left out: the snapshot's size.", examples=[100]
    )
    type: Literal["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"] = Field(
        default="gp3", description="EBS's volume type.", examples=["io2"]
    )
    iops: Annotated[int, Field(strict=True, ge=100, le=256000)] | None = Field(
        default=None,
        description="Operations per second; required for `io1` and `io2`, optional for `gp3`.",
        examples=[6000],
    )
    throughput: Annotated[int, Field(strict=True, ge=125, le=2000)] | None = Field(
        default=None, description="MiB per second, for `gp3`.", examples=[250]
    )
    encrypted: Flag = Field(
        default=True, description="Encrypted with the account's key for EBS.", examples=[False]
    )
    snapshot: Snapshot | None = Field(
        default=None, description="The snapshot that it is created from.", examples=["snap-0a1b2c3d"]
    )
    delete_on_termination: Flag = Field(
        default=True, description="`false` keeps the volume when its server is terminated.", examples=[False]
    )

    @pydantic.model_validator(mode="after")
    def _possible(self) -> Volume:
        kind = _KINDS[self.type]
        if self.size is None and self.snapshot is None:
            raise ValueError("a volume needs a size, or a snapshot that it is made from")
        if self.size is not None:
            self._within("size", "GiB", self.size, kind.sizes)
        if self.iops is None:
            if kind.iops and self.type != "gp3":
                raise ValueError(f"a volume of type {self.type} needs iops")
        elif kind.iops is None:
            raise ValueError(f"iops is not for the type {self.type}")
        else:
            self._within("iops", "operations a second", self.iops, kind.iops)
            if self.size is not None and self.iops > max(kind.iops[0], kind.iops_per_gib * self.size):
                most = max(kind.iops[0], kind.iops_per_gib * self.size)
                raise ValueError(
                    f"{self.size} GiB of type {self.type} have at most {most} iops, and not {self.iops}"
                )
        self._fast_enough(kind)
        return self

    def _fast_enough(self, kind: _Kind) -> None:
        if self.throughput is None:
            return
        if kind.throughput is None:
            raise ValueError(f"throughput is not for the type {self.type}")
        needed = self.throughput * _IOPS_FOR_A_MIB
        if needed > (self.iops or _IOPS_OF_GP3):
            raise ValueError(f"a throughput of {self.throughput} MiB a second needs at least {needed} iops")

    def _within(self, key: str, unit: str, value: int, limits: tuple[int, int]) -> None:
        if not limits[0] <= value <= limits[1]:
            raise ValueError(
                f"the {key} of a volume of type {self.type} is {limits[0]} to {limits[1]} {unit}, and not {value}"
            )


def image(text: str) -> str:
    """Validate an image's id or name, or a parameter that holds an id. Raises ValueError."""
    if text.startswith("resolve:"):
        if not text.startswith(IMAGE_PARAMETER) or not _PARAMETER.fullmatch(text[len(IMAGE_PARAMETER) :]):
            raise ValueError(
                f"a parameter of Systems Manager is written {IMAGE_PARAMETER}NAME (letters, digits, _ . - / and : "
                f"before a version or label), and not {source.shown(text)}"
            )
    elif len(text) > _LONGEST_IMAGE_NAME:
        raise ValueError(f"an image's name has at most {_LONGEST_IMAGE_NAME} characters, and not {len(text)}")
    return text


def devices_once(volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
    """Validate that each volume has a device of its own. Raises ValueError."""
    _without_repetition(tuple(each.device for each in volumes))
    return volumes


def user_data(text: str | None) -> str | None:
    """Validate a script or a cloud-config for the first boot, which must not affect Gantry's access.

    Raises ValueError.
    """
    if text is None:
        return None
    first = text.partition("\n")[0].rstrip()
    if not first.startswith("#!") and first != "#cloud-config":
        raise ValueError(
            f"user data begins with #! or with a line #cloud-config, and not with {source.shown(first)}"
        )
    raw = text.encode()
    size = len(raw) if text.isascii() else len(base64.encodebytes(raw))
    if size > LARGEST_USER_DATA:
        raise ValueError(
            f"user data is at most {LARGEST_USER_DATA:,} bytes (three quarters of it with letters beyond ASCII), and "
            f"this is {size:,}; let it fetch the rest, or leave it to a service"
        )
    if first == "#cloud-config":
        _cloud_config(text)
    return text


def _cloud_config(text: str) -> None:
    """Check the keys of a cloud-config. Its values are not constructed: aliases could expand to gigabytes."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > source.DEEPEST:
                raise ValueError(f"the cloud-config is nested more than {source.DEEPEST} levels deep")
        found = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f" in its line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"the cloud-config is not valid YAML{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"the cloud-config is not valid YAML: {source.shown(str(error))}") from None
    if not isinstance(found, yaml.MappingNode):
        raise ValueError("a cloud-config is a mapping (key: value)")
    keys = {str(key.value) for key, _ in found.value}
    if "<<" in keys:
        raise ValueError(
            "a merge key (<<) at the top of a cloud-config hides which keys it has; write them out"
        )
    ours = sorted(DECIDED_HERE & keys)
    if ours:
        raise ValueError(
            f"{source.listed(ours)}: decided by Gantry, which has to reach the server; more accounts can be made by "
            f"a script"
        )


def _without_repetition(words: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise ValueError(f"named twice: {source.listed(twice)}")
    return words
