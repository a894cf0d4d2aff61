"""URLs of our own pages, and of Airflow's."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING

from gantry import names
from gantry.web.http import mount

if TYPE_CHECKING:
    # If Airflow only loads the plugin, this may not be needed.
    import fastapi


@dataclasses.dataclass(frozen=True)
class Addresses:
    """The URLs of one Airflow.

    Attributes:
        airflow: the path prefix of all its pages, without a trailing slash.
    """

    airflow: str

    @classmethod
    def of(cls, request: fastapi.Request) -> Addresses:
        """Return those of the requested Airflow."""
        # The mount has added our own prefix.
        return cls(str(request.scope.get("root_path", "")).rstrip("/").removesuffix(mount.PREFIX))

    @property
    def prefix(self) -> str:
        """Return the path prefix of our own pages."""
        return f"{self.airflow}{mount.PREFIX}"

    def deployment(self, name: str) -> str:
        """Return the URL of a deployment's page."""
        return f"{self.prefix}/deployments/{_quoted(name)}"

    def agent_log(self, name: str, server: str) -> str:
        """Return the URL of the agent's log on a server."""
        return f"{self.deployment(name)}/servers/{_quoted(server)}/log"

    def facts(self, name: str, server: str) -> str:
        """Return the URL of a server's configuration history."""
        return f"{self.deployment(name)}/servers/{_quoted(server)}/facts"

    def form(self, name: str, operation: str) -> str:
        """Return the URL of an operation's form."""
        return f"{self.deployment(name)}/operations/{_quoted(operation)}"

    def run(self, dag: str, run: str) -> str:
        """Return the URL of a run's page."""
        return f"{self.prefix}/dags/{_quoted(dag)}/runs/{_quoted(run)}"

    def run_of(self, name: str, operation: str, run: str) -> str:
        """Return the URL of a run's page, by its deployment and its operation."""
        return self.run(names.dag_id(name, names.Operation(operation)), run)

    def log(self, dag: str, run: str, task: str, map_index: int) -> str:
        """Return the URL of a task instance's log, as a part of a run's page."""
        return f"{self.run(dag, run)}/log?{urllib.parse.urlencode({'task': task, 'map_index': map_index})}"

    def log_since(self, dag: str, run: str, task: str, map_index: int, place: str) -> str:
        """Return the URL of the new lines of a task instance's log."""
        return f"{self.log(dag, run, task, map_index)}&{urllib.parse.urlencode({'after': place})}"

    def answer(self, dag: str, run: str, task: str) -> str:
        """Return the URL of the form that answers a task's question."""
        return f"{self.run(dag, run)}/answer?{urllib.parse.urlencode({'task': task})}"

    def airflow_dag(self, dag: str) -> str:
        """Return the URL of Airflow's own page of a DAG."""
        return f"{self.airflow}/dags/{_quoted(dag)}"

    def airflow_run(self, dag: str, run: str) -> str:
        """Return the URL of Airflow's own page of a run."""
        return f"{self.airflow_dag(dag)}/runs/{_quoted(run)}"

    def task(self, dag: str, run: str, task: str, map_index: int = -1) -> str:
        """Return the URL of Airflow's own page of a task instance."""
        mapped = f"/mapped/{map_index}" if map_index >= 0 else ""
        return f"{self.airflow_run(dag, run)}/tasks/{_quoted(task)}{mapped}"


_IN_PATHS = "!$&'()*+,:;=@"
"""Characters that may be unescaped in a part of a path (RFC 3986).

They have to be: Airflow's frame (3.3.2) repeats a page's URL in the window's, decoded, and reloads the page if the two
differ. A form submitted meanwhile would be lost.
"""


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe=_IN_PATHS)
