"""Addresses by which servers of a deployment reach each other: IPv4, or IPv6 if they have no IPv4 address."""

from __future__ import annotations

from gantry import errors, inventory, names
from gantry.definition import models


class MissingAddressError(errors.GantryError):
    """A server that other servers depend on has no address yet."""

    transient = True

    def __init__(self, server: names.ServerName) -> None:
        self.server = server
        super().__init__(f"{server}: the cloud has given it no private address yet")


def of(server: inventory.Server) -> str:
    """Return the address by which other servers reach it.

    Raises:
        MissingAddressError: it has none yet.
    """
    if server.private_address is None:
        raise MissingAddressError(server.name)
    return server.private_address


def word(address: str) -> str:
    """Encode an address for the name of a job or a mark, in which colons are not allowed."""
    return address.replace(":", "_")


def of_word(written: str) -> str:
    """Decode an address that `word` has encoded."""
    return written.replace("_", ":")


def in_url(address: str) -> str:
    """Format an address for a URL, or for use before a port."""
    return f"[{address}]" if ":" in address else address


def of_service(
    definition: models.Definition, servers: inventory.Inventory, name: names.ServiceName
) -> tuple[str, ...]:
    """Return the addresses of all servers that a service runs on, by slot. Raises MissingAddressError."""
    return tuple(of(server) for server in servers.of_tier(definition.services[name].tier))
