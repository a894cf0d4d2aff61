"""State of deployments for the terminal, from Airflow and the cloud."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import datetime
from collections.abc import Iterable, Iterator

import pydantic

from gantry import inventory, overview, plan, status
from gantry.cli.queries import asset_state, rest_source
from gantry.definition import models
from gantry.rest import client, deployments, summaries
from gantry.state import run_records

_SIDE_BY_SIDE = 4
_TIME = pydantic.TypeAdapter(datetime.datetime | None)


@dataclasses.dataclass(frozen=True)
class DeploymentLine:
    """A deployment in a list, with the last run that changed it."""

    name: str
    standing: status.SettledState
    run: overview.Run | None
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
class StatusReport:
    """A deployment and its parts at one point in time, according to Airflow, the cloud, or both.

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
    tiers: tuple[overview.TierView, ...] = ()
    servers: tuple[overview.ServerView, ...] = ()
    run: overview.Run | None = None
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
            "record": None if self.record is None else asset_state.as_json((self.record,))[0],
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
    found = deployments.every(api)
    with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        return _by_name(pool.map(lambda dag: _line(rest_source.RestSource(api, dag.id, found=dag)), found))


def of_airflow(
    api: client.AirflowApi, name: str, known: models.Definition | None, found: inventory.Inventory | None
) -> StatusReport:
    """Return a deployment according to Airflow, and to the cloud if it was asked.

    Raises:
        UnknownDeploymentError: Airflow does not have it.
    """
    dag = deployments.find(api, name)
    seen = overview.deployment(rest_source.RestSource(api, name, known, dag), found)
    phase = seen.phase if seen.failed_at is None else seen.failed_at
    return StatusReport(
        name,
        "airflow" if found is None else "both",
        seen.state.value,
        seen.failed,
        None if phase is None else phase.title,
        seen.tiers,
        seen.servers,
        seen.run,
        "" if seen.run is None else api.link(*seen.run.key),
        tuple(_notes(dag, seen)),
        next(iter(seen.history or ()), None),
    )


def of_cloud(definition: models.Definition, found: inventory.Inventory) -> StatusReport:
    """Return a deployment according to the cloud's tags."""
    known = overview.CompiledDefinition(definition, plan.launch_plan(definition))
    strange = sorted({each.tier for each in found} - set(definition.tiers))
    notes = [f"the definition has no tier {tier!r}, but there are servers of it" for tier in strange]
    notes += _leaving(found)
    if found.everything:
        notes.append("states and versions of services are not in the cloud's tags; ask Airflow for them")
    return StatusReport(
        definition.deployment,
        "cloud",
        None if found.everything else plan.DeploymentState.STOPPED.value,
        tiers=overview.tiers(known, None, found),
        servers=overview.servers(known, None, found, {}),
        notes=tuple(notes),
    )


_STATES = {each.value: each for each in plan.DeploymentState}


def _summarised(api: client.AirflowApi, found: summaries.DeploymentSummary) -> DeploymentLine:
    """Convert a deployment of the pages' list. If that does not reach back far enough, its runs are requested."""
    state = _STATES.get(found.state)
    if state is None or not found.settled:
        return _line(rest_source.RestSource(api, found.name))
    run = None
    if (last := found.worked) is not None:
        run = overview.Run(
            last.dag,
            last.id,
            last.state,
            last.asked,
            last.started,
            last.ended,
            last.user,
            last.user is None,
            last.reason,
        )
    return DeploymentLine(
        found.name, status.SettledState(state, found.failed), run, found.paused, found.import_error
    )


def _by_name(lines: Iterable[DeploymentLine]) -> list[DeploymentLine]:
    return sorted(lines, key=lambda each: each.name)


def _line(source: overview.Source) -> DeploymentLine:
    row = overview.row(source)
    return DeploymentLine(row.name, row.standing, row.worked, row.dag.is_paused, row.dag.is_broken)


def _notes(dag: client.Dag, seen: overview.DeploymentOverview) -> Iterator[str]:
    run = seen.run
    if run is not None and not run.is_over and not seen.has_begun:
        yield f"run {run.id} of {run.dag} is {run.state} and has not begun to change anything"
    if dag.has_import_errors:
        yield "Airflow cannot read its definition now: see the import errors"
    if dag.is_stale:
        yield f"its loader {dag.file} no longer exists"
    if dag.is_paused:
        yield "its DAG is paused"
    if seen.left_bundle:
        yield overview.told_bundles(seen.left_bundle, dag.bundle)
    if seen.row.last is None:
        yield from _without_runs(next(iter(seen.history or ()), None))
    yield from _leaving(seen.inventory)


def _without_runs(last: run_records.Record | None) -> Iterator[str]:
    """Yield lines that say, if Airflow has no run of it, whether it ever had one."""
    if last is None:
        yield "it was never launched"
        return
    yield f"Airflow has forgotten its runs; the last one was a {last.operation}, began {last.began}: {last.result}"


def _leaving(found: inventory.Inventory | None) -> Iterator[str]:
    for each in () if found is None else found.leaving:
        why = "a scale-in has chosen it" if each.lost is None else f"it is lost: {each.lost}"
        yield f"{each.name} ({each.instance_id}) leaves: {why}"


def _run_json(run: overview.Run | None) -> dict[str, pydantic.JsonValue] | None:
    if run is None:
        return None
    return {
        "dag": run.dag,
        "id": run.id,
        "state": run.state,
        "started": _TIME.dump_python(run.started, mode="json"),
        "ended": _TIME.dump_python(run.ended, mode="json"),
        "user": run.user,
        "reason": run.reason,
    }


def _server_json(server: overview.ServerView) -> dict[str, pydantic.JsonValue]:
    instance = server.instance
    return {
        "name": server.name,
        "tier": server.tier,
        "agent": None if server.agent is None else server.agent.value,
        "services": {service: state.value for service, state in server.services.items()},
        "versions": {
            service: {"version": each.version, "run": each.run, "operation": each.operation, "since": each.at}
            for service, each in server.installed.items()
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
