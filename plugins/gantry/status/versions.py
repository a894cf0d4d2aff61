"""Which version of a service is on which server, as the steps that installed it have noted."""

from __future__ import annotations

import dataclasses

import pydantic

from gantry import names

PREFIX = "version:"
"""What the keys of all of them begin with."""
SHORT = 8
"""Letters of a version that people are shown."""


@dataclasses.dataclass(frozen=True)
class Installed:
    """What is installed of a service on a server.

    Attributes:
        version: what the object store calls the archive's version; None where an installation has not finished.
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


_INSTALLED = pydantic.TypeAdapter(Installed)


def key(service: names.ServiceName, server: names.ServerName) -> str:
    """Under which it is kept in the state of the deployment's asset."""
    return f"{PREFIX}{service}@{server}"


def parts(key: str) -> tuple[str, str] | None:
    """The service and the server of a key, or None if it is another one."""
    if not key.startswith(PREFIX):
        return None
    service, _, server = key.removeprefix(PREFIX).partition("@")
    return service, server


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
