"""Where what must outlive a deployment's runs is kept in Airflow, and what keeps it there.

It is the state of the asset `deployment-state://NAME`. Airflow's scheduler deletes the state of an asset that no DAG
refers to any more: a loader that cannot be read, or is not there at one refresh, would be enough. But an asset that has
been updated through an alias counts as referred to, and that association outlives its DAGs: neither a broken DAG file
nor `airflow db clean` removes it. So the first steps of every run update the asset through its alias.

An earlier Gantry kept the state with the asset `deployment://NAME`. It is read there, and moved by the first run that
has its turn.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from airflow.sdk import Asset, AssetAlias, Context

from gantry import names
from gantry.definition import models
from gantry.reconcile import data_placement
from gantry.state import config_history, filled_slots, installed_versions, keys, run_records

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

TURN = "turn:{}"
"""The key of an operation's mark."""


class _Place(Protocol):
    """The state of one asset."""

    def get(self, key: str) -> Any: ...  # noqa: ANN401 - JSON

    def set(self, key: str, value: Any) -> None: ...  # noqa: ANN401 - JSON

    def delete(self, key: str) -> None: ...


class DeploymentStore:
    """What is kept of a deployment: values by key. Each call blocks for a request or two to Airflow."""

    def __init__(self, new: _Place, old: _Place) -> None:
        self._new, self._old = new, old
        self._moved: bool | None = None

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """What is kept under a key, or None."""
        found = self._new.get(key)
        # An operation that an earlier Gantry began has its mark in the old place until it is over.
        if found is None and (key.startswith(TURN.format("")) or not self.is_moved()):
            return self._old.get(key)
        return found

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Keep something."""
        self._new.set(key, value)

    def delete(self, key: str) -> None:
        """Forget it, in both places."""
        self._new.delete(key)
        if not self.is_moved():
            self._old.delete(key)

    def is_moved(self) -> bool:
        """Whether everything that was in the old place is in the new one."""
        if not self._moved:
            self._moved = self._new.get(keys.MOVED) is not None
        return self._moved

    def move(self, definition: models.Definition) -> int:
        """Copy what an earlier Gantry has kept, once; how many values. Only for the run that has its turn."""
        if self.is_moved():
            return 0
        count = 0
        # Each run notes its operation's record: without one, nothing was ever kept there.
        if any(self._old.get(run_records.key(each.value)) is not None for each in names.Operation):
            for key in _keys(definition):
                value = self._old.get(key)
                if value is not None and self._new.get(key) is None:
                    self._new.set(key, value)
                    count += 1
        self._new.set(keys.MOVED, datetime.datetime.now(tz=datetime.UTC).isoformat())
        self._moved = True
        return count


def store(deployment: str) -> DeploymentStore:
    """What is kept of a deployment. The context has no such thing in the triggerer."""
    return DeploymentStore(_place(names.state(deployment)), _place(names.asset(deployment)))


def secure(context: Context, asset: str) -> None:
    """Have Airflow keep the asset's state when its DAGs are gone: the task that is running updates it by its alias.

    The association is made when the task succeeds in a worker. The triggerer, where a wait may end, makes none.
    """
    context["outlet_events"][AssetAlias(asset)].add(Asset(name=asset, uri=asset, group="gantry"))


def _place(asset: str) -> AssetStateStoreAccessor:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor  # noqa: PLC0415 - not for DAG files

    return AssetStateStoreAccessor(name=asset)


def _keys(definition: models.Definition) -> Iterator[str]:
    """All keys that are moved. Airflow's tasks cannot list them; marks of turns stay with the runs that wrote them."""
    yield from (run_records.key(each.value) for each in names.Operation)
    yield filled_slots.KEY
    for name, service in definition.services.items():
        for server in definition.names_of(service.tier):
            yield installed_versions.PLACES.key(name, server)
            yield config_history.PLACES.key(name, server)
    for name in data_placement.databases(definition):
        for slot in range(1, definition.tiers[definition.services[name].tier].servers.max + 1):
            yield data_placement.key(name, names.Slot(slot))
