"""Data of a page: one deployment, or one of its runs."""

from __future__ import annotations

from sqlalchemy.orm import Session

from gantry import errors, names, overview
from gantry.definition import models
from gantry.state import kept_failures
from gantry.web.http import access
from gantry.web.queries import (
    asset_state_queries,
    cloud_facts,
    deployment_queries,
    model,
    run_queries,
    serialized_definitions,
    sql_source,
)

PATIENCE = 1.5
"""Seconds that a page waits for the cloud. A later answer is shown when the page refreshes."""

LONG_PATIENCE = 15.0
"""Seconds that one-time requests wait."""


class UnknownError(errors.GantryError):
    """Airflow does not know this deployment or run."""

    def __init__(self, what: str, name: str) -> None:
        self.name = name
        super().__init__(f"Airflow has no {what} {name!r}.")


class UnreadableError(errors.GantryError):
    """A deployment's definition, as stored by Airflow, cannot be read by this Gantry."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"Airflow does not keep the definition of {name!r} in a form that can be read here: it was compiled by "
            f"another version of Gantry.\nIt is compiled again when Airflow's DAG processor reads its loader the next "
            f"time; if it cannot, Airflow's import errors say why."
        )


class NoCloudError(errors.GantryError):
    """The cloud does not report the servers."""

    def __init__(self, name: str, trouble: str) -> None:
        self.name = name
        super().__init__(trouble or f"the cloud has not yet reported the servers of {name}; try again")


def definition(
    name: str, session: Session, known: serialized_definitions.Definitions
) -> overview.CompiledDefinition:
    """Return a deployment's definition. Raises UnreadableError, UnknownError."""
    if not deployment_queries.dags(session, [name]):
        raise UnknownError("deployment", name)
    launch = names.dag_id(name, names.Operation.LAUNCH)
    own = known.newest([launch], session).get(launch)
    if own is None:
        raise UnreadableError(name)
    return own


def deployment(
    name: str,
    session: Session,
    known: serialized_definitions.Definitions,
    asked: cloud_facts.CloudReader,
    visitor: access.Visitor,
    *,
    patience: float = PATIENCE,
) -> model.DeploymentDetails:
    """Return a deployment's current state.

    Args:
        name: the deployment's name.
        session: the database session.
        known: the cache of definitions.
        asked: the cloud's cached answers.
        visitor: the user. Runs of DAGs that they may not read are left out, and without the right to read assets also
            their stored state: records, and installed versions.
        patience: seconds to wait for the cloud.

    Raises:
        UnknownError: the deployment does not exist.
        UnreadableError: its definition cannot be read.
    """
    found = sql_source.every(session, [name])
    if not found:
        raise UnknownError("deployment", name)
    (source,) = sql_source.completed(
        found, session, known, with_records=visitor.may_read_records(), with_versions=True
    )
    own = source.definition()
    if own is None:
        raise UnreadableError(name)
    answer = asked.ask(own.definition, patience)
    may_run = visitor.may_run(names.dag_id(name, names.Operation.LAUNCH))
    return model.DeploymentDetails(
        current=sql_source.visible(overview.deployment(source, answer.inventory), visitor.may_read),
        known=own,
        trouble=answer.trouble if may_run else cloud_facts.discreet(answer.trouble),
        console=answer.console,
        addresses=addresses(own.definition),
        operations=deployment_queries.operations(name, session),
    )


def told(name: str, server: str, session: Session) -> tuple[model.ConfigHistory, ...]:
    """Return the configuration history of a deployment's server, by service.

    The server may be gone. Raises UnknownError.
    """
    if not deployment_queries.dags(session, [name]):
        raise UnknownError("deployment", name)
    return asset_state_queries.told(session, name, server)


def run(
    dag: str,
    run_id: str,
    session: Session,
    known: serialized_definitions.Definitions,
    asked: cloud_facts.CloudReader,
    visitor: access.Visitor,
) -> overview.RunSnapshot:
    """Return the current state of an operation's run; of one that Airflow has forgotten, what is recorded of it.

    Raises:
        UnknownError: the run does not exist, and no record of it that the visitor may read.
        UnreadableError: its definition cannot be read.
    """
    found = deployment_queries.run(session, dag, run_id)
    if found is None:
        return _recorded(dag, run_id, session, visitor)
    own = _definition(found, session, known)
    # A finished run is shown as it was: the cloud only knows the current state.
    answer = cloud_facts.NOTHING if found.run.is_over else asked.ask(own.definition, PATIENCE)
    # The slots that are kept are the current ones; and while the run is going on, the cloud is more accurate.
    return overview.run_snapshot(
        sql_source.of_run(found.run, own, session, known), found.run, answer.inventory
    )


def failed_tasks(
    found: overview.RunSnapshot, session: Session, visitor: access.Visitor
) -> tuple[overview.FailedTask, ...]:
    """Return the failed tasks of a run, with what stopped them as far as the visitor may read that.

    That is kept as an XCom, and its detail is the end of a log: each asks for its own right, as Airflow's pages do.
    What is kept beside the run's record asks for the same rights, and for that to read records.
    """
    run = found.run
    xcoms = {} if found.is_recorded else run_queries.failures(session, run.key)
    failed = overview.failed_tasks(
        found.instances, lambda each: xcoms.get((each.view.task_id, each.view.map_index), ())
    )
    is_incomplete = any(not each.failures for each in failed)
    if is_incomplete and run.operation is not None and visitor.may_read_records():
        kept = asset_state_queries.of_operation(session, run.deployment, run.operation)
        failed = overview.completed(failed, kept_failures.of_run(kept, run.operation.value, run.id))
    return overview.allowed(
        failed, xcoms=visitor.may_read_xcoms(run.dag), logs=visitor.may_read_logs(run.dag)
    )


def _recorded(dag: str, run_id: str, session: Session, visitor: access.Visitor) -> overview.RunSnapshot:
    operation = names.operation_of(dag)
    found = None
    if operation is not None and visitor.may_read_records():
        name = deployment_queries.deployment(dag)
        kept = asset_state_queries.of_operation(session, name, operation)
        found = overview.recorded_run(name, operation, run_id, kept)
    if found is None:
        raise UnknownError("run", run_id)
    return found


def instance(
    dag: str,
    run_id: str,
    task: str,
    map_index: int,
    session: Session,
    known: serialized_definitions.Definitions,
) -> tuple[overview.CompiledDefinition, overview.TaskInstanceRow]:
    """Return a task instance of a run. Raises UnknownError, UnreadableError."""
    found = deployment_queries.run(session, dag, run_id)
    if found is None:
        raise UnknownError("run", run_id)
    own = _definition(found, session, known)
    for each in run_queries.instances(session, {found.run.key: own.plan}, task=task)[found.run.key]:
        if (each.view.task_id, each.view.map_index) == (task, map_index):
            return own, each
    raise UnknownError("task", task)


def _definition(
    found: deployment_queries.Found, session: Session, known: serialized_definitions.Definitions
) -> overview.CompiledDefinition:
    own = known.of_version(found.run.dag, found.version, session)
    if own is None:
        raise UnreadableError(found.run.dag)
    return own


def addresses(definition: models.Definition) -> dict[names.BalancerName, str]:
    """Return the URLs of the deployed application, by load balancer."""
    found = {}
    for name, balancer in definition.load_balancers.items():
        scheme, usual = ("https", 443) if balancer.tls is not None else ("http", 80)
        port = "" if balancer.port == usual else f":{balancer.port}"
        found[name] = f"{scheme}://{balancer.name}{port}/"
    return found
