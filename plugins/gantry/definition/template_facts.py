"""Facts available to templates, as types.

The reference's table, the check of a definition and the facts passed to templates are all derived from these. A
template sees plain data, created by `known`: texts, numbers, mappings and lists, never these objects, never a
password.
"""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import Field


class TemplateFacts(pydantic.BaseModel):
    """A mapping available to templates. None values are absent, so that a template that uses one fails."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    def known(self) -> dict[str, Any]:
        """Return the facts as plain data."""
        return self.model_dump(mode="json", exclude_none=True)


class TemplateNamed(TemplateFacts):
    """An object whose name is known before there are servers."""

    name: str = Field(description="Its name.", examples=["bookshop"])


class Numbered(TemplateFacts):
    """A server before it exists."""

    slot: int = Field(description="Its number in its tier, from 1.", examples=[1])


class TemplateDeployment(TemplateFacts):
    """The deployment."""

    name: str = Field(description="Its name.", examples=["bookshop"])
    description: str = Field(description="Its description.", examples=["A small bookshop on three tiers"])


class TemplateTier(TemplateFacts):
    """The tier of the server that the text is for."""

    name: str = Field(description="Its name.", examples=["application"])


class TemplateServer(TemplateFacts):
    """A server."""

    name: str = Field(description="Its name.", examples=["bookshop-application-1"])
    slot: int = Field(description="Its number in its tier, from 1.", examples=[1])
    address: str = Field(description="Its address, as other servers reach it.", examples=["10.0.0.12"])
    id: str = Field(description="Its instance id.", examples=["i-0123456789abcdef0"])


class TemplateService(TemplateFacts):
    """The service that the text belongs to."""

    name: str = Field(description="Its name.", examples=["app"])
    id: str = Field(description="Its id.", examples=["a1002"])
    port: int | None = Field(default=None, description="Its (first) port, if it has one.", examples=[8000])
    ports: dict[str, int] | None = Field(
        default=None, description="Its ports by name, if they have names.", examples=[{"web": 8000}]
    )


class TemplateDependency(TemplateFacts):
    """A dependency of the service."""

    addresses: tuple[str, ...] = Field(
        description="The addresses of its servers, by slot.", examples=[["10.0.0.11"]]
    )
    port: int | None = Field(default=None, description="Its (first) port, if it has one.", examples=[3306])
    ports: dict[str, int] | None = Field(
        default=None, description="Its ports by name, if they have names.", examples=[{"web": 8000}]
    )


class InCustom(TemplateFacts):
    """Facts available to a service's `custom` values."""

    deployment: TemplateDeployment = Field(description="The deployment.")
    tier: TemplateTier = Field(description="The service's tier.")
    service: TemplateService = Field(description="The service.")
    server: TemplateServer = Field(description="The server that the file is for.")
    peers: tuple[TemplateServer, ...] = Field(description="All servers of the tier, by slot.")
    dependencies: dict[str, TemplateDependency] = Field(
        description="What the service depends on, by the name of the service."
    )


class InAttributes(TemplateFacts):
    """Facts available to the texts among a tier's `attributes`.

    Nothing that changes when another server comes or goes: each change converges every server again.
    """

    deployment: TemplateDeployment = Field(description="The deployment.")
    tier: TemplateTier = Field(description="The tier.")
    server: TemplateServer = Field(description="The server that is configured.")


class InServerName(TemplateFacts):
    """Facts available to `server_name`: what is known before the server exists, and never changes."""

    deployment: TemplateNamed = Field(description="The deployment.")
    tier: TemplateNamed = Field(description="The tier.")
    server: Numbered = Field(description="The server.")
