"""Warnings about secrets that are ordinary words: Airflow masks them everywhere, even in server names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gantry import errors, names
from gantry.credentials import connections
from gantry.definition import models


def warnings(definition: models.Definition) -> Iterator[str]:
    """Yield a warning for each secret that is a part of a name, without the secret.

    Unreadable connections are skipped: they are reported where they are needed.
    """
    known = _names(definition)
    for connection, place in _connections(definition).items():
        secrets: dict[str, str] = {}
        with contextlib.suppress(errors.GantryError):
            secrets = connections.words_of(connection)
        for field, secret in secrets.items():
            if kinds := [kind for kind, of_kind in known.items() if any(secret in each for each in of_kind)]:
                yield (
                    f"the {field} of the Airflow connection {connection!r} ({place}) is a part of names of this "
                    f"deployment ({', '.join(kinds)}). Airflow shows *** in its place in all logs and errors of the "
                    f"tasks that read it, so the names there are not the real ones. Use a secret that is not a "
                    "word."
                )


def _names(definition: models.Definition) -> dict[str, list[str]]:
    """Return names that logs are full of, by kind."""
    return {
        "its own": [definition.deployment],
        "tiers": list(definition.tiers),
        "servers": [name for tier in definition.tiers for name in definition.names_of(tier)],
        "services": list(definition.services),
        "datasources": [name for each in definition.services.values() for name in each.datasources],
        "load balancers": list(definition.load_balancers),
    }


def _connections(definition: models.Definition) -> dict[names.ConnectionId, str]:
    """Return the connections that are read, with their places in the definition: their names may contain secrets."""
    found: dict[names.ConnectionId, str] = {}
    for name, launch in definition.launch_configurations.items():
        place = f"launch_configurations.{name}"
        found.setdefault(launch.ssh.connection, f"{place}.ssh.connection")
        if launch.ssh.jump_connection is not None:
            found.setdefault(launch.ssh.jump_connection, f"{place}.ssh.jump_connection")
        if launch.chef is not None:
            found.setdefault(launch.chef.connection, f"{place}.chef.connection")
    for service, each in definition.services.items():
        for datasource, source in each.datasources.items():
            found.setdefault(source.connection, f"services.{service}.datasources.{datasource}.connection")
        if each.replication is not None:
            found.setdefault(each.replication.connection, f"services.{service}.replication.connection")
    return found
