"""The addresses by which the servers of a deployment reach each other: IPv4, or IPv6 where they have no other."""

from __future__ import annotations

from gantry import errors, inventory, names
from gantry.definition import models


class MissingAddressError(errors.GantryError):
    """A server that others must know has no address yet."""

    transient = True

    def __init__(self, server: names.ServerName) -> None:
        self.server = server
        super().__init__(f"{server}: the cloud has given it no private address yet")


def of(server: inventory.Server) -> str:
    """The address by which other servers reach it.

    Raises:
        MissingAddressError: it has none yet.
    """
    if server.private_address is None:
        raise MissingAddressError(server.name)
    return server.private_address


def word(address: str) -> str:
    """An address as it may stand in the name of a job or a mark, where no colon may."""
    return address.replace(":", "_")


def of_word(written: str) -> str:
    """The address that `word` has written."""
    return written.replace("_", ":")


def in_url(address: str) -> str:
    """An address as it stands in a URL, or before a port."""
    return f"[{address}]" if ":" in address else address


def of_service(
    definition: models.Definition, servers: inventory.Inventory, name: names.ServiceName
) -> tuple[str, ...]:
    """The addresses of all servers that a service runs on, by slot. Raises MissingAddressError."""
    return tuple(of(server) for server in servers.of_tier(definition.services[name].tier))
