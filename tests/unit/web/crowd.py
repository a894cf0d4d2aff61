"""Many deployments at once: copies of one, with all its DAGs, runs and tasks, as rows of the database."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

import sqlalchemy as sa
from airflow.models.base import Base
from airflow.utils.session import create_session

TABLES = ("dag", "dag_tag", "dag_version", "serialized_dag", "dag_run", "task_instance", "xcom")
KEYS = ("id", "dag_version_id", "created_dag_version_id", "dag_run_id")
_IN_ONE_GO = 2000


def multiply(name: str, count: int) -> None:
    """Make `count` copies of a deployment, each with a name of its own (`NAME-0001` and so on)."""
    with create_session() as session:
        rows = {table: _rows(session, Base.metadata.tables[table], name) for table in TABLES}
        first = 1 + (session.scalar(sa.text("select coalesce(max(id), 0) from dag_run")) or 0)
        for start in range(0, count, 100):
            for table, found in _copies(rows, name, range(start, min(start + 100, count)), first).items():
                for place in range(0, len(found), _IN_ONE_GO):
                    session.execute(sa.insert(Base.metadata.tables[table]), found[place : place + _IN_ONE_GO])


def _rows(session: Any, table: sa.Table, name: str) -> list[dict[str, Any]]:
    ours = sa.or_(table.c.dag_id == name, table.c.dag_id.startswith(f"{name}."))
    return [dict(row) for row in session.execute(sa.select(table).where(ours)).mappings()]


def _copies(
    rows: dict[str, list[dict[str, Any]]], name: str, numbers: range, first: int
) -> dict[str, list[dict[str, Any]]]:
    """Copies of all rows, with ids of their own."""
    made: dict[str, list[dict[str, Any]]] = {table: [] for table in TABLES}
    runs = [row["id"] for row in rows["dag_run"]]
    for number in numbers:
        own = f"{name}-{number:04}"
        ids: dict[Any, Any] = {run: first + number * len(runs) + place for place, run in enumerate(runs)}
        for table, found in rows.items():
            made[table].extend(_copy(table, row, name, own, ids) for row in found)
    return made


def _copy(table: str, row: dict[str, Any], name: str, own: str, ids: dict[Any, Any]) -> dict[str, Any]:
    copied = {**row, "dag_id": row["dag_id"].replace(name, own, 1)}
    for key in KEYS:
        if copied.get(key) is not None:
            copied[key] = ids.setdefault(copied[key], uuid.uuid4())
    if table == "serialized_dag":
        copied["data"] = json.loads(json.dumps(row["data"]).replace(name, own))
        copied["dag_hash"] = hashlib.md5(f"{own}{row['dag_hash']}".encode()).hexdigest()
    return copied
