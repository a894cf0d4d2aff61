"""Placeholders for facts that cannot be known before the launch, and their display."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import re
from collections.abc import Iterable, Mapping

from gantry import inventory, names

SHOWN = "(known after launch)"

_STAND_IN = re.compile(r"\{(?:address|instance) of [a-z0-9.-]+\}", re.IGNORECASE)
"""Each server has its own, so that the addresses of two of them do not count as equal."""


def server(name: names.ServerName, tier: names.TierName, slot: names.Slot) -> inventory.Server:
    """Return a server that is not started yet."""
    return inventory.Server(
        name=name,
        tier=tier,
        slot=slot,
        instance_id=f"{{instance of {name}}}",
        state=inventory.InstanceState.PENDING,
        image="",
        launched_at=datetime.datetime.now(tz=datetime.UTC),
        private_address=f"{{address of {name}}}",
        public_address=f"{{address of {name}}}",
    )


def filled(known: inventory.Server) -> inventory.Server:
    """Return a server with a placeholder for an address that the cloud has not assigned yet."""
    if known.private_address is not None:
        return known
    return dataclasses.replace(known, private_address=f"{{address of {known.name}}}")


def shown(text: str) -> str:
    """Format a text with placeholders for people."""
    return _STAND_IN.sub(SHOWN, text)


_UNUSED = ipaddress.IPv4Address("240.0.0.1")
"""The first of the addresses that no network uses (RFC 1112, class E). They are sorted after all others."""


def addresses(texts: Iterable[str]) -> dict[str, str]:
    """Return an IPv4 address for each text that is a placeholder: some programs accept nothing else."""
    found = dict.fromkeys(text for text in texts if _STAND_IN.fullmatch(text))
    return {text: str(_UNUSED + number) for number, text in enumerate(found)}


def shown_addresses(text: str, given: Mapping[str, str]) -> str:
    """Format a text for people that contains addresses from `addresses`."""
    for address in given.values():
        text = re.sub(rf"(?<![\d.]){re.escape(address)}(?![\d.])", SHOWN, text)
    return text
