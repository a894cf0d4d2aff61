"""The states of runs and tasks, for waits: from Airflow's database.

A look through the REST API takes Airflow's only API server as long as a request of a task, and there were more of them
than of heartbeats. What a test verifies afterwards is still what the API says.
"""

from __future__ import annotations

import functools

import sqlalchemy as sa

_RUN = sa.text("SELECT state FROM dag_run WHERE dag_id = :dag AND run_id = :run")
_TASK = sa.text("SELECT state FROM task_instance WHERE dag_id = :dag AND run_id = :run AND task_id = :task")

_INSTANCES = sa.text(
    "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = :dag AND run_id = :run"
)


class RunStates:
    """Reads them in a database, which is given by its URL, over one connection."""

    def __init__(self, url: str) -> None:
        # Each look is a transaction of its own: none stays open while its test waits.
        self._engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", pool_size=1)

    def is_over(self, dag: str, run: str) -> bool:
        """Whether a run has ended. One that is not there is for the API to complain of."""
        return not {"queued", "running"} & self._look(_RUN, dag=dag, run=run)

    def of_task(self, dag: str, run: str, task: str) -> set[str | None]:
        """The states of all instances of a task."""
        return self._look(_TASK, dag=dag, run=run, task=task)

    def of_run(self, dag: str, run: str) -> set[tuple[str, int, str | None]]:
        """Each task instance of a run, with its state."""
        with self._engine.connect() as connection:
            found = connection.execute(_INSTANCES, {"dag": dag, "run": run})
            return {(task, index, state) for task, index, state in found}

    def _look(self, statement: sa.TextClause, **of: str) -> set[str | None]:
        with self._engine.connect() as connection:
            return set(connection.scalars(statement, of))


@functools.cache
def at(url: str) -> RunStates:
    """The one of this process for a database."""
    return RunStates(url)
