"""The DAG bundle that a deployment is operated from, beside the one that Airflow has read its definition from last."""

from __future__ import annotations

from collections.abc import Mapping

from gantry.state import keys, store_record


def left(kept: Mapping[str, object] | None, bundle: str) -> str:
    """Return the bundle of the last operation if Airflow has the definition from another one by now; else nothing.

    Args:
        kept: the state of the deployment's asset; None if it may not be read.
        bundle: the bundle that Airflow has read its DAGs from last; empty if that is not known.
    """
    record = store_record.load((kept or {}).get(keys.MOVED))
    known = "" if record is None else record.bundle
    return known if known != bundle and bundle else ""


def told(known: str, bundle: str) -> str:
    """Return a sentence about that."""
    return (
        f"its definition was read from the DAG bundle {bundle!r}, and the last operation worked with the one in "
        f"{known!r}: if both have it, remove one; if it has moved, launch once with --new-bundle {bundle}. Otherwise "
        f"operations are refused as long as Airflow has the bundle {known!r}"
    )
