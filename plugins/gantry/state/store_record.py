"""The record of a deployment's state itself: since when it is complete, and which DAG bundle it is operated from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pydantic


@dataclasses.dataclass(frozen=True)
class StoreRecord:
    """The content of the record.

    Attributes:
        moved: since when the old place, the state of `deployment://NAME`, is unused; in ISO 8601.
        bundle: the DAG bundle of the definition that the last operation worked with. Empty if that is not known: an
            older Gantry was the last one, or nothing of the deployment is left.
    """

    moved: str
    bundle: str = ""


def load(kept: object) -> StoreRecord | None:
    """Load it from JSON; None if there is none. An older Gantry has stored the time alone."""
    if kept is None:
        return None
    found = kept if isinstance(kept, Mapping) else {"moved": kept}
    moved, bundle = found.get("moved"), found.get("bundle")
    # Whatever a later Gantry adds: that there is a record counts.
    return StoreRecord(str(moved or ""), bundle if isinstance(bundle, str) else "")


def dump(record: StoreRecord) -> pydantic.JsonValue:
    """Convert it to JSON; without a bundle, as an older Gantry does."""
    if not record.bundle:
        return record.moved
    return {"moved": record.moved, "bundle": record.bundle}
