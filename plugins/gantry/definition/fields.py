"""Field types of the definition language: names, durations, URLs, and their formats."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Annotated, ClassVar

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import source, spelling

LONGEST_DURATION = datetime.timedelta(days=30)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smh])")
_DURATION_WORDS = "a duration is a number of seconds, or text such as 90s, 15m, 1h"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _duration(value: object) -> object:
    """Parse `90`, `"90s"`, `"15m"` or `"1h"` as a duration."""
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        raise ValueError(f"{_DURATION_WORDS}, and not {source.shown(value)}")
    if seconds > LONGEST_DURATION.total_seconds():
        raise ValueError(f"a duration is at most {LONGEST_DURATION.days} days")
    return datetime.timedelta(seconds=seconds)


def written(value: datetime.timedelta) -> str:
    """Format a duration as in a definition: in the largest unit without a fraction."""
    seconds = value.total_seconds()
    for unit, length in sorted(_SECONDS.items(), key=lambda each: -each[1]):
        if seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def _positive(value: datetime.timedelta) -> datetime.timedelta:
    if value <= datetime.timedelta(0):
        raise ValueError("a duration is more than zero")
    return value


def _unpackable(url: str) -> str:
    if not url.lower().endswith(ARCHIVE_ENDINGS):
        endings = source.listed(ARCHIVE_ENDINGS)
        raise ValueError(f"{source.shown(url)} does not end as an archive that servers can unpack: {endings}")
    return url


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError("a text, a number, true or false belongs here")
    return value


Duration = Annotated[
    datetime.timedelta,
    pydantic.BeforeValidator(_duration),
    pydantic.AfterValidator(_positive),
    pydantic.PlainSerializer(datetime.timedelta.total_seconds),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": LONGEST_DURATION.total_seconds()},
                {"type": "string", "pattern": rf"^\s*{_DURATION.pattern}\s*$"},
            ]
        }
    ),
]
_CONNECTION = r"^[A-Za-z0-9_.\-]+$"
_SHA256 = r"^[0-9a-f]{64}$"
_S3_URL = r"^s3://[a-z0-9][a-z0-9.\-]{2,62}/\S+$"
ARCHIVE_ENDINGS = (
    ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst", ".tar", ".zip",
)  # fmt: skip
"""Possible suffixes of a service archive's name, in any case; servers detect the format by the content."""
_ENDING = "|".join(ARCHIVE_ENDINGS).replace(".", r"\.")
# No (?i): editors use the pattern too, and their dialect does not support it.
_ARCHIVE_URL = r"^s3://[a-z0-9][a-z0-9.\-]{2,62}/\S*(%s)$" % re.sub(  # noqa: UP031 - braces are the pattern's own
    "[a-z]", lambda found: f"[{found[0].upper()}{found[0]}]", _ENDING
)
_S3_FOLDER = r"^s3://[a-z0-9][a-z0-9.\-]{2,62}/(\S*/)?$"
_HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?$"
_REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
_SIZE = r"^[a-z0-9\-]+\.[a-z0-9\-]+$"
_SUBNET = r"^subnet-[0-9a-f]+$"
_SECURITY_GROUP = r"^sg-[0-9a-f]+$"
_SNAPSHOT = r"^snap-[0-9a-f]+$"
_DEVICE = r"^/dev/(sd[a-z][0-9]{0,2}|xvd[a-z]{1,2}[0-9]{0,2})$"
_INSTANCE_PROFILE = (
    r"^(arn:aws[a-z\-]*:iam::[0-9]{12}:instance-profile/([!-~]+/)?)?[A-Za-z0-9_+=,.@\-]{1,128}$"
)
_RUN_LIST_ITEM = r"^[A-Za-z0-9_][A-Za-z0-9_:.@\-]*(\[[A-Za-z0-9_:.@\-]+\])?$"
_CHEF_NAME = r"^[A-Za-z0-9_\-]+$"
_CHEF_POLICY = r"^[A-Za-z0-9_:.\-]+$"
_SETTING = r"^[a-z][a-z0-9_]*$"
_DOTTED_NAME = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"
_CUSTOM_KEY = r"^[A-Za-z][A-Za-z0-9_.\-]*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

FORMS = {
    names.NAME_PATTERN: "a name (small letters, digits, single dashes; a letter first)",
    names.SERVICE_ID_PATTERN: "a service id (a and up to 9 digits, such as a1001)",
    names.CUSTOMER_ID_PATTERN: "a customer id (c and up to 9 digits, such as c100)",
    names.USER_PATTERN: "a user name (small letters, digits, _ and -)",
    _CONNECTION: "a connection's id (letters, digits, _ . -)",
    _SHA256: "a SHA-256 sum (64 hexadecimal digits in small letters)",
    _S3_URL: "an S3 URL (s3://BUCKET/KEY)",
    _S3_FOLDER: "a folder in S3 (s3://BUCKET/ or s3://BUCKET/FOLDER/)",
    _HOST_NAME: "a host name (letters, digits, dots, dashes)",
    _REGION: "a region (such as eu-central-1)",
    _SIZE: "an instance type (such as t3.small)",
    _SUBNET: "a subnet's id (such as subnet-0a1b2c3d)",
    _SECURITY_GROUP: "a security group's id (such as sg-0a1b2c3d)",
    _SNAPSHOT: "a snapshot's id (such as snap-0a1b2c3d)",
    _DEVICE: "a device (such as /dev/xvdb or /dev/sdf)",
    _INSTANCE_PROFILE: "an instance profile (its name or its ARN)",
    _RUN_LIST_ITEM: "an item of a run list (role[NAME] or recipe[NAME])",
    _CHEF_POLICY: "the name of a Chef policy or policy group (letters, digits, _ : . -)",
    _CHEF_NAME: "the name of a Chef environment (letters, digits, _ and -)",
    _SETTING: "a setting of client.rb (small letters, digits, _; a letter first)",
    _DOTTED_NAME: "the dotted name of a class (package.module.Class)",
    _CUSTOM_KEY: "a custom key (letters, digits, _ . -; a letter first)",
    _VARIABLE: "the name of a variable (letters, digits, _; no digit first)",
}
"""Descriptions of the formats that patterns define."""

_NAME = Field(pattern=names.NAME_PATTERN, max_length=40)
DeploymentName = Annotated[names.DeploymentName, _NAME]
ConfigurationName = Annotated[str, _NAME]
TierName = Annotated[names.TierName, _NAME]
ServiceName = Annotated[names.ServiceName, _NAME]
DatasourceName = Annotated[names.DatasourceName, _NAME]
BackupName = Annotated[names.BackupName, _NAME]
BalancerName = Annotated[names.BalancerName, _NAME]
PortName = Annotated[names.PortName, _NAME]
ServiceId = Annotated[names.ServiceId, Field(pattern=names.SERVICE_ID_PATTERN)]
UserId = Annotated[str, Field(pattern=names.USER_PATTERN)]
CustomerId = Annotated[names.CustomerId, Field(pattern=names.CUSTOMER_ID_PATTERN)]
Connection = Annotated[names.ConnectionId, Field(pattern=_CONNECTION, max_length=200)]
# Strict: otherwise `true` would be port 1.
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Sha256 = Annotated[str, Field(pattern=_SHA256)]
S3Url = Annotated[str, Field(pattern=_S3_URL)]
ArchiveUrl = Annotated[
    str,
    Field(pattern=_S3_URL),
    pydantic.AfterValidator(_unpackable),
    pydantic.WithJsonSchema({"type": "string", "pattern": _ARCHIVE_URL}),
]
S3Folder = Annotated[str, Field(pattern=_S3_FOLDER)]
HostName = Annotated[str, Field(pattern=_HOST_NAME)]
Region = Annotated[str, Field(pattern=_REGION)]
Size = Annotated[str, Field(pattern=_SIZE)]
Subnet = Annotated[str, Field(pattern=_SUBNET)]
SecurityGroup = Annotated[str, Field(pattern=_SECURITY_GROUP)]
Snapshot = Annotated[str, Field(pattern=_SNAPSHOT)]
Device = Annotated[str, Field(pattern=_DEVICE)]
InstanceProfile = Annotated[str, Field(pattern=_INSTANCE_PROFILE)]
# Strict: otherwise 1 and "on" would be true.
Flag = Annotated[bool, Field(strict=True)]
RunListItem = Annotated[str, Field(pattern=_RUN_LIST_ITEM)]
ChefPolicy = Annotated[str, Field(pattern=_CHEF_POLICY, max_length=255)]
ChefEnvironment = Annotated[str, Field(pattern=_CHEF_NAME, max_length=255)]
ClientSetting = Annotated[str, Field(pattern=_SETTING)]
DottedName = Annotated[str, Field(pattern=_DOTTED_NAME, max_length=500)]
CustomKey = Annotated[str, Field(pattern=_CUSTOM_KEY)]
VariableName = Annotated[str, Field(pattern=_VARIABLE, max_length=40)]
# Numbers in them have to keep their spelling, since it is unknown whether a version or a number is meant.
Json = Annotated[pydantic.JsonValue, pydantic.BeforeValidator(spelling.refuse)]
Scalar = Annotated[
    str | int | float | bool, pydantic.BeforeValidator(_scalar), pydantic.BeforeValidator(spelling.refuse)
]
Text = Annotated[
    str | int | float | bool, pydantic.BeforeValidator(_scalar), pydantic.BeforeValidator(spelling.as_written)
]
"""A scalar that is written to a server as text, with its original spelling."""


class Model(pydantic.BaseModel):
    """Base class of every part of a definition: frozen, and without unknown keys."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    short_form: ClassVar[Mapping[str, object] | None] = None
    """JSON Schema of a short form that may be written instead of the mapping, if any."""

    only_short: ClassVar[bool] = False
    """Whether the short form is the only one."""
