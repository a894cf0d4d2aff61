"""Services: what is installed on a tier, the data that belongs to it, what it needs, what stands in front of it."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pydantic
from pydantic import Field

from gantry import names
from gantry.definition import source
from gantry.definition.fields import (
    Connection,
    CustomKey,
    DatasourceName,
    HostName,
    Model,
    Port,
    S3Url,
    Scalar,
    ServiceId,
    ServiceName,
    Sha256,
    TierName,
)

_NAME = names.NAME_PATTERN.strip("^$")


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
            raise ValueError("a dependency is a service, or service.datasource")
        service, dot, datasource = value.partition(".")
        return {"service": service, "datasource": datasource} if dot else {"service": service}

    @pydantic.model_serializer
    def __str__(self) -> str:
        return f"{self.service}.{self.datasource}" if self.datasource else self.service


class Service(Model):
    """An application part that is installed on every server of its tier."""

    id: ServiceId = Field(description="The service lives in `/mnt/services/ID`.", examples=["a1001"])
    tier: TierName = Field(description="It is installed on every server of this tier.", examples=["database"])
    archive: S3Url = Field(
        description="The service archive: `.tar.gz`, `.tgz`, `.tar.bz2` or `.zip`.",
        examples=["s3://bookshop/dbService.tar.gz"],
    )
    sha256: Sha256 | None = Field(
        default=None,
        description="The archive's checksum, checked on each server. Left out: not checked.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    port: Port | None = Field(
        default=None,
        description="The port that it listens on; needed behind a load balancer.",
        examples=[8000],
    )
    protocol: Literal["http", "https", "tcp"] = Field(
        default="tcp", description="What is spoken on that port.", examples=["http"]
    )
    datasources: dict[DatasourceName, Datasource] = Field(
        default_factory=dict,
        description="Data that belongs to it, by name; such a service runs on one server.",
        examples=[{"catalog": {"dump": "s3://bookshop/datasource.sql", "connection": "bookshop_catalog"}}],
    )
    depends_on: tuple[Dependency, ...] = Field(
        default=(),
        description="List of `SERVICE` or `SERVICE.DATASOURCE`: it is set up when these are satisfied.",
        examples=[["db.catalog"]],
    )
    order: Literal["datasource-first", "configure-first"] = Field(
        default="datasource-first",
        description="What its archive wants to happen first.",
        examples=["configure-first"],
    )
    custom: dict[CustomKey, Scalar] = Field(
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


class LoadBalancer(Model):
    """A tier that spreads the traffic of one port over the nodes of a service."""

    tier: TierName = Field(description="Every server of it balances.", examples=["proxy"])
    service: ServiceName = Field(description="The nodes are this service's servers.", examples=["app"])
    port: Port = Field(default=80, description="The port that visitors come to.", examples=[8080])
    name: HostName = Field(description="The host name it answers for.", examples=["shop.example.com"])
    aliases: tuple[HostName, ...] = Field(
        default=(), description="More host names.", examples=[["www.example.com"]]
    )
