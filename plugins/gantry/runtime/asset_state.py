"""Persistent state of a deployment in Airflow: stored in an asset's state, and protected from Airflow's cleanup.

The asset is `deployment-state://NAME`. Airflow's scheduler deletes the state of an asset that no DAG refers to any
more; a DAG file that is broken, or missing at one refresh, would be enough. However, an asset that was updated through
an alias counts as referenced, and this association outlives its DAGs: neither a broken DAG file nor `airflow db clean`
removes it. So the first steps of every run update the asset through its alias.

An older Gantry stored the state with the asset `deployment://NAME`. It is still read, and migrated by the first run
that holds the deployment's lock.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias, Context

from gantry import names
from gantry.definition import models
from gantry.reconcile import data_placement
from gantry.state import config_history, filled_slots, installed_versions, keys, run_records, store_record
from gantry.state.store import Store

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

TURN = "turn:{}"
"""The key of an operation's lock mark."""
_TURNS = TURN.format("")
_MIGRATED = (
    run_records.key(""),
    filled_slots.KEY,
    installed_versions.PLACES.prefix,
    config_history.PLACES.prefix,
    data_placement.KEYS,
)
"""What the keys of `_keys` begin with. Others were never in the old place: it is not asked for them."""


class DeploymentStore:
    """Key-value store of a deployment's state. Each call blocks for one or two requests to Airflow."""

    def __init__(self, new: Store, old: Store) -> None:
        self._new, self._old = new, old
        self._record: store_record.StoreRecord | None = None

    def get(self, key: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value stored under a key, or None."""
        found = self._new.get(key)
        if found is not None:
            return found
        # An operation that was started by an older Gantry has its mark in the old place until it is over.
        if key.startswith(_TURNS) or (key.startswith(_MIGRATED) and not self.is_moved()):
            return self._old.get(key)
        return None

    def set(self, key: str, value: Any) -> None:  # noqa: ANN401 - JSON
        """Store a value."""
        self._new.set(key, value)

    def delete(self, key: str) -> None:
        """Delete a value, in both places."""
        self._new.delete(key)
        if not self.is_moved():
            self._old.delete(key)

    def is_moved(self) -> bool:
        """Return whether all values of the old place are in the new one."""
        return self.record() is not None

    def record(self) -> store_record.StoreRecord | None:
        """Return the record of the state itself. Asked for once, as soon as there is one."""
        if self._record is None:
            self._record = store_record.load(self._new.get(keys.MOVED))
        return self._record

    def operated_from(self, bundle: str) -> None:
        """Note the DAG bundle that the deployment is operated from; empty if it may be any. After `move`."""
        known = self.record()
        if known is not None and known.bundle != bundle:
            self._note(dataclasses.replace(known, bundle=bundle))

    def move(self, definition: models.Definition) -> int:
        """Copy the values that an older Gantry stored, once; return how many. Only for the run that holds the lock."""
        if self.is_moved():
            return 0
        count = 0
        # Each run writes its operation's record: if there is none, nothing was ever stored there.
        if any(self._old.get(run_records.key(each.value)) is not None for each in names.Operation):
            for key in _keys(definition):
                value = self._old.get(key)
                if value is not None and self._new.get(key) is None:
                    self._new.set(key, value)
                    count += 1
        self._note(store_record.StoreRecord(datetime.datetime.now(tz=datetime.UTC).isoformat()))
        return count

    def _note(self, record: store_record.StoreRecord) -> None:
        self._new.set(keys.MOVED, store_record.dump(record))
        self._record = record


def store(deployment: str) -> DeploymentStore:
    """Return the store of a deployment. In the triggerer, the context does not provide one."""
    return DeploymentStore(_place(names.state(deployment)), _place(names.asset(deployment)))


def secure(context: Context, asset: str) -> None:
    """Make Airflow keep the asset's state when its DAGs are gone: the running task updates it by its alias.

    The association is created when the task succeeds in a worker, but not in the triggerer, where a wait may end.
    """
    context["outlet_events"][AssetAlias(asset)].add(Asset(name=asset, uri=asset, group="gantry"))


def _place(asset: str) -> AssetStateStoreAccessor:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor  # noqa: PLC0415 - not for DAG files

    return AssetStateStoreAccessor(name=asset)


def _keys(definition: models.Definition) -> Iterator[str]:
    """Yield all keys to migrate: Airflow's tasks cannot list them. Lock marks stay with the runs that wrote them."""
    yield from (run_records.key(each.value) for each in names.Operation)
    yield filled_slots.KEY
    for name, service in definition.services.items():
        for server in definition.names_of(service.tier):
            yield installed_versions.PLACES.key(name, server)
            yield config_history.PLACES.key(name, server)
    for name in data_placement.databases(definition):
        for slot in range(1, definition.tiers[definition.services[name].tier].servers.max + 1):
            yield data_placement.key(name, names.Slot(slot))
