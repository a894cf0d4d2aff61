"""Access rights of visitors: Airflow's logged-in user, checked by Airflow's own auth manager.

An application that a plugin mounts has no login of its own, so every route depends on one of these;
`tests/unit/web/test_access.py` checks this for each route.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import fastapi
from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.base_auth_manager import ResourceMethod
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from sqlalchemy.orm import Session

from gantry import names

_SEEN = (None, DagAccessEntity.RUN, DagAccessEntity.TASK_INSTANCE)
"""What a page shows of a DAG: the DAG itself, its runs, and their tasks' states."""


@dataclasses.dataclass(frozen=True)
class Visitor:
    """A logged-in user."""

    user: BaseUser

    @property
    def name(self) -> str:
        """Return the user's name in Airflow."""
        return self.user.get_name()

    def may_read(self, dag: str) -> bool:
        """Return whether they may see a DAG, its runs and the states of their tasks."""
        return self._may("GET", dag, *_SEEN)

    def may_read_logs(self, dag: str) -> bool:
        """Return whether they may read the task logs of a DAG."""
        return self.may_read(dag) and self._may("GET", dag, DagAccessEntity.TASK_LOGS)

    def may_read_xcoms(self, dag: str) -> bool:
        """Return whether they may read the XComs of a DAG's tasks."""
        return self.may_read(dag) and self._may("GET", dag, DagAccessEntity.XCOM)

    def may_run(self, dag: str) -> bool:
        """Return whether they may start runs of a DAG."""
        return self.may_read(dag) and self._may("POST", dag, DagAccessEntity.RUN)

    def may_answer(self, dag: str) -> bool:
        """Return whether they may answer questions of a DAG's tasks."""
        return self.may_read(dag) and self._may("PUT", dag, DagAccessEntity.HITL_DETAIL)

    def may_read_records(self) -> bool:
        """Return whether they may read stored records of runs, which are in the state of assets."""
        return get_auth_manager().is_authorized_asset(method="GET", user=self.user)

    def readable(self, dags: Iterable[str], session: Session) -> set[str]:
        """Return which of these DAGs they may read. The number of database queries does not depend on theirs."""
        allowed = get_auth_manager().get_authorized_dag_ids(user=self.user, method="GET", session=session)
        found = sorted(allowed.intersection(dags))
        teams = DagModel.get_dag_id_to_team_name_mapping(found, session=session)
        return {
            dag
            for dag in found
            if all(self._is_allowed("GET", dag, teams.get(dag), each) for each in _SEEN[1:])
        }

    def _may(self, method: ResourceMethod, dag: str, *entities: DagAccessEntity | None) -> bool:
        team = DagModel.get_team_name(dag)
        return all(self._is_allowed(method, dag, team, each) for each in entities)

    def _is_allowed(
        self, method: ResourceMethod, dag: str, team: str | None, entity: DagAccessEntity | None
    ) -> bool:
        return get_auth_manager().is_authorized_dag(
            method=method, access_entity=entity, details=DagDetails(id=dag, team_name=team), user=self.user
        )


def visitor(user: GetUserDep) -> Visitor:
    """Require any logged-in user. Answers 401 otherwise."""
    return Visitor(user)


VisitorDep = Annotated[Visitor, fastapi.Depends(visitor)]


def deployment_reader(name: str, found: VisitorDep) -> Visitor:
    """Require the right to read the deployment of the path's `name`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_read(names.dag_id(name, names.Operation.LAUNCH)))


def facts_reader(name: str, found: VisitorDep) -> Visitor:
    """Require the right to read the deployment of the path's `name`, and its stored state. Answers 403 otherwise."""
    may_read = found.may_read(names.dag_id(name, names.Operation.LAUNCH))
    return _checked(found, allowed=may_read and found.may_read_records())


def dag_reader(dag_id: str, found: VisitorDep) -> Visitor:
    """Require the right to read the DAG of the path's `dag_id`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_read(dag_id))


def log_reader(dag_id: str, found: VisitorDep) -> Visitor:
    """Require the right to read the logs of the path's `dag_id`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_read_logs(dag_id))


def deployment_runner(name: str, found: VisitorDep) -> Visitor:
    """Require the right to launch the deployment of the path's `name`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_run(names.dag_id(name, names.Operation.LAUNCH)))


def operation_runner(name: str, operation: names.Operation, found: VisitorDep) -> Visitor:
    """Require the right to run the `operation` of the deployment of the path's `name`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_run(names.dag_id(name, operation)))


def answerer(dag_id: str, found: VisitorDep) -> Visitor:
    """Require the right to answer questions of the tasks of the path's `dag_id`. Answers 403 otherwise."""
    return _checked(found, allowed=found.may_answer(dag_id))


DeploymentReaderDep = Annotated[Visitor, fastapi.Depends(deployment_reader)]
FactsReaderDep = Annotated[Visitor, fastapi.Depends(facts_reader)]
DagReaderDep = Annotated[Visitor, fastapi.Depends(dag_reader)]
LogReaderDep = Annotated[Visitor, fastapi.Depends(log_reader)]
DeploymentRunnerDep = Annotated[Visitor, fastapi.Depends(deployment_runner)]
OperationRunnerDep = Annotated[Visitor, fastapi.Depends(operation_runner)]
AnswererDep = Annotated[Visitor, fastapi.Depends(answerer)]

CHECKS = frozenset(
    {
        deployment_reader,
        facts_reader,
        dag_reader,
        log_reader,
        deployment_runner,
        operation_runner,
        answerer,
    }
)
"""The checks that require a right to a DAG."""


def _checked(found: Visitor, *, allowed: bool) -> Visitor:
    if not allowed:
        raise fastapi.HTTPException(fastapi.status.HTTP_403_FORBIDDEN, "You may not do or see this.")
    return found
