"""A deployment's state in Airflow: installed versions, and configuration files delivered to servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from airflow.models.asset_state_store import AssetStateStoreModel
from sqlalchemy.orm import Session

from gantry import names
from gantry.state import config_history, filled_slots, installed_versions
from gantry.web.queries import model, run_queries

Installed = Mapping[tuple[names.ServiceName, names.ServerName], installed_versions.Installed]
"""The installed versions, by service and server."""


def installed(session: Session, name: str) -> Installed:
    """Return the installed versions. One query."""
    found = {}
    for key, value in _kept(session, name, installed_versions.PLACES.prefix):
        place, each = installed_versions.PLACES.parts(key), installed_versions.load(value)
        if place is not None and each is not None:
            found[names.ServiceName(place[0]), names.ServerName(place[1])] = each
    return found


def slots(session: Session, deployments: Collection[str]) -> dict[str, filled_slots.Slots]:
    """Return each tier's slots that were filled at the end of the last launch, by deployment. One query."""
    return {
        name: filled_slots.load(value)
        for name, value in run_queries.noted(session, deployments, [filled_slots.KEY])
    }


def told(session: Session, name: str, server: str) -> tuple[model.ConfigHistory, ...]:
    """Return the configuration history of a server, by service. One query."""
    found = []
    for key, value in _kept(session, name, config_history.PLACES.prefix, f"@{server}"):
        place, every = config_history.PLACES.parts(key), config_history.load(value)
        if place is not None and place[1] == server and every:
            found.append(model.ConfigHistory(names.ServiceName(place[0]), every[::-1]))
    return tuple(sorted(found, key=lambda each: each.service))


def servers(found: Collection[model.ServerView], known: Installed) -> tuple[model.ServerView, ...]:
    """Add the installed versions to servers, as far as recorded for the current instance."""
    return tuple(
        dataclasses.replace(
            server,
            installed=installed_versions.on(
                known, server.name, None if server.instance is None else server.instance.instance_id
            ),
        )
        for server in found
    )


def services(
    found: Collection[model.ServiceView], on: Collection[model.ServerView]
) -> tuple[model.ServiceView, ...]:
    """Add the versions installed on these servers to services."""
    return tuple(
        dataclasses.replace(
            service,
            installed={
                server.name: server.installed[service.name]
                for server in on
                if service.name in server.installed
            },
        )
        for service in found
    )


def _kept(session: Session, name: str, prefix: str, suffix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys with this prefix and suffix, and their values."""
    which = sa.and_(
        AssetStateStoreModel.key.startswith(prefix, autoescape=True),
        AssetStateStoreModel.key.endswith(suffix, autoescape=True),
    )
    yield from run_queries.kept(session, [name], which)[name].items()
