"""Where the facts about a deployment come from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from gantry.overview import model


class RunSource(Protocol):
    """The facts about the runs of one deployment: what `gantry.overview.run_snapshot` needs."""

    def past(self) -> Iterable[model.PastRun]:
        """Return the runs that change the deployment, those that worked last first, as far as the source reads."""

    def definition(self, run: model.Run | None = None) -> model.CompiledDefinition | None:
        """Return the definition of a run, with the plan of its operation; without a run, that of a launch now."""

    def tasks(self, run: model.Run) -> tuple[model.TaskInstanceRow, ...]:
        """Return the task instances of the shown run, or of one in `past`, by task and map index.

        Of a run before the one that is shown, those that show which servers it has left running are enough.
        """

    def order(self, run: model.Run) -> tuple[str, ...]:
        """Return the tasks of a run without a definition, each after those it waits for; empty if that is not known."""


class Source(RunSource, Protocol):
    """The facts about one deployment that Airflow has.

    `gantry.web.queries.sql_source` reads them from Airflow's database, and `gantry.cli.queries.rest_source` through
    its API. What differs between the two, and why:

    - Rights. The API answers with what its user may read, and refuses the rest. The database has everything, so pages
      leave out what their visitor may not read.
    - The number of requests. Pages read the facts of all deployments in sight by a fixed number of queries, the API
      one run at a time, when it is asked for. So pages look back a limited number of runs: see
      `DeploymentRow.is_settled`.
    - The definition. Pages use the one that a run was compiled from. The API does not give it, so the terminal uses
      the file at hand, if there is one; without it, only the deployment's state as a whole is known.
    - The servers of a task. The database has the batch that was dealt to it. The API has the task's label, which says
      the same as long as the batch has no gaps.
    """

    def dag(self) -> model.LaunchDag:
        """Return the DAG that launches it."""

    def is_settled(self) -> bool:
        """Return whether runs that the source does not read cannot matter."""

    def last(self) -> model.Run | None:
        """Return the run that was requested last: see `gantry.overview.runs.weight`."""

    def kept(self) -> Mapping[str, object] | None:
        """Return the state of the deployment's asset, by key; None if it may not be read."""

    def ends(self, runs: Collection[model.RunKey]) -> Mapping[model.RunKey, model.RunEnd]:
        """Return the ends of these runs, without those that Airflow has forgotten."""
