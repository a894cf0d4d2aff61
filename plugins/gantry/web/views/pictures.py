"""Views of a page and the link targets of their parts, computed from the queried data."""

from __future__ import annotations

import dataclasses
import datetime
import enum

from gantry import names, overview, plan
from gantry.state import config_history
from gantry.web.http import access, addresses
from gantry.web.queries import model
from gantry.web.views import grid, step_titles, timeline, topology, topology_labels

_RUN_SECONDS, _REST_SECONDS = 2, 10
"""Refresh intervals of a page: during a run, and otherwise."""


@dataclasses.dataclass(frozen=True)
class OperationLink:
    """An operation that the visitor may run, and the URL of its form."""

    operation: names.Operation
    title: str
    href: str
    is_dangerous: bool = False


@dataclasses.dataclass(frozen=True)
class DeploymentView:
    """A deployment's page.

    Attributes:
        seconds: the refresh interval.
        may_read_agents: whether the visitor may read the agents' logs, which requires SSH.
    """

    found: model.DeploymentDetails
    topology: topology.Topology
    actions: tuple[OperationLink, ...]
    again: str
    seconds: int
    may_read_agents: bool
    questions: tuple[overview.TaskInstanceRow, ...] = ()


@dataclasses.dataclass(frozen=True)
class FailedTaskView:
    """A failed task on a run's page, and the URL of its page in Airflow; None if that has forgotten the run."""

    title: str
    task: overview.FailedTask
    href: str | None


@dataclasses.dataclass(frozen=True)
class RunPage:
    """A run's page.

    Attributes:
        again: the URL to refresh from, or None when the run is over.
        questions: the tasks that wait for the visitor's answer.
        failed: the failed tasks, the first to fail first.
    """

    name: str
    snapshot: overview.RunSnapshot
    progress: overview.RunProgress | None
    grid: grid.Grid | None
    gantt: timeline.Gantt | None
    again: str | None
    questions: tuple[overview.TaskInstanceRow, ...]
    services: tuple[overview.ServiceView, ...] = ()
    failed: tuple[FailedTaskView, ...] = ()


class Sign(enum.StrEnum):
    """The kind of a line of a diff; the stylesheet has a colour for each."""

    HEAD = "head"
    ADDED = "added"
    REMOVED = "removed"
    SAME = "same"


@dataclasses.dataclass(frozen=True)
class DiffLine:
    """A line of a diff, including its sign."""

    sign: Sign
    text: str


@dataclasses.dataclass(frozen=True)
class DeliveredFile:
    """A delivered configuration file.

    Attributes:
        href: the run's page; None for an operation that this Gantry version does not have.
    """

    file: config_history.ConfigDelivery
    lines: tuple[DiffLine, ...]
    href: str | None


@dataclasses.dataclass(frozen=True)
class ServerFactsView:
    """The configuration history of a server, by service, newest first."""

    name: str
    server: str
    services: tuple[tuple[names.ServiceName, tuple[DeliveredFile, ...]], ...]


_SIGNS = {"+": Sign.ADDED, "-": Sign.REMOVED, "@": Sign.HEAD, "…": Sign.HEAD}
_HEAD = 2
"""Number of header lines of a diff: the files' names."""


def deployment(
    found: model.DeploymentDetails, visitor: access.Visitor, where: addresses.Addresses
) -> DeploymentView:
    """Return a deployment's page."""
    seen = found.current
    name = seen.row.name
    may_read_agents = visitor.may_run(names.dag_id(name, names.Operation.LAUNCH))
    drawn = topology.topology(
        topology_labels.TopologyFacts(
            found.known.definition,
            found.known.plan,
            seen.states,
            seen.inventory,
            {each.name: each.version for each in seen.services if each.version},
            topology_labels.TopologyLinks(
                server=lambda each: f"#server-{each}", service=lambda each: f"#service-{each}"
            ),
        )
    )
    return DeploymentView(
        found,
        drawn,
        tuple(actions(found, visitor, where)),
        where.deployment(name),
        _RUN_SECONDS if seen.progress is not None else _REST_SECONDS,
        may_read_agents,
        () if seen.snapshot is None else _questions(seen.snapshot, visitor),
    )


def _questions(found: overview.RunSnapshot, visitor: access.Visitor) -> tuple[overview.TaskInstanceRow, ...]:
    """Return a run's tasks that wait for an answer which the visitor may give."""
    asking = tuple(each for each in found.instances if each.awaits_answer)
    return asking if asking and visitor.may_answer(found.run.dag) else ()


def actions(
    found: model.DeploymentDetails, visitor: access.Visitor, where: addresses.Addresses
) -> list[OperationLink]:
    """Return what the visitor may do with a deployment."""
    name = found.current.row.name
    return [
        OperationLink(each, row.title, where.form(name, each.value), row.dangerous)
        for each, row in plan.OPERATIONS.items()
        # A check of the watch starts by itself, and does nothing that a user would wait for.
        if each in found.operations and not row.read_only and visitor.may_run(names.dag_id(name, each))
    ]


def told(
    name: str, server: str, found: tuple[model.ConfigHistory, ...], where: addresses.Addresses
) -> ServerFactsView:
    """Return the page with the configuration history of a server."""
    return ServerFactsView(
        name,
        server,
        tuple((each.service, tuple(_handed(name, file, where) for file in each.handed)) for each in found),
    )


def _handed(name: str, file: config_history.ConfigDelivery, where: addresses.Addresses) -> DeliveredFile:
    is_ours = file.operation in set(names.Operation)
    return DeliveredFile(
        file,
        tuple(_diff_line(place, text) for place, text in enumerate(file.lines)),
        where.run_of(name, file.operation, file.run) if is_ours else None,
    )


def _diff_line(place: int, text: str) -> DiffLine:
    # A fact whose key is "--" makes a line that looks like the header, but is not.
    is_head = place < _HEAD and text.startswith(("--- ", "+++ "))
    return DiffLine(Sign.HEAD if is_head else _SIGNS.get(text[:1], Sign.SAME), text)


def run(
    found: overview.RunSnapshot,
    failed: tuple[overview.FailedTask, ...],
    visitor: access.Visitor,
    where: addresses.Addresses,
    now: datetime.datetime,
) -> RunPage:
    """Return a run's page."""
    dag, run_id = found.run.key
    name = found.run.deployment
    may_read_logs = visitor.may_read_logs(dag)
    links = grid.GridLinks(
        task=lambda task, index: where.task(dag, run_id, task, index),
        log=lambda task, index: where.log(dag, run_id, task, index) if may_read_logs else "",
        server=lambda each: f"{where.deployment(name)}#server-{each}",
    )
    return RunPage(
        name,
        found,
        overview.progress(found),
        None if found.known is None else grid.grid(found.known.plan, found.tasks, now, links),
        None if found.timeline is None else timeline.gantt(found.timeline, now),
        None if found.run.is_over else where.run(dag, run_id),
        _questions(found, visitor),
        () if found.known is None or found.states is None else overview.services(found.known, found.states),
        tuple(_failed(found, each, where) for each in failed),
    )


def _failed(
    found: overview.RunSnapshot, task: overview.FailedTask, where: addresses.Addresses
) -> FailedTaskView:
    view = task.instance.view
    step = None if found.known is None else found.known.plan.by_id.get(view.task_id)
    return FailedTaskView(
        view.task_id if step is None else step_titles.whole(step),
        task,
        None if found.is_recorded else where.task(*found.run.key, view.task_id, view.map_index),
    )
