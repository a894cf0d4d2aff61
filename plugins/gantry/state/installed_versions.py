"""Versions of services on servers, as recorded by the steps that installed them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import pydantic

from gantry.state import keys

PLACES = keys.Places("version:")
"""The keys under which they are stored."""
SHORT = 8
"""Number of characters of a version that people are shown."""

Service = TypeVar("Service", bound=str)
Server = TypeVar("Server", bound=str)


@dataclasses.dataclass(frozen=True)
class Installed:
    """The installed version of a service on a server.

    Attributes:
        version: the SHA-256 digest of the archive, or its object's ETag if the digest was unknown; None if an
            installation has not finished.
        instance: the server's instance at that time: the record does not apply to another one.
        operation, run, at: by which run, and when (ISO 8601).
    """

    version: str | None
    instance: str
    operation: str
    run: str
    at: str

    @property
    def short(self) -> str:
        """Return the short form for people."""
        return "unfinished" if self.version is None else self.version[:SHORT]


def on(
    found: Mapping[tuple[Service, Server], Installed], server: str, instance: str | None
) -> dict[Service, Installed]:
    """Return what is installed on a server, as far as it was recorded for the current instance.

    Args:
        found: records by service and server.
        server: the server's name.
        instance: the server's current instance; None if it is unknown: then all records count.
    """
    return {
        service: each
        for (service, where), each in sorted(found.items())
        if where == server and instance in (None, each.instance)
    }


_INSTALLED = pydantic.TypeAdapter(Installed)


def load(kept: object) -> Installed | None:
    """Load from JSON; None if unreadable, for example written by a later Gantry version."""
    try:
        return _INSTALLED.validate_python(kept)
    except pydantic.ValidationError:
        return None


def dump(found: Installed) -> pydantic.JsonValue:
    """Convert to JSON."""
    dumped: pydantic.JsonValue = _INSTALLED.dump_python(found, mode="json")
    return dumped
