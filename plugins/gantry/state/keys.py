"""Keys of a deployment's state in Airflow, and the places where an older Gantry stored it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from gantry import names

T = TypeVar("T")


MOVED = "moved"
"""Key of the record of the state itself: see `store_record`. If there is one, the old place, the state of
`deployment://NAME`, is unused."""


def merged(new: Mapping[str, T], old: Mapping[str, T]) -> dict[str, T]:
    """Merge the values of both places; until the migration, the old place may have some that the new one lacks."""
    return dict(new) if MOVED in new else {**old, **new}


@dataclasses.dataclass(frozen=True)
class Places:
    """The keys of one kind of record. `prefix` is their common beginning."""

    prefix: str

    def key(self, service: names.ServiceName, server: names.ServerName) -> str:
        """Return the key of a service on a server."""
        return f"{self.prefix}{service}@{server}"

    def parts(self, key: str) -> tuple[str, str] | None:
        """Return the service and the server of a key, or None for a key of another kind."""
        if not key.startswith(self.prefix):
            return None
        service, _, server = key.removeprefix(self.prefix).partition("@")
        return service, server
