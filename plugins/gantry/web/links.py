"""Operator links on tasks in Airflow's own pages: to the deployment, to the server, to the application.

The API server computes them when a task's page is opened: so they cost tasks no time, and are not stored. A link leads
to one of our pages, which knows the target (or asks the cloud).
"""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink

from gantry.web.http import addresses, mount

if TYPE_CHECKING:
    from gantry.plan import StepKind

_CATALOG = "gantry.operators.registry"
_SHOWN_IN_FRAME = "/plugin/deployments"


class _Operators(list[type[BaseOperator]]):
    """The operators of some kinds of steps, loaded when Airflow reads the first DAG: tasks load the plugin, too."""

    def __init__(self, kinds: Callable[[], Collection[StepKind]]) -> None:
        super().__init__()
        self._kinds = kinds

    def __iter__(self) -> Iterator[type[BaseOperator]]:
        """Yield each of them once."""
        if not self:
            known = importlib.import_module(_CATALOG).OPERATORS
            kinds = self._kinds()
            self.extend(dict.fromkeys(known[kind] for kind in known if kind in kinds))
        return super().__iter__()


def _all() -> Collection[StepKind]:
    from gantry.plan import StepKind  # noqa: PLC0415 - see `_Operators`

    return set(StepKind)


def _per_server() -> Collection[StepKind]:
    from gantry.plan import STEP_KINDS  # noqa: PLC0415 - as above

    return {kind for kind, facts in STEP_KINDS.items() if facts.per_server}


def _open_to_visitors() -> Collection[StepKind]:
    from gantry.plan import STEP_KINDS  # noqa: PLC0415 - as above

    return {kind for kind, facts in STEP_KINDS.items() if facts.opens_application}


class _Link(BaseOperatorLink):
    """A link on tasks of some kinds of steps."""

    label = ""

    @property
    def name(self) -> str:
        """Return the button's label."""
        return self.label


class DeploymentLink(_Link):
    """Link to the deployment's page, in Airflow's frame."""

    label = "Deployment"
    operators: ClassVar[list[type[BaseOperator]]] = _Operators(_all)

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401, ARG002 - Airflow's own, serialized
        """Return the URL."""
        where = _where()
        inner = where.deployment(ti_key.dag_id.partition(".")[0]).removeprefix(where.airflow)
        return f"{where.airflow}{_SHOWN_IN_FRAME}{inner}"


class ServerLink(_Link):
    """Link to the server that a task works on: in the cloud's console, or on the deployment's page."""

    label = "Server"
    operators: ClassVar[list[type[BaseOperator]]] = _Operators(_per_server)

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """Return the URL."""
        query = urllib.parse.urlencode({"task": ti_key.task_id, "map_index": ti_key.map_index})
        return f"{_where().run(ti_key.dag_id, ti_key.run_id)}/server?{query}"


class ApplicationLink(_Link):
    """Link to the deployed application."""

    label = "Application"
    operators: ClassVar[list[type[BaseOperator]]] = _Operators(_open_to_visitors)

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ANN401, ARG002 - as above
        """Return the URL."""
        return f"{_where().deployment(ti_key.dag_id.partition('.')[0])}/application"


LINKS = (DeploymentLink, ServerLink, ApplicationLink)


def every() -> list[BaseOperatorLink]:
    """Return all links, for Airflow's plugin manager."""
    return [link() for link in LINKS]


def _where() -> addresses.Addresses:
    return addresses.Addresses(mount.base_path())
