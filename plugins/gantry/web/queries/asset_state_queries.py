"""What steps have noted of a deployment in Airflow: what is installed where, and what servers were handed."""

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
"""What is installed of a service on a server."""


def installed(session: Session, name: str) -> Installed:
    """What is installed where. One query."""
    found = {}
    for key, value in _kept(session, name, installed_versions.PLACES.prefix):
        place, each = installed_versions.PLACES.parts(key), installed_versions.load(value)
        if place is not None and each is not None:
            found[names.ServiceName(place[0]), names.ServerName(place[1])] = each
    return found


def slots(session: Session, deployments: Collection[str]) -> dict[str, filled_slots.Slots]:
    """The slots of each tier that were filled when the last launch had arrived, by deployment. One query."""
    return {
        name: filled_slots.load(value)
        for name, value in run_queries.noted(session, deployments, [filled_slots.KEY])
    }


def told(session: Session, name: str, server: str) -> tuple[model.ConfigHistory, ...]:
    """What a server was handed, by service. One query."""
    found = []
    for key, value in _kept(session, name, config_history.PLACES.prefix, f"@{server}"):
        place, every = config_history.PLACES.parts(key), config_history.load(value)
        if place is not None and place[1] == server and every:
            found.append(model.ConfigHistory(names.ServiceName(place[0]), every[::-1]))
    return tuple(sorted(found, key=lambda each: each.service))


def servers(found: Collection[model.ServerView], known: Installed) -> tuple[model.ServerView, ...]:
    """With what is installed there, as far as it was noted of the very instance that is there now."""
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
    """With what is installed of them on these servers."""
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
    """The keys that begin and end so, and what is kept under them."""
    which = sa.and_(
        AssetStateStoreModel.key.startswith(prefix, autoescape=True),
        AssetStateStoreModel.key.endswith(suffix, autoescape=True),
    )
    yield from run_queries.kept(session, [name], which)[name].items()
