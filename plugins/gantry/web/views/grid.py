"""Grid of a run: phases as columns, servers as rows, and in each cell the progress of every step.

Rendered by `templates/parts/grid.html.jinja`.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from gantry import durations, names, plan, status
from gantry.plan import steps
from gantry.web.views import formatting, state_badges, step_titles

MOST_ROWS = 8
"""Maximum number of a tier's servers with a row each. If there are more, servers that share all their tasks share a
row."""

_SECOND = datetime.timedelta(seconds=1)
_BEFORE_WORK = (
    status.TaskState.NONE,
    status.TaskState.SCHEDULED,
    status.TaskState.UPSTREAM_FAILED,
    status.TaskState.REMOVED,
)


@dataclasses.dataclass(frozen=True)
class GridLinks:
    """Link targets of cells: a task instance is its task's id and its map index, -1 if it is not mapped.

    Attributes:
        task: Airflow's own page of a task instance.
        log: its log, as a part of our page.
        server: a server's page, or None if there is none.
    """

    task: Callable[[str, int], str]
    log: Callable[[str, int], str]
    server: Callable[[names.ServerName], str | None] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One step in one row: its state, its duration so far, and its log.

    Attributes:
        key: unique on the page, and stable over time.
        task, log: None before there is a log.
    """

    key: str
    title: str
    look: state_badges.Badge
    took: str
    label: str
    task: str | None
    log: str | None


@dataclasses.dataclass(frozen=True)
class Column:
    """A phase; it is idle if the deployment has nothing to do in it."""

    number: int
    title: str
    look: state_badges.Badge
    took: str
    is_current: bool
    is_idle: bool


@dataclasses.dataclass(frozen=True)
class GridRow:
    """A server, several servers that share their tasks, a tier, or the deployment; `cells` has an item per column."""

    key: str
    title: str
    note: str
    href: str | None
    cells: tuple[tuple[Entry, ...], ...]


@dataclasses.dataclass(frozen=True)
class GridPart:
    """A tier with its servers, or the deployment as a whole (without servers)."""

    head: GridRow
    rows: tuple[GridRow, ...]


@dataclasses.dataclass(frozen=True)
class Grid:
    """The whole grid. `now_at` describes the run's progress in a few words, and changes with the phase only."""

    columns: tuple[Column, ...]
    parts: tuple[GridPart, ...]
    now_at: str


def grid(
    plan_: plan.Plan, tasks: Iterable[status.TaskView], now: datetime.datetime, links: GridLinks
) -> Grid:
    """Return a run at one point in time.

    Args:
        plan_: the run's plan.
        tasks: its task instances.
        now: the time up to which running steps are measured.
        links: the link targets of cells.
    """
    every = tuple(tasks)
    drawn = _Drawn(plan_, every, now, links)
    tiers = [drawn.tier(each) for each in plan_.tiers]
    whole = drawn.row("deployment", "deployment", "", None, drawn.steps_of_the_whole, every)
    columns = tuple(drawn.columns())
    return Grid(columns, (GridPart(whole, ()), *tiers), _now_at(columns))


class _Drawn:
    """A run's steps, indexed by their place in the grid."""

    def __init__(
        self, plan_: plan.Plan, tasks: tuple[status.TaskView, ...], now: datetime.datetime, links: GridLinks
    ) -> None:
        self._plan = plan_
        self._now = now
        self._links = links
        self._times = status.timeline(plan_, tasks)
        self._tasks = {
            step: sorted(found, key=lambda each: each.map_index)
            for step, found in itertools.groupby(
                sorted(
                    (each for each in tasks if each.state is not status.TaskState.REMOVED),
                    key=lambda each: each.task_id,
                ),
                key=lambda each: each.task_id,
            )
        }
        self._progress = {step.step.id: step.progress for phase in self._times.phases for step in phase.steps}
        # A termination goes through the phases backwards.
        self._phases = tuple(dict.fromkeys(step.phase for step in plan_))
        self.steps_of_the_whole = tuple(step for step in plan_ if step.tier is None)

    def columns(self) -> Iterator[Column]:
        """Yield the phases, in the plan's order."""
        for phase in self._phases:
            found = self._times.phase(phase)
            if found is None:
                continue
            yield Column(
                number=phase.value,
                title=phase.title,
                look=state_badges.look(found.progress),
                took="" if found.progress is status.Progress.WAITING else self._took(found.span),
                is_current=found.progress is status.Progress.IN_PROGRESS,
                is_idle=found.progress is status.Progress.NOT_APPLICABLE,
            )

    def tier(self, servers: steps.TierServers) -> GridPart:
        """Return a tier: its tier-wide steps, and below them the steps on each server."""
        every = [step for step in self._plan if step.tier == servers.tier]
        on_servers = [step for step in every if step.per_server]
        tasks = [task for step in on_servers for task in self._tasks.get(step.id, ())]
        known = dict.fromkeys([*servers.names, *(name for task in tasks for name in task.servers)])
        by_slot = sorted(known, key=lambda name: (len(name), name))
        head = self.row(
            f"tier-{servers.tier}",
            servers.tier,
            formatting.count(len(by_slot), "server"),
            None,
            [step for step in every if not step.per_server],
            [task for step in every for task in self._tasks.get(step.id, ())],
        )
        return GridPart(head, tuple(self._server_rows(by_slot, on_servers)))

    def _server_rows(
        self, servers: Sequence[names.ServerName], every: Sequence[plan.Step]
    ) -> Iterator[GridRow]:
        def of(server: names.ServerName) -> tuple[status.TaskView, ...]:
            return tuple(task for step in every for task in self._on(step, server))

        if len(servers) <= MOST_ROWS:
            for server in servers:
                yield self.row(server, server, "", self._links.server(server), every, of(server))
            return
        shared: dict[tuple[status.TaskView, ...], list[names.ServerName]] = {}
        for server in servers:
            shared.setdefault(of(server), []).append(server)
        for tasks, found in shared.items():
            several = len(found) > 1
            yield self.row(
                found[0],
                f"{found[0]} …" if several else found[0],
                f"and {len(found) - 1} more" if several else "",
                None if several else self._links.server(found[0]),
                every,
                tasks,
            )

    def _on(self, step: plan.Step, server: names.ServerName) -> list[status.TaskView]:
        """Return a step's task instances on a server: those that name it, or else those that name no server."""
        tasks = self._tasks.get(step.id, [])
        return [task for task in tasks if server in task.servers] or [
            task for task in tasks if not task.servers
        ]

    def row(
        self,
        key: str,
        title: str,
        note: str,
        href: str | None,
        wanted: Sequence[plan.Step],
        tasks: Iterable[status.TaskView],
    ) -> GridRow:
        """Return one row: the given steps' given tasks, each in its phase's cell."""
        found = list(tasks)
        cells = tuple(
            tuple(
                entry
                for step in wanted
                if step.phase is phase
                for entry in self._entries(key, step, [task for task in found if task.task_id == step.id])
            )
            for phase in self._phases
        )
        return GridRow(key, title, note, href, cells)

    def _entries(self, row: str, step: plan.Step, tasks: Sequence[status.TaskView]) -> Iterator[Entry]:
        if self._progress[step.id] is status.Progress.NOT_APPLICABLE:
            return
        for task in tasks or [status.TaskView(step.id)]:
            look = state_badges.look(task.state)
            took = self._took(status.Span(task.started, task.ended))
            has_log = task.state not in _BEFORE_WORK
            yield Entry(
                key=f"{row}/{task.task_id}/{task.map_index}",
                title=step_titles.short(step),
                look=look,
                took=took,
                label=", ".join(each for each in (f"{step_titles.short(step)}: {look.word}", took) if each),
                task=self._links.task(task.task_id, task.map_index) if has_log else None,
                log=self._links.log(task.task_id, task.map_index) if has_log else None,
            )

    def _took(self, span: status.Span) -> str:
        if span.started is None:
            return ""
        if span.ended is not None:
            return durations.text(span.duration)
        # Running steps are shown in whole seconds: fractions would only flicker.
        return durations.text((self._now - span.started) // _SECOND * _SECOND, exact=False)


def _now_at(columns: Sequence[Column]) -> str:
    """Describe the progress of a run, for screen readers, which announce changes."""
    failed = [each for each in columns if each.look == state_badges.look(status.Progress.FAILED)]
    if failed:
        return f"failed in phase {failed[0].number}, {failed[0].title}"
    current = next((each for each in columns if each.is_current), None)
    if current is not None:
        return f"in phase {current.number}, {current.title}"
    if all(each.is_idle or each.look == state_badges.look(status.Progress.SUCCEEDED) for each in columns):
        return "all phases are done"
    return ""
