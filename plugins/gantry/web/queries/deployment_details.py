"""Data of a page: one deployment, or one of its runs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from gantry import errors, names, status
from gantry.definition import models
from gantry.state import filled_slots
from gantry.web.http import access
from gantry.web.queries import (
    asset_state_queries,
    cloud_facts,
    deployment_queries,
    model,
    overview,
    run_queries,
    run_states,
    serialized_definitions,
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
        super().__init__(trouble or f"the cloud has not said yet which servers {name} has; try again")


def definition(name: str, session: Session, known: serialized_definitions.Definitions) -> model.Known:
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
    dag = next(iter(deployment_queries.dags(session, [name])), None)
    if dag is None:
        raise UnknownError("deployment", name)
    own = definition(name, session, known)
    recent = deployment_queries.recent(session, [name]).get(name, deployment_queries.NEVER)
    answer = asked.ask(own.definition, patience)
    with_records = visitor.may_read_records()
    slots = asset_state_queries.slots(session, [name]).get(name, {}) if with_records else {}
    scene = _scene(recent.past, session, known, answer, slots)
    seen = None if scene is None else scene.states
    history = (
        run_queries.settled(session, name, run_queries.history(session, [name]).get(name, ()))
        if with_records
        else ()
    )
    line = overview.line(dag, recent, visitor.may_read)
    noted = asset_state_queries.installed(session, name) if with_records else {}
    servers = asset_state_queries.servers(
        run_states.servers(own, seen, answer.inventory, answer.console), noted
    )
    return model.DeploymentDetails(
        line=line,
        known=own,
        scene=scene if scene is not None and visitor.may_read(scene.run.dag) else None,
        states=seen,
        tiers=_tiers(own, seen, answer, slots),
        services=asset_state_queries.services(
            run_states.services(own, seen, run_queries.versions(history)), servers
        ),
        servers=servers,
        inventory=answer.inventory,
        trouble=answer.trouble
        if visitor.may_run(names.dag_id(name, names.Operation.LAUNCH))
        else cloud_facts.discreet(answer.trouble),
        history=history if with_records else None,
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
) -> model.RunSnapshot:
    """Return the current state of an operation's run.

    Raises:
        UnknownError: the run does not exist.
        UnreadableError: its definition cannot be read.
    """
    found, own = _run(dag, run_id, session, known)
    # A finished run is shown as it was: the cloud only knows the current state.
    answer = cloud_facts.NOTHING if found.run.is_over else asked.ask(own.definition, PATIENCE)
    name = deployment_queries.deployment(dag)
    earlier = _before(
        found, deployment_queries.recent(session, [name]).get(name, deployment_queries.NEVER).past
    )
    # The stored state is current too; and while the run is going on, the cloud is more accurate.
    return _drawn(found.run, own, session, answer, earlier, {})


def instance(
    dag: str,
    run_id: str,
    task: str,
    map_index: int,
    session: Session,
    known: serialized_definitions.Definitions,
) -> tuple[model.Known, model.TaskInstanceRow]:
    """Return a task instance of a run. Raises UnknownError, UnreadableError."""
    found, own = _run(dag, run_id, session, known)
    for each in run_queries.instances(session, {found.run.key: own.plan}, task)[found.run.key]:
        if (each.view.task_id, each.view.map_index) == (task, map_index):
            return own, each
    raise UnknownError("task", task)


def _run(
    dag: str, run_id: str, session: Session, known: serialized_definitions.Definitions
) -> tuple[deployment_queries.Found, model.Known]:
    found = deployment_queries.run(session, dag, run_id)
    if found is None:
        raise UnknownError("run", run_id)
    own = known.of_version(dag, found.version, session)
    if own is None:
        raise UnreadableError(dag)
    return found, own


def addresses(definition: models.Definition) -> dict[names.BalancerName, str]:
    """Return the URLs of the deployed application, by load balancer."""
    found = {}
    for name, balancer in definition.load_balancers.items():
        scheme, usual = ("https", 443) if balancer.tls is not None else ("http", 80)
        port = "" if balancer.port == usual else f":{balancer.port}"
        found[name] = f"{scheme}://{balancer.name}{port}/"
    return found


def _scene(
    past: Sequence[deployment_queries.RunWithTasks],
    session: Session,
    known: serialized_definitions.Definitions,
    answer: cloud_facts.CloudAnswer,
    slots: filled_slots.Slots,
) -> model.RunSnapshot | None:
    shown = overview.shown_run(past)
    if shown is None:
        return None
    newest, earlier = shown
    own = known.of_version(newest.run.dag, newest.version, session)
    return None if own is None else _drawn(newest.run, own, session, answer, earlier, slots)


def _drawn(
    run: model.Run,
    own: model.Known,
    session: Session,
    answer: cloud_facts.CloudAnswer,
    earlier: Sequence[deployment_queries.RunWithTasks],
    slots: filled_slots.Slots,
) -> model.RunSnapshot:
    key = (run.dag, run.id)
    instances = run_queries.instances(session, {key: own.plan})[key]
    before = status.standing(each.view for each in earlier).state
    return run_states.scene(run, own, instances, answer.inventory, slots, before=before)


def _before(
    found: deployment_queries.Found, past: Sequence[deployment_queries.RunWithTasks]
) -> list[deployment_queries.RunWithTasks]:
    """Return the runs that worked before this one."""
    places = [place for place, each in enumerate(past) if (each.run.dag, each.run.id) == found.run.key]
    if places:
        return list(past[places[0] + 1 :])
    return [each for each in past if each.run.asked < found.run.asked]


def _tiers(
    own: model.Known,
    seen: status.DeploymentStatus | None,
    answer: cloud_facts.CloudAnswer,
    slots: filled_slots.Slots,
) -> tuple[model.TierView, ...]:
    if seen is not None or answer.inventory is None:
        return run_states.tiers(own, seen)
    # No run gives any information (any more), but there may be servers.
    return tuple(
        model.TierView(
            each.tier,
            len(answer.inventory.of_tier(each.tier)),
            status.wanted(each, answer.inventory, slots),
        )
        for each in own.plan.tiers
    )
