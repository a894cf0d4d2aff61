"""Under which keys things are kept of a deployment in Airflow, and what an earlier Gantry has kept elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from gantry import names

T = TypeVar("T")


MOVED = "moved"
"""The key that says since when nothing is kept in the old place, the state of `deployment://NAME`, any more."""


def merged(new: Mapping[str, T], old: Mapping[str, T]) -> dict[str, T]:
    """What is kept in the new place, and as long as it has not been moved, what is kept in the old one alone."""
    return dict(new) if MOVED in new else {**old, **new}


@dataclasses.dataclass(frozen=True)
class Places:
    """The keys of one kind of notes. `prefix` is what all of them begin with."""

    prefix: str

    def key(self, service: names.ServiceName, server: names.ServerName) -> str:
        """The key of a service on a server."""
        return f"{self.prefix}{service}@{server}"

    def parts(self, key: str) -> tuple[str, str] | None:
        """The service and the server of a key, or None if it is one of another kind."""
        if not key.startswith(self.prefix):
            return None
        service, _, server = key.removeprefix(self.prefix).partition("@")
        return service, server
