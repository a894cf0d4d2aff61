"""Servers: the cloud, how servers are created and reached, how many a tier has."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import source
from gantry.definition.fields import (
    ChefEnvironment,
    ChefPolicy,
    ClientSetting,
    ConfigurationName,
    Connection,
    Duration,
    Flag,
    InstanceProfile,
    Json,
    Model,
    Region,
    RunListItem,
    S3Url,
    Scalar,
    Sha256,
    Size,
)
from gantry.definition.models import instances
from gantry.definition.models.watch import Rule

MOST_SERVERS = 1000


class Cloud(Model):
    """Which cloud the servers run in."""

    connection: Connection = Field(
        default=names.ConnectionId("aws_default"),
        description="Airflow connection of the type `aws`.",
        examples=["aws_default"],
    )
    region: Region = Field(description="Region of the servers and of the objects.", examples=["eu-central-1"])
    tags: instances.Tags = Field(
        default_factory=dict,
        description="Tags on every instance and volume of the deployment.",
        examples=[{"cost-center": "4711"}],
    )


class Ssh(Model):
    """How the control plane reaches a server."""

    connection: Connection = Field(
        description=(
            "Airflow connection of the type `ssh`: user, private key, passphrase, port. Its host is not used."
        ),
        examples=["bookshop_ssh"],
    )
    address: Literal["private", "public"] = Field(
        default="private",
        description="Which of a server's addresses the control plane connects to.",
        examples=["public"],
    )
    jump_connection: Connection | None = Field(
        default=None,
        description=(
            "Airflow connection of the type `ssh` of a host to go through; it must hold that host's `host_key`."
        ),
        examples=["bastion_ssh"],
    )
    reconnect_for: Duration = Field(
        default=datetime.timedelta(minutes=2),
        description="How long a server may be unreachable in the middle of a step before the step fails.",
        examples=["2m"],
    )


Converge = Literal["on-change", "always"]
"""When a server that has been configured before is configured again in a launch."""


class Chef(Model):
    """Chef Infra as the configuration management of a launch configuration."""

    connection: Connection = Field(
        description=(
            "Airflow connection of the type `chef`: the Chef server, and the client that Gantry is there."
        ),
        examples=["chef_default"],
    )
    environment: ChefEnvironment | None = Field(
        default=None,
        description="Chef's environment. Left out: the connection's, else `_default`.",
        examples=["production"],
    )
    policy_name: ChefPolicy | None = Field(
        default=None,
        description=(
            "The policy (Policyfile) that the servers follow, in place of environment and run lists. It needs a "
            "`policy_group`."
        ),
        examples=["bookshop"],
    )
    policy_group: ChefPolicy | None = Field(
        default=None,
        description="The policy group that names the policy's revision.",
        examples=["production"],
    )
    reboot: Flag = Field(
        default=True,
        description=(
            "What happens when a run asks for a reboot (exit codes 35 and 37): the server is rebooted, and "
            "chef-client runs again when it is back. `false`: the step fails with a message."
        ),
        examples=[False],
    )
    converge: Converge = Field(
        default="on-change",
        description=(
            "`on-change`: new servers, and servers whose run list, attributes or environment changed; `always`: "
            "every server at every launch."
        ),
        examples=["always"],
    )
    log_level: Literal["auto", "trace", "debug", "info", "warn", "error", "fatal"] = Field(
        default="auto", description="The log level of chef-client.", examples=["info"]
    )
    accept_license: Flag = Field(
        default=False,
        description=(
            "`true` accepts the license of Chef Infra Client on the servers; without it a client that asks refuses "
            "to run."
        ),
        examples=[True],
    )
    settings: dict[ClientSetting, Scalar] = Field(
        default_factory=dict,
        description="More settings for `client.rb`.",
        examples=[{"http_retry_count": 2}],
    )

    @pydantic.model_validator(mode="after")
    def _policy_as_a_whole(self) -> Chef:
        if (self.policy_name is None) != (self.policy_group is None):
            raise ValueError("a policy needs both policy_name and policy_group")
        if self.policy_name is not None and self.environment is not None:
            raise ValueError("a policy knows no environment: its policy_group takes that role")
        return self

    @pydantic.field_validator("settings")
    @classmethod
    def _not_ours(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        taken = sorted(_SET_BY_US & value.keys())
        if taken:
            raise ValueError(f"set by Gantry itself, and not to be set here: {source.listed(taken)}")
        return value


class Script(Model):
    """A program from object storage as the configuration management of a launch configuration."""

    program: S3Url = Field(
        description="Run as root on each server, with the tier's run list as its arguments.",
        examples=["s3://bookshop/converge.sh"],
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="The program's checksum, checked on each server. Left out: not checked.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    converge: Converge = Field(
        default="on-change",
        description="As for `chef`; a new version of the program is a change too.",
        examples=["always"],
    )


class LaunchConfiguration(Model):
    """How each server of a tier is made: image, size, network, volumes, SSH access."""

    image: Annotated[str, Field(min_length=1, max_length=instances.LONGEST_IMAGE)] = Field(
        description=(
            "An AMI's id; the name of an image that the account owns (the newest of that name); or "
            "`resolve:ssm:NAME`, a parameter of Systems Manager that holds an id, optionally followed by `:VERSION` "
            "or `:LABEL`."
        ),
        examples=["ami-0123456789abcdef0"],
    )
    size: Size = Field(default="t3.small", description="Instance type.", examples=["m7g.large"])
    network: instances.Network = Field(
        default=instances.Network(),
        description="Subnets, security groups, public address. Left out: the default VPC's.",
        examples=[{"subnets": ["subnet-0a1b2c3d"], "security_groups": ["sg-0a1b2c3d"]}],
    )
    instance_profile: InstanceProfile | None = Field(
        default=None,
        description="Name or ARN of the IAM instance profile that the servers act as.",
        examples=["bookshop-servers"],
    )
    volumes: tuple[instances.Volume, ...] = Field(
        default=(),
        description="EBS volumes that each server gets besides its root device. Nothing formats or mounts them.",
        examples=[[{"device": "/dev/xvdb", "size": 100}]],
    )
    metadata: instances.Metadata = Field(
        default=instances.Metadata(),
        description="Access to the instance metadata service. Left out: with session tokens only (IMDSv2).",
        examples=[{"hop_limit": 2}],
    )
    tags: instances.Tags = Field(
        default_factory=dict,
        description="More tags on instances and volumes; they take precedence over `cloud.tags`.",
        examples=[{"role": "database"}],
    )
    volume_tags: instances.Tags = Field(
        default_factory=dict,
        description="Tags on volumes only; they take precedence over `tags`.",
        examples=[{"backup": "daily"}],
    )
    user_data: str | None = Field(
        default=None,
        description=(
            "A script (`#!`) or a `#cloud-config` that cloud-init runs at the first boot. Accounts and SSH are still "
            "set up by Gantry."
        ),
        examples=["#!/bin/sh\nmkfs.ext4 /dev/xvdb\n"],
    )
    ssh: Ssh = Field(description="How the servers are reached.", examples=[{"connection": "bookshop_ssh"}])
    chef: Chef | None = Field(
        default=None,
        description="Configuration management by Chef. Without `chef` and `script`, phases 2 and 3 are skipped.",
        examples=[{"connection": "chef_default"}],
    )
    script: Script | None = Field(
        default=None,
        description="Configuration management by a program of your own. One of the two.",
        examples=[{"program": "s3://bookshop/converge.sh"}],
    )

    @pydantic.field_validator("image")
    @classmethod
    def _image(cls, value: str) -> str:
        return instances.image(value)

    @pydantic.field_validator("volumes")
    @classmethod
    def _devices(cls, value: tuple[instances.Volume, ...]) -> tuple[instances.Volume, ...]:
        return instances.devices_once(value)

    @pydantic.field_validator("user_data")
    @classmethod
    def _first_boot(cls, value: str | None) -> str | None:
        return instances.user_data(value)

    @pydantic.model_validator(mode="after")
    def _one_kind(self) -> LaunchConfiguration:
        if self.chef is not None and self.script is not None:
            raise ValueError("one kind of configuration management belongs here: chef or script, not both")
        return self

    @property
    def configuration_management(self) -> Chef | Script | None:
        """Return the configuration management of the servers before services are installed, if any."""
        return self.chef or self.script


class ServerCount(Model):
    """The fewest and the most servers of a tier. A bare number means both."""

    short_form: ClassVar[Mapping[str, object] | None] = {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_SERVERS,
    }

    min: Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)] = Field(
        description="What a launch brings up.", examples=[2]
    )
    max: Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)] = Field(
        default=MOST_SERVERS, description="What the trigger form allows. Left out: `min`.", examples=[6]
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bare_number(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if isinstance(value, int) and not isinstance(value, bool):
            return {"min": value, "max": value}
        if isinstance(value, dict):
            fewest = value.get("min")
            # An invalid min remains alone, so that it is reported once and at its place.
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

    launch_configuration: ConfigurationName = Field(
        description="Name of one of the `launch_configurations`.", examples=["debian"]
    )
    servers: ServerCount = Field(
        description="A number, or the minimum and the maximum.", examples=[1, {"min": 2, "max": 6}]
    )
    rule: Rule | None = Field(
        default=None,
        description=(
            "When the tier is scaled automatically, within its range of `servers`. Left out: only by hand and on "
            "schedule."
        ),
        examples=[{"scale_out_above": 80, "scale_in_below": 20}],
    )
    run_list: tuple[RunListItem, ...] = Field(
        default=(),
        description=(
            "For `chef`: `role[NAME]` and `recipe[NAME]`; for `script`: the program's arguments, words of letters, "
            "digits, `_ : . @ -`."
        ),
        examples=[["role[databaseServer]"]],
    )
    recovery_delay: Duration = Field(
        default=datetime.timedelta(minutes=5),
        description="How long a server may be silent or impaired before it counts as lost and is replaced.",
        examples=["10m"],
    )
    replace_impaired: Flag = Field(
        default=False,
        description=(
            "`true`: a server on which a service's check does not say `OK` for longer than `recovery_delay` counts as "
            "lost too."
        ),
        examples=[True],
    )
    attributes: dict[str, Json] = Field(
        default_factory=dict,
        description="Chef attributes (any YAML). Texts in them are templates that know `deployment`, `tier`, `server`.",
        examples=[{"mysql": {"port": 3306}}],
    )

    @pydantic.field_validator("attributes")
    @classmethod
    def _no_run_list(cls, value: dict[str, Json]) -> dict[str, Json]:
        if "run_list" in value:
            raise ValueError("a run list is not an attribute: write it as the tier's run_list")
        return value


_SET_BY_US = frozenset(
    {
        "chef_license", "chef_server_url", "client_key", "environment", "log_level", "log_location", "node_name",
        "policy_group", "policy_name",
        "trusted_certs_dir", "validation_client_name", "validation_key",
    }
)  # fmt: skip
