"""The definition language: what a team writes about a deployment, as frozen models.

The models hold what stands in the file and check each value by itself. What needs two places of the file
(a service's tier, a dependency, a cycle) is checked in `gantry.definition.checks`.
"""

from __future__ import annotations

import collections
import datetime
import re
import zoneinfo
from typing import Annotated, Any, Literal

import croniter
import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import source

SMALLEST_FAN_OUT, LARGEST_FAN_OUT = 1, 64
MOST_SERVERS = 1000
LONGEST_DURATION = datetime.timedelta(days=30)
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([smh])")
_DURATION_WORDS = "a length of time is a number of seconds, or text such as 90s, 15m, 1h"
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def _duration(value: object) -> object:
    """Read `90`, `"90s"`, `"15m"` or `"1h"` as a length of time."""
    if isinstance(value, datetime.timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _SECONDS[found[2]]
    else:
        raise ValueError(f"{_DURATION_WORDS}, and not {source.shown(value)}")
    if seconds > LONGEST_DURATION.total_seconds():
        raise ValueError(f"a length of time is at most {LONGEST_DURATION.days} days")
    return datetime.timedelta(seconds=seconds)


def _positive(value: datetime.timedelta) -> datetime.timedelta:
    if value <= datetime.timedelta(0):
        raise ValueError("a length of time is more than zero")
    return value


def _scalar(value: object) -> object:
    if not isinstance(value, str | int | float):
        raise ValueError("a text, a number, true or false belongs here")
    return value


Duration = Annotated[
    datetime.timedelta,
    pydantic.BeforeValidator(_duration),
    pydantic.AfterValidator(_positive),
    pydantic.PlainSerializer(datetime.timedelta.total_seconds),
]
_CONNECTION = r"^[A-Za-z0-9_.\-]+$"
_SHA256 = r"^[0-9a-f]{64}$"
_S3_URL = r"^s3://[a-z0-9][a-z0-9.\-]{2,62}/\S+$"
_HOST_NAME = r"^[A-Za-z0-9]([A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?$"
_REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"
_SIZE = r"^[a-z0-9\-]+\.[a-z0-9\-]+$"
_SUBNET = r"^subnet-[0-9a-f]+$"
_SECURITY_GROUP = r"^sg-[0-9a-f]+$"
_RUN_LIST_ITEM = r"^(role|recipe)\[[A-Za-z0-9_:.@\-]+\]$"
_CUSTOM_KEY = r"^[A-Za-z][A-Za-z0-9_.\-]*$"

FORMS = {
    names.NAME_PATTERN: "a name (small letters, digits, single dashes; a letter first)",
    names.SERVICE_ID_PATTERN: "a service id (a and up to 9 digits, such as a1001)",
    names.CUSTOMER_ID_PATTERN: "a customer id (c and up to 9 digits, such as c100)",
    names.USER_PATTERN: "a user name (small letters, digits, _ and -)",
    _CONNECTION: "a connection's id (letters, digits, _ . -)",
    _SHA256: "a SHA-256 sum (64 hexadecimal digits in small letters)",
    _S3_URL: "an S3 URL (s3://BUCKET/KEY)",
    _HOST_NAME: "a host name (letters, digits, dots, dashes)",
    _REGION: "a region (such as eu-central-1)",
    _SIZE: "an instance type (such as t3.small)",
    _SUBNET: "a subnet's id (such as subnet-0a1b2c3d)",
    _SECURITY_GROUP: "a security group's id (such as sg-0a1b2c3d)",
    _RUN_LIST_ITEM: "an item of a run list (role[NAME] or recipe[NAME])",
    _CUSTOM_KEY: "a custom key (letters, digits, _ . -; a letter first)",
}
"""What people call the texts that a pattern describes."""

_NAME = Field(pattern=names.NAME_PATTERN, max_length=40)
DeploymentName = Annotated[names.DeploymentName, _NAME]
ConfigurationName = Annotated[str, _NAME]
TierName = Annotated[names.TierName, _NAME]
ServiceName = Annotated[names.ServiceName, _NAME]
DatasourceName = Annotated[names.DatasourceName, _NAME]
BalancerName = Annotated[names.BalancerName, _NAME]
CustomerId = Annotated[names.CustomerId, Field(pattern=names.CUSTOMER_ID_PATTERN)]
Connection = Annotated[names.ConnectionId, Field(pattern=_CONNECTION, max_length=200)]
# Strict: otherwise `true` would be port 1.
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
Sha256 = Annotated[str, Field(pattern=_SHA256)]
S3Url = Annotated[str, Field(pattern=_S3_URL)]
HostName = Annotated[str, Field(pattern=_HOST_NAME)]
Scalar = Annotated[str | int | float | bool, pydantic.BeforeValidator(_scalar)]


class Model(pydantic.BaseModel):
    """What every part of a definition is: frozen, and closed to keys it does not know."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Cloud(Model):
    """Which cloud the servers run in."""

    connection: Connection = names.ConnectionId("aws_default")
    region: Annotated[str, Field(pattern=_REGION)]


class Ssh(Model):
    """How the control plane reaches a server.

    The connection is of Airflow's type `ssh` and gives user, private key, passphrase and port; its host is
    not used. A jump host is a second connection of that type, which must hold the jump host's `host_key`.
    `reconnect_for` is how long a server may stay unreachable in the middle of a step.
    """

    connection: Connection
    jump_connection: Connection | None = None
    reconnect_for: Duration = datetime.timedelta(minutes=2)


class Chef(Model):
    """The configuration management that a launch configuration asks for."""

    connection: Connection
    environment: str = "_default"


class LaunchConfiguration(Model):
    """How each server of a tier is made: image, size, network, SSH access."""

    image: Annotated[str, Field(min_length=1, max_length=128)]
    size: Annotated[str, Field(pattern=_SIZE)] = "t3.small"
    subnet: Annotated[str, Field(pattern=_SUBNET)] | None = None
    security_groups: tuple[Annotated[str, Field(pattern=_SECURITY_GROUP)], ...] = ()
    ssh: Ssh
    chef: Chef | None = None


class ServerCount(Model):
    """The fewest and the most servers of a tier. A bare number means both."""

    min: Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)]
    max: Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)] = MOST_SERVERS

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        if isinstance(value, dict):
            fewest = value.get("min")
            # A wrong min stays alone, so that it is reported once and at its place.
            if "max" not in value and type(fewest) is int and 1 <= fewest <= MOST_SERVERS:
                return {**value, "max": fewest}
            return value
        if isinstance(value, ServerCount):
            return value
        raise ValueError("a number of servers, or {min: 2, max: 6}, belongs here")

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> ServerCount:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) is less than min ({self.min})")
        return self


class Tier(Model):
    """A set of interchangeable servers."""

    launch_configuration: ConfigurationName
    servers: ServerCount
    run_list: tuple[Annotated[str, Field(pattern=_RUN_LIST_ITEM)], ...] = ()


class Datasource(Model):
    """Data that is loaded into a database service when it is set up."""

    dump: S3Url
    sha256: Sha256 | None = None
    connection: Connection
    """Its login and password are the account that dependents use; its schema is the database's name."""


class Dependency(Model):
    """What a service waits for: a service, or a datasource of one. Written `db` or `db.catalog`."""

    service: ServiceName
    datasource: DatasourceName | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if not isinstance(value, str):
            raise ValueError("a dependency is a service, or service.datasource")
        service, dot, datasource = value.partition(".")
        return {"service": service, "datasource": datasource} if dot else {"service": service}

    @pydantic.model_serializer
    def __str__(self) -> str:
        return f"{self.service}.{self.datasource}" if self.datasource else self.service


class Service(Model):
    """An application part that is installed on every server of its tier."""

    id: Annotated[names.ServiceId, Field(pattern=names.SERVICE_ID_PATTERN)]
    tier: TierName
    archive: S3Url
    sha256: Sha256 | None = None
    port: Port | None = None
    protocol: Literal["http", "https", "tcp"] = "tcp"
    datasources: dict[DatasourceName, Datasource] = {}
    depends_on: tuple[Dependency, ...] = ()
    order: Literal["datasource-first", "configure-first"] = "datasource-first"
    custom: dict[Annotated[str, Field(pattern=_CUSTOM_KEY)], Scalar] = {}

    @pydantic.field_validator("depends_on")
    @classmethod
    def _once(cls, value: tuple[Dependency, ...]) -> tuple[Dependency, ...]:
        twice = sorted(str(each) for each, times in collections.Counter(value).items() if times > 1)
        if twice:
            raise ValueError(f"named twice: {source.listed(twice)}")
        return value


class LoadBalancer(Model):
    """A tier that spreads the traffic of one port over the nodes of a service."""

    tier: TierName
    service: ServiceName
    port: Port = 80
    name: HostName
    aliases: tuple[HostName, ...] = ()


class Timeouts(Model):
    """How long each kind of step may take on one server before it is ended there."""

    scale_up: Duration = datetime.timedelta(minutes=10)
    handshake: Duration = datetime.timedelta(minutes=10)
    execute_configuration_management: Duration = datetime.timedelta(minutes=45)
    install_services: Duration = datetime.timedelta(minutes=15)
    install_datasources: Duration = datetime.timedelta(minutes=60)
    configure: Duration = datetime.timedelta(minutes=15)
    check: Duration = datetime.timedelta(minutes=5)
    grant_access: Duration = datetime.timedelta(minutes=5)
    start_proxy: Duration = datetime.timedelta(minutes=5)
    stop: Duration = datetime.timedelta(minutes=5)


class Definition(Model):
    """A whole deployment, as written."""

    deployment: DeploymentName
    description: str = ""
    tags: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()
    schedule: str | None = None
    timezone: str = "UTC"
    customer_id: Annotated[names.CustomerId, Field(pattern=names.CUSTOMER_ID_PATTERN)] = names.CustomerId(
        "c100"
    )
    user_id: Annotated[str, Field(pattern=names.USER_PATTERN)] = "gantry"
    fan_out: Annotated[int, Field(strict=True, ge=SMALLEST_FAN_OUT, le=LARGEST_FAN_OUT)] = 8
    attend_time: Duration = datetime.timedelta(seconds=30)
    timeouts: Timeouts = Timeouts()
    cloud: Cloud
    launch_configurations: Annotated[dict[ConfigurationName, LaunchConfiguration], Field(min_length=1)]
    tiers: Annotated[dict[TierName, Tier], Field(min_length=1)]
    services: dict[ServiceName, Service] = {}
    load_balancers: dict[BalancerName, LoadBalancer] = {}

    @pydantic.field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            zoneinfo.ZoneInfo(value)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
            shown = source.shown(value)
            raise ValueError(f"unknown time zone {shown}; write one such as Europe/Berlin") from error
        return value

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is None or value in _PRESETS:
            return value
        if value.startswith("@"):
            raise ValueError(f"unknown preset {source.shown(value)}; known are {', '.join(sorted(_PRESETS))}")
        # croniter also takes seconds, years, and random values that would differ at each parse.
        is_plain = len(value.split()) == _CRON_FIELDS and not _RANDOM.search(value)
        if not is_plain or not croniter.croniter.is_valid(value):
            shown = source.shown(value)
            raise ValueError(f"{shown} is no cron expression (minute hour day month weekday)")
        try:
            croniter.croniter(value, _SOME_MOMENT).get_next()
        except croniter.CroniterBadDateError as error:
            raise ValueError(f"{source.shown(value)} is a moment that never comes") from error
        return value

    def services_of(self, tier: names.TierName) -> dict[names.ServiceName, Service]:
        """The services that run on a tier, in the order of the file."""
        return {name: service for name, service in self.services.items() if service.tier == tier}

    def launch_configuration_of(self, tier: names.TierName) -> LaunchConfiguration:
        """The launch configuration that a tier's servers are made from."""
        return self.launch_configurations[self.tiers[tier].launch_configuration]


_CRON_FIELDS = 5
_RANDOM = re.compile(r"(^|[\s,])[rR]([\s(]|$)")
_SOME_MOMENT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_PRESETS = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"})
