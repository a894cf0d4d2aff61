"""A deployment's state in Airflow: what its overview shows of it, and the files delivered to its servers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from airflow.models.asset_state_store import AssetStateStoreModel
from sqlalchemy.orm import Session

from gantry import names
from gantry.state import config_history, filled_slots, installed_versions, kept_failures, run_records
from gantry.web.queries import model, run_queries

_KEPT = AssetStateStoreModel.key
_LISTED = _KEPT.in_([filled_slots.KEY, *(run_records.key(each.value) for each in names.Operation)])
_INSTALLED = _KEPT.startswith(installed_versions.PLACES.prefix, autoescape=True)


def kept(session: Session, deployments: Collection[str], *, with_versions: bool) -> dict[str, dict[str, Any]]:
    """Return what is kept of deployments, by deployment and key, without delivered files. One query.

    Args:
        session: the database session.
        deployments: their names.
        with_versions: whether to include the installed versions, of which there is one for each service on a server.
    """
    return run_queries.kept(session, deployments, sa.or_(_LISTED, _INSTALLED) if with_versions else _LISTED)


def of_operation(session: Session, name: str, operation: names.Operation) -> dict[str, Any]:
    """Return the records of a deployment's operation, and what stopped its failed tasks, by key. One query."""
    which = sa.or_(
        _KEPT.in_([run_records.key(operation.value)]),
        _KEPT.startswith(kept_failures.prefix(operation.value), autoescape=True),
    )
    return run_queries.kept(session, [name], which)[name]


def told(session: Session, name: str, server: str) -> tuple[model.ConfigHistory, ...]:
    """Return the configuration history of a server, by service. One query."""
    which = sa.and_(
        _KEPT.startswith(config_history.PLACES.prefix, autoescape=True),
        _KEPT.endswith(f"@{server}", autoescape=True),
    )
    found = []
    for key, value in run_queries.kept(session, [name], which)[name].items():
        place, every = config_history.PLACES.parts(key), config_history.load(value)
        if place is not None and place[1] == server and every:
            found.append(model.ConfigHistory(names.ServiceName(place[0]), every[::-1]))
    return tuple(sorted(found, key=lambda each: each.service))
