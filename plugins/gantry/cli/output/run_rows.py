"""A run's snapshot as rows and as JSON: phases of a launch, steps of a termination; without states, tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pydantic

from gantry import names, overview, plan, status
from gantry.status import labels


@dataclasses.dataclass(frozen=True)
class SnapshotRow:
    """A row of the snapshot.

    Attributes:
        done, working: servers, without the deployment's name in front.
        failed: the servers that it failed on; `FIRST … LAST (NUMBER)` if one task works on several, or on a whole
            tier, and may have failed on only one of them.
    """

    title: str
    progress: status.Progress
    span: status.Span
    done: tuple[str, ...]
    working: tuple[str, ...]
    failed: tuple[str, ...] = ()


def rows(found: overview.RunSnapshot) -> list[SnapshotRow]:
    """Return the rows of a run."""
    if found.known is None or found.timeline is None or found.states is None:
        return [_of_task(found, task) for task in found.task_order]
    if found.is_termination:
        return _steps(found, found.known.plan, found.timeline)
    return _phases(found, found.known.plan, found.timeline)


def _phases(found: overview.RunSnapshot, steps: plan.Plan, times: status.Timeline) -> list[SnapshotRow]:
    return [
        _row(
            found,
            f"{each.phase.value} {each.phase.title}",
            each.progress,
            each.span,
            {step.step.id: steps.servers_of(step.step) for step in each.steps},
        )
        for each in times.phases
    ]


def _steps(found: overview.RunSnapshot, steps: plan.Plan, times: status.Timeline) -> list[SnapshotRow]:
    timed = {each.step.id: each for phase in times.phases for each in phase.steps}
    return [
        _row(found, step.id, each.progress, each.span, {step.id: steps.servers_of(step)})
        for step in steps
        if (each := timed.get(step.id)) is not None
    ]


def _of_task(found: overview.RunSnapshot, task: str) -> SnapshotRow:
    views = [each for each in found.tasks if each.task_id == task]
    progress = status.progress(views)
    starts = [each.started for each in views if each.started]
    ends = [each.ended for each in views if each.ended]
    is_open = progress in (status.Progress.WAITING, status.Progress.IN_PROGRESS)
    span = status.Span(min(starts, default=None), None if is_open else max(ends, default=None))
    return _row(found, task, progress, span, {task: ()})


def _row(
    found: overview.RunSnapshot,
    title: str,
    progress: status.Progress,
    span: status.Span,
    steps: Mapping[str, tuple[names.ServerName, ...]],
) -> SnapshotRow:
    """Return one row. `steps` are the steps in it, and those of their servers that are known beforehand."""
    if not progress.has_begun:
        # Airflow also sets times for tasks that it skips.
        return SnapshotRow(title, progress, status.Span(), (), ())
    states: dict[str, set[status.TaskState]] = {}
    failed: dict[str, None] = {}
    for task in found.tasks:
        if task.task_id in steps and task.started is not None:
            short = [
                server.removeprefix(f"{found.run.deployment}-")
                for server in task.servers or steps[task.task_id]
            ]
            for each in short:
                states.setdefault(each, set()).add(task.state)
            if task.state is status.TaskState.FAILED and short:
                failed[labels.label(short)] = None
    done = {name for name, each in states.items() if each == {status.TaskState.SUCCESS}}
    working = {
        name for name, each in states.items() if name not in done and status.TaskState.FAILED not in each
    }
    return SnapshotRow(title, progress, span, tuple(sorted(done)), tuple(sorted(working)), tuple(failed))


def headline(found: overview.RunSnapshot) -> str:
    """Return the deployment's state and its servers, in a line."""
    asked = "   waiting for a person's approval" if found.awaits_approval else ""
    if found.awaits_turn:
        asked = "   waiting for its turn: another operation is running"
    states = found.states
    if states is None:
        return f"{found.run.dag}, run {found.run.id}: {found.run.state}{asked}"
    tiers = ", ".join(
        f"{each.tier} {each.running}{f' of {each.wanted}' if each.wanted else ''}" for each in states.tiers
    )
    failed = f" (failed at {states.failed.title})" if states.failed is not None else ""
    return f"{found.run.deployment} is {states.state.value}{failed}   servers: {tiers}{asked}"


def as_json(found: overview.RunSnapshot) -> dict[str, pydantic.JsonValue]:
    """Convert for programs."""
    states = found.states
    return {
        "deployment": found.run.deployment,
        "dag": found.run.dag,
        "run": found.run.id,
        "run_state": found.run.state,
        "state": None if states is None else states.state.value,
        "awaits_approval": found.awaits_approval,
        "awaits_turn": found.awaits_turn,
        "failed_at": None if states is None or states.failed is None else states.failed.title,
        "seconds": found.seconds(),
        "progress": [
            {
                "what": row.title,
                "progress": row.progress.value,
                "started": row.span.started.isoformat() if row.span.started else None,
                "ended": row.span.ended.isoformat() if row.span.ended else None,
                "done": list(row.done),
                "working": list(row.working),
                "failed": list(row.failed),
            }
            for row in rows(found)
        ],
    }
