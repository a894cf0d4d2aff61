"""Services: programs installed on a tier, their data and dependencies, and the load balancers in front of them."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import source
from gantry.definition.fields import (
    ArchiveUrl,
    Connection,
    CustomerId,
    CustomKey,
    DatasourceName,
    HostName,
    Model,
    Port,
    PortName,
    S3Url,
    ServiceId,
    ServiceName,
    Sha256,
    Text,
    TierName,
    UserId,
)
from gantry.definition.models.updates import Update

_NAME = names.NAME_PATTERN.strip("^$")
Protocol = Literal["http", "https", "tcp"]
HTTP_PORT, HTTPS_PORT = 80, 443


class Datasource(Model):
    """Data that is loaded into a database service when it is set up."""

    dump: S3Url = Field(description="The dump, in object storage.", examples=["s3://bookshop/datasource.sql"])
    sha256: Sha256 | None = Field(
        default=None,
        description="Its checksum, checked on the server. Left out: not checked.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    connection: Connection = Field(
        description=(
            "Airflow connection: its login and password become the account that dependents use, its schema the "
            "database's name."
        ),
        examples=["bookshop_catalog"],
    )


class Dependency(Model):
    """What a service waits for: a service, or a datasource of one. Written `db` or `db.catalog`."""

    short_form: ClassVar[Mapping[str, object] | None] = {
        "type": "string",
        "pattern": rf"{_NAME}(\.{_NAME})?".join("^$"),
    }
    only_short: ClassVar[bool] = True

    service: ServiceName
    datasource: DatasourceName | None = None

    @pydantic.model_validator(mode="before")
    @classmethod
    def _written(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if not isinstance(value, str):
            raise ValueError("write a service, or service.datasource")
        service, dot, datasource = value.partition(".")
        return {"service": service, "datasource": datasource} if dot else {"service": service}

    @pydantic.model_serializer
    def __str__(self) -> str:
        return f"{self.service}.{self.datasource}" if self.datasource else self.service


class ServicePort(Model):
    """A port that a service listens on."""

    port: Port = Field(description="Its number.", examples=[8000])
    protocol: Protocol = Field(default="tcp", description="The protocol on this port.", examples=["http"])


class ServiceTls(Model):
    """The certificate that a service is configured with."""

    connection: Connection = Field(
        description="Airflow connection of the type `tls`: private key, certificate, chain.",
        examples=["shop_tls"],
    )
    address: HostName = Field(
        description="Passed to the service's configure script as the address that the certificate is for.",
        examples=["shop.example.com"],
    )


class Replication(Model):
    """One server of the tier is the master, which has the datasources; the others are replicants, copies of it."""

    connection: Connection = Field(
        description="Airflow connection: its login and password become the account that replicants copy with.",
        examples=["bookshop_replication"],
    )


class Service(Model):
    """An application part that is installed on every server of its tier."""

    id: ServiceId = Field(description="The service lives in `/mnt/services/ID`.", examples=["a1001"])
    tier: TierName = Field(description="It is installed on every server of this tier.", examples=["database"])
    archive: ArchiveUrl = Field(
        description=(
            "The service archive: `.tar.gz` (`.tgz`), `.tar.bz2` (`.tbz2`), `.tar.xz` (`.txz`), `.tar.zst` (`.tzst`), "
            "`.tar` or `.zip`, in any case."
        ),
        examples=["s3://bookshop/dbService.tar.gz"],
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="The archive's checksum, checked on each server. Left out: not checked.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    port: Port | None = Field(
        default=None,
        description="The port that it listens on; needed behind a load balancer. Several: `ports`.",
        examples=[8000],
    )
    protocol: Protocol = Field(default="tcp", description="The protocol on that port.", examples=["http"])
    ports: dict[PortName, ServicePort] = Field(
        default_factory=dict,
        description="Several ports, by name, instead of `port` and `protocol`. The first is the main one.",
        examples=[{"web": {"port": 8000, "protocol": "http"}, "admin": {"port": 8001}}],
    )
    tls: ServiceTls | None = Field(
        default=None,
        description="The certificate that its configure script is given. Left out: none.",
        examples=[{"connection": "shop_tls", "address": "shop.example.com"}],
    )
    customer_id: CustomerId | None = Field(
        default=None,
        description="`c` and digits: its owner; its files belong to this user. Left out: the deployment's.",
        examples=["c200"],
    )
    user_id: UserId | None = Field(
        default=None,
        description="The user on whose behalf it is installed and configured. Left out: the deployment's.",
        examples=["gantry"],
    )
    run_as_user: UserId | None = Field(
        default=None,
        description=(
            "The user that it runs as. A user other than the customer must exist on the servers. Left out: the "
            "customer's."
        ),
        examples=["www-data"],
    )
    replication: Replication | None = Field(
        default=None,
        description="How its datasources are replicated. Left out: not at all, and it runs on one server.",
        examples=[{"connection": "bookshop_replication"}],
    )
    datasources: dict[DatasourceName, Datasource] = Field(
        default_factory=dict,
        description="Data that belongs to it, by name; without `replication` it runs on one server then.",
        examples=[{"catalog": {"dump": "s3://bookshop/datasource.sql", "connection": "bookshop_catalog"}}],
    )
    depends_on: tuple[Dependency, ...] = Field(
        default=(),
        description="List of `SERVICE` or `SERVICE.DATASOURCE`: it is set up when these are satisfied.",
        examples=[["db.catalog"]],
    )
    order: Literal["datasource-first", "configure-first"] = Field(
        default="datasource-first",
        description="What its archive needs to happen first.",
        examples=["configure-first"],
    )
    update: Update | None = Field(
        default=None,
        description=(
            "How its servers are updated when it is behind a load balancer. Left out: one after the other, while "
            "the others serve."
        ),
        examples=[{"batch": "25%", "on_failure": "roll_back"}],
    )
    custom: dict[CustomKey, Text] = Field(
        default_factory=dict,
        description="Your own keys for the section `[custom]` of `enstratus.cfg`; values may be templates.",
        examples=[{"greeting": "Hello from {{ server.name }}"}],
    )

    @pydantic.field_validator("depends_on")
    @classmethod
    def _once(cls, value: tuple[Dependency, ...]) -> tuple[Dependency, ...]:
        twice = sorted(str(each) for each, times in collections.Counter(value).items() if times > 1)
        if twice:
            raise ValueError(f"named twice: {source.listed(twice)}")
        return value

    @property
    def listens(self) -> tuple[ServicePort, ...]:
        """Return the ports that it listens on, the main one first, in whichever form they were written."""
        if self.port is not None:
            return (ServicePort(port=self.port, protocol=self.protocol),)
        return tuple(self.ports.values())

    @property
    def main_port(self) -> int | None:
        """Return the number of its (first) port, if it has one."""
        return self.listens[0].port if self.listens else None


class BalancerTls(Model):
    """The certificate that a load balancer answers with."""

    connection: Connection = Field(
        description="Airflow connection of the type `tls`: private key, certificate, chain.",
        examples=["shop_tls"],
    )


class LoadBalancer(Model):
    """A tier that spreads the traffic of one port over the nodes of a service."""

    tier: TierName = Field(description="Each of its servers runs the load balancer.", examples=["proxy"])
    service: ServiceName = Field(description="The nodes are this service's servers.", examples=["app"])
    service_port: PortName | None = Field(
        default=None,
        description="Which of the service's `ports` it sends to. Left out: the first.",
        examples=["web"],
    )
    port: Port = Field(
        default=HTTP_PORT,
        description=f"The port that visitors come to; with `tls` {HTTPS_PORT} where it is left out.",
        examples=[8080],
    )
    tls: BalancerTls | None = Field(
        default=None,
        description="The certificate with which it answers. Left out: it answers HTTP, not HTTPS.",
        examples=[{"connection": "shop_tls"}],
    )
    name: HostName = Field(description="The host name it answers for.", examples=["shop.example.com"])
    aliases: tuple[HostName, ...] = Field(
        default=(),
        description="More host names, any number. All names together may have 100,000 characters.",
        examples=[["www.example.com"]],
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _usual_port(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if isinstance(value, Mapping) and value.get("tls") is not None and "port" not in value:
            return {**value, "port": HTTPS_PORT}
        return value
