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

from gantry import names, overview, plan
from gantry.definition import models, stored

_KEPT = 4096
_CARRIERS = frozenset(kind.value for kind, facts in plan.STEP_KINDS.items() if facts.carries_definition)
"""The tasks that carry the definition. Each DAG has one of them."""


class Definitions:
    """Reads definitions from the database, each once per process."""

    def __init__(self) -> None:
        self._texts: dict[str, str | None] = {}

    def newest(self, dags: Collection[str], session: Session) -> dict[str, overview.CompiledDefinition]:
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
        return {row.dag_id: known for row, known in self._read(rows, session)}

    def of_version(self, dag: str, version: object, session: Session) -> overview.CompiledDefinition | None:
        """Return the definition of a version of a DAG; of the newest one if that version is gone."""
        return self.of_versions({(dag, ""): version}, session).get((dag, ""))

    def of_versions(
        self, wanted: Mapping[overview.RunKey, object], session: Session
    ) -> dict[overview.RunKey, overview.CompiledDefinition]:
        """Return the definitions that runs were compiled from, by run; the newest ones for versions that are gone.

        Two queries regardless of their number, and two more if a version is gone.

        Args:
            wanted: by run, the version of its DAG.
            session: the database session.
        """
        versions = {version for version in wanted.values() if version is not None}
        found: dict[object, overview.CompiledDefinition] = {}
        if versions:
            rows = session.execute(
                sa.select(
                    SerializedDagModel.id,
                    SerializedDagModel.dag_id,
                    SerializedDagModel.dag_hash,
                    SerializedDagModel.dag_version_id,
                ).where(SerializedDagModel.dag_version_id.in_(versions))
            ).all()
            found = {row.dag_version_id: known for row, known in self._read(rows, session)}
        known = {run: found[version] for run, version in wanted.items() if version in found}
        gone = [run for run in wanted if run not in known]
        newest = self.newest({dag for dag, _ in gone}, session)
        return known | {run: newest[run[0]] for run in gone if run[0] in newest}

    def _read(
        self, rows: Sequence[sa.Row[*tuple[Any, ...]]], session: Session
    ) -> Iterator[tuple[sa.Row[*tuple[Any, ...]], overview.CompiledDefinition]]:
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
                yield row, known


def definition_text(data: Mapping[str, Any]) -> str | None:
    """Return the definition that a serialized DAG carries; None if it carries none, as those of an older Gantry."""
    for task in (data.get("dag") or {}).get("tasks") or ():
        fields = task.get("__var") or {}
        if fields.get("task_id") in _CARRIERS:
            text = fields.get("doc_json")
            return text if isinstance(text, str) else None
    return None


@functools.lru_cache(maxsize=_KEPT)
def _known(dag: str, text: str) -> overview.CompiledDefinition | None:
    definition: models.Definition | None = stored.load(text)
    operation = names.operation_of(dag)
    if definition is None or operation is None:
        return None
    return overview.CompiledDefinition(definition, plan.plan_of(definition, operation))
