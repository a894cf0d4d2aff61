"""Where everything is: our own pages, and Airflow's."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING

from gantry import names
from gantry.web.http import mount

if TYPE_CHECKING:
    # Where Airflow only loads the plugin, there may be no need of it.
    import fastapi


@dataclasses.dataclass(frozen=True)
class Addresses:
    """The addresses of one Airflow.

    Attributes:
        airflow: the path that all its pages begin with, without a slash at its end.
    """

    airflow: str

    @classmethod
    def of(cls, request: fastapi.Request) -> Addresses:
        """Those of the Airflow that was asked."""
        # The mount has added our own prefix.
        return cls(str(request.scope.get("root_path", "")).rstrip("/").removesuffix(mount.PREFIX))

    @property
    def prefix(self) -> str:
        """What our own pages begin with."""
        return f"{self.airflow}{mount.PREFIX}"

    def deployment(self, name: str) -> str:
        """A deployment's page."""
        return f"{self.prefix}/deployments/{_quoted(name)}"

    def agent_log(self, name: str, server: str) -> str:
        """The agent's own log on a server."""
        return f"{self.deployment(name)}/servers/{_quoted(server)}/log"

    def facts(self, name: str, server: str) -> str:
        """What a server was handed."""
        return f"{self.deployment(name)}/servers/{_quoted(server)}/facts"

    def form(self, name: str, operation: str) -> str:
        """The form of an operation."""
        return f"{self.deployment(name)}/operations/{_quoted(operation)}"

    def run(self, dag: str, run: str) -> str:
        """A run's page."""
        return f"{self.prefix}/dags/{_quoted(dag)}/runs/{_quoted(run)}"

    def run_of(self, name: str, operation: str, run: str) -> str:
        """A run's page, by its deployment and its operation."""
        return self.run(names.dag_id(name, names.Operation(operation)), run)

    def log(self, dag: str, run: str, task: str, map_index: int) -> str:
        """A task instance's log, as a part of a run's page."""
        return f"{self.run(dag, run)}/log?{urllib.parse.urlencode({'task': task, 'map_index': map_index})}"

    def log_since(self, dag: str, run: str, task: str, map_index: int, place: str) -> str:
        """What a task instance's log has got since."""
        return f"{self.log(dag, run, task, map_index)}&{urllib.parse.urlencode({'after': place})}"

    def answer(self, dag: str, run: str, task: str) -> str:
        """The form that answers what a task asks."""
        return f"{self.run(dag, run)}/answer?{urllib.parse.urlencode({'task': task})}"

    def airflow_dag(self, dag: str) -> str:
        """Airflow's own page of a DAG."""
        return f"{self.airflow}/dags/{_quoted(dag)}"

    def airflow_run(self, dag: str, run: str) -> str:
        """Airflow's own page of a run."""
        return f"{self.airflow_dag(dag)}/runs/{_quoted(run)}"

    def task(self, dag: str, run: str, task: str, map_index: int = -1) -> str:
        """Airflow's own page of a task instance."""
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.airflow_run(dag, run)}/tasks/{_quoted(task)}{mapped}"


_IN_PATHS = "!$&'()*+,:;=@"
"""What may stand in a path's part as it is (RFC 3986).

It has to: Airflow's frame (3.3.2) repeats a page's address in the window's, decoded, and loads the page once more
where the two differ. A form that was sent meanwhile would be taken back.
"""


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe=_IN_PATHS)
