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
from gantry.definition.fields import (
    BalancerName,
    ChefEnvironment,
    ClientSetting,
    ConfigurationName,
    Connection,
    CustomerId,
    CustomKey,
    DatasourceName,
    DeploymentName,
    Duration,
    HostName,
    Json,
    Model,
    Port,
    Region,
    RunListItem,
    S3Url,
    Scalar,
    SecurityGroup,
    ServiceId,
    ServiceName,
    Sha256,
    Size,
    Subnet,
    TierName,
    UserId,
)

SMALLEST_FAN_OUT, LARGEST_FAN_OUT = 1, 64
MOST_SERVERS = 1000


class Cloud(Model):
    """Which cloud the servers run in."""

    connection: Connection = names.ConnectionId("aws_default")
    region: Region


class Ssh(Model):
    """How the control plane reaches a server.

    The connection is of Airflow's type `ssh` and gives user, private key, passphrase and port; its host is
    not used. A jump host is a second connection of that type, which must hold the jump host's `host_key`.
    `reconnect_for` is how long a server may stay unreachable in the middle of a step.
    """

    connection: Connection
    jump_connection: Connection | None = None
    reconnect_for: Duration = datetime.timedelta(minutes=2)


Converge = Literal["on-change", "always"]
"""When a server that has been configured before is configured again at a launch."""


class Chef(Model):
    """Chef Infra as the configuration management of a launch configuration.

    The connection is of Airflow's type `chef`. `environment` is the connection's where it is left out. `settings`
    are further lines of `client.rb`. `accept_license` accepts the license of Chef Infra Client on the servers;
    without it, a client that has not been told otherwise refuses to run.
    """

    connection: Connection
    environment: ChefEnvironment | None = None
    converge: Converge = "on-change"
    log_level: Literal["auto", "trace", "debug", "info", "warn", "error", "fatal"] = "auto"
    accept_license: bool = False
    settings: dict[ClientSetting, Scalar] = Field(default_factory=dict)

    @pydantic.field_validator("settings")
    @classmethod
    def _not_ours(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        taken = sorted(_SET_BY_US & value.keys())
        if taken:
            raise ValueError(f"set by Gantry itself, and not to be set here: {source.listed(taken)}")
        return value


class Script(Model):
    """A program from object storage as the configuration management of a launch configuration.

    It is called with the tier's run list as its arguments, as root, on each server.
    """

    program: S3Url
    sha256: Sha256 | None = None
    converge: Converge = "on-change"


class LaunchConfiguration(Model):
    """How each server of a tier is made: image, size, network, SSH access."""

    image: Annotated[str, Field(min_length=1, max_length=128)]
    size: Size = "t3.small"
    subnet: Subnet | None = None
    security_groups: tuple[SecurityGroup, ...] = ()
    ssh: Ssh
    chef: Chef | None = None
    script: Script | None = None

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> LaunchConfiguration:
        if self.chef is not None and self.script is not None:
            raise ValueError("one kind of configuration management belongs here: chef or script, not both")
        return self

    @property
    def configuration_management(self) -> Chef | Script | None:
        """What configures the servers before services are installed, if anything."""
        return self.chef or self.script


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
    run_list: tuple[RunListItem, ...] = ()
    attributes: dict[str, Json] = Field(default_factory=dict)

    @pydantic.field_validator("attributes")
    @classmethod
    def _no_run_list(cls, value: dict[str, Json]) -> dict[str, Json]:
        if "run_list" in value:
            raise ValueError("a run list is no attribute: write it as the tier's run_list")
        return value


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

    id: ServiceId
    tier: TierName
    archive: S3Url
    sha256: Sha256 | None = None
    port: Port | None = None
    protocol: Literal["http", "https", "tcp"] = "tcp"
    datasources: dict[DatasourceName, Datasource] = Field(default_factory=dict)
    depends_on: tuple[Dependency, ...] = ()
    order: Literal["datasource-first", "configure-first"] = "datasource-first"
    custom: dict[CustomKey, Scalar] = Field(default_factory=dict)

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
    customer_id: CustomerId = names.CustomerId("c100")
    user_id: UserId = "gantry"
    fan_out: Annotated[int, Field(strict=True, ge=SMALLEST_FAN_OUT, le=LARGEST_FAN_OUT)] = 8
    attend_time: Duration = datetime.timedelta(seconds=30)
    timeouts: Timeouts = Timeouts()
    cloud: Cloud
    launch_configurations: Annotated[dict[ConfigurationName, LaunchConfiguration], Field(min_length=1)]
    tiers: Annotated[dict[TierName, Tier], Field(min_length=1)]
    services: dict[ServiceName, Service] = Field(default_factory=dict)
    load_balancers: dict[BalancerName, LoadBalancer] = Field(default_factory=dict)

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


_SET_BY_US = frozenset(
    {
        "chef_license", "chef_server_url", "client_key", "environment", "log_level", "log_location", "node_name",
        "trusted_certs_dir", "validation_client_name", "validation_key",
    }
)  # fmt: skip
_CRON_FIELDS = 5
_RANDOM = re.compile(r"(^|[\s,])[rR]([\s(]|$)")
_SOME_MOMENT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
_PRESETS = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly"})
