"""State of deployments, from Airflow and the cloud."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Iterator

import pydantic

from gantry import inventory, names, plan, status
from gantry.cli.queries import asset_state, run_snapshot
from gantry.cli.queries import runs as history
from gantry.definition import models
from gantry.rest import client, errors, operation_conf, summaries
from gantry.state import installed_versions, run_records

_SIDE_BY_SIDE = 4


@dataclasses.dataclass(frozen=True)
class DeploymentLine:
    """A deployment in a list."""

    name: str
    standing: status.SettledState
    run: client.ApiDagRun | None
    is_paused: bool
    is_broken: bool

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """Convert for programs."""
        return {
            "deployment": self.name,
            "state": self.standing.state.value,
            "failed": self.standing.failed,
            "paused": self.is_paused,
            "import_error": self.is_broken,
            "run": _run_json(self.run),
        }


@dataclasses.dataclass(frozen=True)
class ServerLine:
    """A server, with what is known of it; None if unknown.

    Attributes:
        services: the states of its services, by name.
        versions: the installed versions, by name.
    """

    name: str
    tier: str
    instance: inventory.Server | None
    agent: str | None
    services: dict[str, str]
    versions: dict[str, installed_versions.Installed] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class TierLine:
    """A tier: the number of running servers, and the minimum that is wanted."""

    name: str
    running: int
    wanted: int


@dataclasses.dataclass(frozen=True)
class DeploymentOverview:
    """A deployment and its parts at one point in time.

    Attributes:
        state: None if only the cloud was asked, and it has servers: their tags do not show it.
        phase: the current one, or the one that a failed run stopped at.
        record: the record of the last run of any operation.
    """

    name: str
    source: str
    state: str | None
    failed: bool = False
    phase: str | None = None
    tiers: tuple[TierLine, ...] = ()
    servers: tuple[ServerLine, ...] = ()
    run: client.ApiDagRun | None = None
    link: str = ""
    notes: tuple[str, ...] = ()
    record: run_records.Record | None = None

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """Convert for programs."""
        return {
            "deployment": self.name,
            "from": self.source,
            "state": self.state,
            "failed": self.failed,
            "phase": self.phase,
            "tiers": {each.name: {"running": each.running, "wanted": each.wanted} for each in self.tiers},
            "servers": [_server_json(each) for each in self.servers],
            "run": _run_json(self.run),
            "record": None if self.record is None else asset_state.as_json([self.record])[0],
            "notes": list(self.notes),
        }


def every(api: client.AirflowApi) -> list[DeploymentLine]:
    """Return all deployments of an Airflow, by name: from the list of its pages, or else from all their runs."""
    found = summaries.every(api)
    if found is None:
        return by_runs(api)
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return _by_name(pool.map(lambda summary: _summarised(api, summary), found))


def by_runs(api: client.AirflowApi) -> list[DeploymentLine]:
    """Return the same without Gantry's pages. Makes several requests per deployment."""
    found = operation_conf.every(api)
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return _by_name(
            pool.map(
                lambda dag: _line(api, dag.id, is_paused=dag.is_paused, is_broken=dag.has_import_errors),
                found,
            )
        )


def of_airflow(
    api: client.AirflowApi, name: str, known: models.Definition | None, found: inventory.Inventory | None
) -> DeploymentOverview:
    """Return a deployment according to Airflow, and to the cloud if it was asked.

    Raises:
        UnknownDeploymentError: Airflow does not have it.
    """
    dag = operation_conf.find(api, name)
    newest = next(history.runs(api, name), None)
    past = list(_relevant(history.past(api, name)))
    state = _state(api, name)
    record = next(iter(state.records()), None)
    notes = (
        *_notes(dag, newest, past),
        *(_without_runs(record) if newest is None else ()),
        *_leaving(found),
    )
    if not past:
        standing = status.standing(())
        return DeploymentOverview(name, "airflow", standing.state.value, notes=notes, record=record)
    run, earlier = past[0].run, past[1:]
    standing = status.standing(history.views(past))
    link = api.link(run.dag, run.id)
    if known is None:
        return DeploymentOverview(
            name,
            "airflow",
            standing.state.value,
            standing.failed,
            servers=tuple(_installed_lines(state)),
            run=run,
            link=link,
            notes=notes,
            record=record,
        )
    steps = plan.plan_of(known, plan.operation_of(run.dag))
    tasks = [run_snapshot.view(each) for each in api.instances(run.dag, run.id)]
    before = history.before_these(earlier)
    seen = status.deployment_status(
        steps,
        tasks,
        found,
        run_ended=run.is_over,
        before=before.state,
        slots=state.slots(),
        # A completed run covers all servers itself, and some that existed before may have left with it.
        greeted={} if past[0].view.decides else before.greeted,
    )
    phase = seen.failed if seen.failed is not None else seen.phase
    return DeploymentOverview(
        name,
        "airflow" if found is None else "both",
        seen.state.value,
        seen.failed is not None,
        None if phase is None else phase.title,
        tuple(TierLine(each.tier, each.running, each.wanted) for each in seen.tiers),
        tuple(_with_versions(_server_lines(known, seen, found), state)),
        run,
        link,
        notes,
        record,
    )


def of_cloud(known: models.Definition, found: inventory.Inventory) -> DeploymentOverview:
    """Return a deployment according to the cloud's tags."""
    tiers = tuple(
        TierLine(each.tier, sum(map(runs, found.of_tier(each.tier))), status.wanted(each, found, {}))
        for each in plan.launch_plan(known).tiers
    )
    lines = tuple(ServerLine(each.name, each.tier, each, None, {}) for each in found)
    strange = sorted({each.tier for each in found} - set(known.tiers))
    notes = [f"the definition has no tier {tier!r}, and yet there are servers of it" for tier in strange]
    notes += _leaving(found)
    if found.everything:
        notes.append("the cloud's tags do not tell what the services do, nor their versions; Airflow knows")
    return DeploymentOverview(
        known.deployment,
        "cloud",
        None if found.everything else plan.DeploymentState.STOPPED.value,
        tiers=tiers,
        servers=lines,
        notes=tuple(notes),
    )


_STATES = {each.value: each for each in plan.DeploymentState}


def _summarised(api: client.AirflowApi, found: summaries.DeploymentSummary) -> DeploymentLine:
    """Convert a deployment of the pages' list. If that does not reach back far enough, its runs are requested."""
    state = _STATES.get(found.state)
    if state is None or not found.settled:
        return _line(api, found.name, is_paused=found.paused, is_broken=found.import_error)
    run = None if found.worked is None else found.worked.as_run()
    return DeploymentLine(
        found.name, status.SettledState(state, found.failed), run, found.paused, found.import_error
    )


def _by_name(lines: Iterable[DeploymentLine]) -> list[DeploymentLine]:
    return sorted(lines, key=lambda each: each.name)


def _line(api: client.AirflowApi, name: str, *, is_paused: bool, is_broken: bool) -> DeploymentLine:
    past = iter(history.past(api, name))
    first = next(past, None)
    rest = history.views(past)
    standing = status.standing(() if first is None else _chained(first.view, rest))
    return DeploymentLine(name, standing, first.run if first else None, is_paused, is_broken)


def _chained(first: status.RunView, rest: Iterator[status.RunView]) -> Iterator[status.RunView]:
    yield first
    yield from rest


def _relevant(past: Iterator[history.PastRun]) -> Iterator[history.PastRun]:
    """Yield the runs from the one that determines the state back to the one that determines the state before it."""
    newest = True
    for each in past:
        if not each.view.has_touched:
            continue
        yield each
        if each.view.decides and not newest:
            return
        newest = False


def _notes(dag: client.Dag, newest: client.ApiDagRun | None, past: list[history.PastRun]) -> Iterator[str]:
    if newest is not None and not newest.is_over and newest not in [each.run for each in past]:
        yield f"run {newest.id} of {newest.dag} is {newest.state} and has not begun to change anything"
    if dag.has_import_errors:
        yield "Airflow cannot read its definition now: see the import errors"
    if dag.is_stale:
        yield f"its loader {dag.file} is gone"
    if dag.is_paused:
        yield "its DAG is paused"


def _state(api: client.AirflowApi, name: str) -> asset_state.KeptState:
    try:
        return asset_state.state_of(api, name)
    except errors.ForbiddenError:
        # The right to see a DAG does not imply the right to see its asset.
        return asset_state.KeptState(api, name, {})


def _without_runs(last: run_records.Record | None) -> Iterator[str]:
    """Yield lines that say, if Airflow has no run of it, whether it ever had one."""
    if last is None:
        yield "it was never launched"
        return
    yield f"Airflow has forgotten its runs; the last one was a {last.operation}, began {last.began}: {last.result}"


def _leaving(found: inventory.Inventory | None) -> Iterator[str]:
    for each in () if found is None else found.leaving:
        why = "a scale in has chosen it" if each.lost is None else f"it is lost: {each.lost}"
        yield f"{each.name} ({each.instance_id}) leaves: {why}"


def _server_lines(
    known: models.Definition, seen: status.DeploymentStatus, found: inventory.Inventory | None
) -> Iterator[ServerLine]:
    every = [*seen.agents, *(each.name for each in found or () if each.name not in seen.agents)]
    for server in every:
        instance = found.named(server) if found is not None else None
        services: dict[str, str] = {
            service: state.value for (service, where), state in seen.services.items() if where == server
        }
        agent = seen.agents.get(server)
        tier = instance.tier if instance else _tier_of(known, server)
        yield ServerLine(server, tier, instance, agent.value if agent else None, services)


def _with_versions(lines: Iterable[ServerLine], state: asset_state.KeptState) -> Iterator[ServerLine]:
    """Add the installed versions, as far as recorded for the current instance."""
    found = state.versions()
    for line in lines:
        here = installed_versions.on(
            found, line.name, None if line.instance is None else line.instance.instance_id
        )
        yield dataclasses.replace(line, versions=here)


def _installed_lines(state: asset_state.KeptState) -> Iterator[ServerLine]:
    """Yield the servers with installed versions: without the definition this is all that is known of them."""
    found = state.versions()
    for server in sorted({server for _, server in found}):
        yield ServerLine(server, "", None, None, {}, installed_versions.on(found, server, None))


def _tier_of(known: models.Definition, server: names.ServerName) -> str:
    by_server = {name: each.tier for each in plan.launch_plan(known).tiers for name in each.names}
    return by_server.get(server, "")


def runs(server: inventory.Server) -> bool:
    """Return whether the server runs according to the cloud."""
    return server.state is inventory.InstanceState.RUNNING


def _run_json(run: client.ApiDagRun | None) -> dict[str, pydantic.JsonValue] | None:
    if run is None:
        return None
    return {
        "dag": run.dag,
        "id": run.id,
        "state": run.state,
        "started": run.started,
        "ended": run.ended,
        "user": run.user,
        "reason": str(run.conf.get("reason") or ""),
    }


def _server_json(server: ServerLine) -> dict[str, pydantic.JsonValue]:
    instance = server.instance
    return {
        "name": server.name,
        "tier": server.tier,
        "agent": server.agent,
        "services": dict(server.services),
        "versions": {
            service: {"version": each.version, "run": each.run, "operation": each.operation, "since": each.at}
            for service, each in server.versions.items()
        },
        "instance": None
        if instance is None
        else {
            "id": instance.instance_id,
            "state": instance.state.value,
            "private_address": instance.private_address,
            "public_address": instance.public_address,
            "launched_at": instance.launched_at.isoformat(),
        },
    }
