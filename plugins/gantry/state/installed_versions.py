"""Which version of a service is on which server, as the steps that installed it have noted."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

import pydantic

from gantry.state import keys

PLACES = keys.Places("version:")
"""Where they are kept."""
SHORT = 8
"""Letters of a version that people are shown."""

Service = TypeVar("Service", bound=str)
Server = TypeVar("Server", bound=str)


@dataclasses.dataclass(frozen=True)
class Installed:
    """What is installed of a service on a server.

    Attributes:
        version: the SHA-256 digest of the archive, or its object's ETag where nobody had the digest; None where an
            installation has not finished.
        instance: the server's instance then: of another one it says nothing.
        operation, run, at: by which run, and when (ISO 8601).
    """

    version: str | None
    instance: str
    operation: str
    run: str
    at: str

    @property
    def short(self) -> str:
        """For people."""
        return "unfinished" if self.version is None else self.version[:SHORT]


def on(
    found: Mapping[tuple[Service, Server], Installed], server: str, instance: str | None
) -> dict[Service, Installed]:
    """What is installed on a server, as far as it was noted of the very instance that is there now.

    Args:
        found: by service and server.
        server: its name.
        instance: the server's instance now, or None where nobody knows: then everything is believed.
    """
    return {
        service: each
        for (service, where), each in sorted(found.items())
        if where == server and instance in (None, each.instance)
    }


_INSTALLED = pydantic.TypeAdapter(Installed)


def load(kept: object) -> Installed | None:
    """From JSON; None for what cannot be read, as a later Gantry may have written it."""
    try:
        return _INSTALLED.validate_python(kept)
    except pydantic.ValidationError:
        return None


def dump(found: Installed) -> pydantic.JsonValue:
    """As JSON."""
    dumped: pydantic.JsonValue = _INSTALLED.dump_python(found, mode="json")
    return dumped
