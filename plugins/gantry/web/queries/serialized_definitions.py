"""Definitions from Airflow's serialized DAGs: what each version of a DAG was compiled from.

The API server reads no DAG file. A DAG's `turn` task (`watch` in DAGs without it) carries the definition
(`definition/stored.py`), and the result is cached: a version of a DAG never changes.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from airflow.models.dag_version import DagVersion
from airflow.models.serialized_dag import SerializedDagModel
from sqlalchemy.orm import Session

from gantry import names, plan
from gantry.definition import models, stored
from gantry.web.queries import model

_KEPT = 4096
_CARRIERS = frozenset(kind.value for kind, facts in plan.STEP_KINDS.items() if facts.carries_definition)
"""The tasks that carry the definition. Each DAG has one of them."""


class Definitions:
    """Reads definitions from the database, each once per process."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}

    def newest(self, dags: Collection[str], session: Session) -> dict[str, model.Known]:
        """Return the current definitions of these DAGs, by DAG, without unreadable ones.

        Two queries regardless of their number, and only one if nothing has changed.
        """
        if not dags:
            return {}
        ranked = (
            sa.select(
                SerializedDagModel.id,
                SerializedDagModel.dag_id,
                SerializedDagModel.dag_hash,
                sa.func.row_number()
                .over(partition_by=SerializedDagModel.dag_id, order_by=DagVersion.version_number.desc())
                .label("place"),
            )
            .join(DagVersion, DagVersion.id == SerializedDagModel.dag_version_id)
            .where(SerializedDagModel.dag_id.in_(dags))
            .subquery()
        )
        rows = session.execute(
            sa.select(ranked.c.id, ranked.c.dag_id, ranked.c.dag_hash).where(ranked.c.place == 1)
        ).all()
        return dict(self._read(rows, session))

    def of_version(self, dag: str, version: object, session: Session) -> model.Known | None:
        """Return the definition of a version of a DAG; of the newest one if that version is gone."""
        found: dict[str, model.Known] = {}
        if version is not None:
            rows = session.execute(
                sa.select(
                    SerializedDagModel.id, SerializedDagModel.dag_id, SerializedDagModel.dag_hash
                ).where(SerializedDagModel.dag_version_id == version)
            ).all()
            found = dict(self._read(rows, session))
        return found.get(dag) or self.newest([dag], session).get(dag)

    def _read(
        self, rows: Sequence[sa.Row[Any, Any, Any]], session: Session
    ) -> Iterator[tuple[str, model.Known]]:
        new = [row.id for row in rows if row.dag_hash not in self._texts]
        if new:
            if len(self._texts) > _KEPT:
                self._texts.clear()
            for each in session.scalars(sa.select(SerializedDagModel).where(SerializedDagModel.id.in_(new))):
                self._texts[each.dag_hash] = definition_text(each.data or {})
        for row in rows:
            # Another request may have cleared it.
            text = self._texts.get(row.dag_hash)
            known = None if text is None else _known(row.dag_id, text)
            if known is not None:
                yield row.dag_id, known


def definition_text(data: Mapping[str, Any]) -> str | None:
    """Return the definition that a serialized DAG carries; None if it carries none, as those of an older Gantry."""
    for task in (data.get("dag") or {}).get("tasks") or ():
        fields = task.get("__var") or {}
        if fields.get("task_id") in _CARRIERS:
            text = fields.get("doc_json")
            return text if isinstance(text, str) else None
    return None


@functools.lru_cache(maxsize=_KEPT)
def _known(dag: str, text: str) -> model.Known | None:
    definition: models.Definition | None = stored.load(text)
    operation = names.operation_of(dag)
    if definition is None or operation is None:
        return None
    return model.Known(definition, plan.plan_of(definition, operation))
