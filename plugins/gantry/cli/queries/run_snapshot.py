"""Snapshot of a deployment's run: states and times derived from Airflow's task instances (and the cloud's tags)."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping

import pydantic

from gantry import inventory, names, overview, plan
from gantry import status as states
from gantry.cli.queries import rest_source
from gantry.rest import client
from gantry.status import labels

_AROUND = plan.with_effect(plan.Effect.ASKS, plan.Effect.WAITS, plan.Effect.RECORDS)
"""Tasks before and after the actual work of a run of backups or of a restore."""


@dataclasses.dataclass(frozen=True)
class SnapshotRow:
    """A row of the snapshot.

    Attributes:
        done, working: servers, without the deployment's name in front.
        failed: the servers that it failed on; `FIRST … LAST (NUMBER)` if one task works on several, or on a whole
            tier, and may have failed on only one of them.
    """

    title: str
    progress: states.Progress
    span: states.Span
    done: tuple[str, ...]
    working: tuple[str, ...]
    failed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A plan applied to a run's tasks, if the definition is at hand."""

    plan: plan.Plan
    status: states.DeploymentStatus
    times: states.Timeline


@dataclasses.dataclass(frozen=True)
class Moment:
    """What is known about a run at one point in time.

    Attributes:
        order: the DAG's tasks, each after those it waits for.
        found: the cloud's answer, or None if it was not asked.
        seen: None if there is no definition, or a different one from that in Airflow: then only the tasks are shown.
    """

    deployment: str
    run: client.ApiDagRun
    order: tuple[str, ...]
    tasks: tuple[states.TaskView, ...]
    found: inventory.Inventory | None = None
    seen: PlannedRun | None = None

    @property
    def ended(self) -> bool:
        """Return whether the run is over."""
        return self.run.is_over

    @property
    def is_termination(self) -> bool:
        """Return whether the run terminates the deployment."""
        return names.operation_of(self.run.dag) is names.Operation.TERMINATE

    @property
    def keeps_state(self) -> bool:
        """Return whether the run leaves the deployment's state unchanged."""
        return names.operation_of(self.run.dag) in plan.KEEPS_STATE

    @property
    def arrived(self) -> bool:
        """Return whether the run has achieved its purpose. A run that a person has rejected succeeds without."""
        if self.keeps_state:
            # Of several such steps, those that were not requested may be skipped.
            done = {each.task_id for each in self.tasks if each.state is states.TaskState.SUCCESS}
            return self.run.state == "success" and bool(done - _AROUND)
        return overview.run_view(rest_source.as_run(self.run), self.tasks).has_arrived

    @property
    def awaits_approval(self) -> bool:
        """Return whether the run waits for a person's approval."""
        asking = [each for each in self.tasks if each.task_id == plan.StepKind.APPROVE.value]
        return states.progress(asking) is states.Progress.IN_PROGRESS

    @property
    def awaits_turn(self) -> bool:
        """Return whether the run waits for another operation of the deployment to end."""
        return any(
            each.task_id == plan.StepKind.TURN.value and each.state is states.TaskState.DEFERRED
            for each in self.tasks
        )

    def rows(self) -> list[SnapshotRow]:
        """Return the rows of the run: phases of a launch, steps of a termination; without a plan, tasks."""
        if self.seen is None:
            return self.each_task()
        return self.steps(self.seen) if self.is_termination else self.phases(self.seen)

    def phases(self, seen: PlannedRun) -> list[SnapshotRow]:
        """Return a row for each phase."""
        return [
            self._row(
                f"{each.phase.value} {each.phase.title}",
                each.progress,
                each.span,
                {step.step.id: seen.plan.servers_of(step.step) for step in each.steps},
            )
            for each in seen.times.phases
        ]

    def steps(self, seen: PlannedRun) -> list[SnapshotRow]:
        """Return a row for each step."""
        return [
            self._row(each.step.id, each.progress, each.span, {each.step.id: seen.plan.servers_of(each.step)})
            for step in seen.plan
            for phase in seen.times.phases
            for each in phase.steps
            if each.step == step
        ]

    def each_task(self) -> list[SnapshotRow]:
        """Return a row for each task."""
        rows = []
        for task in self.order:
            views = [each for each in self.tasks if each.task_id == task]
            progress = states.progress(views)
            starts = [each.started for each in views if each.started]
            ends = [each.ended for each in views if each.ended]
            is_open = progress in (states.Progress.WAITING, states.Progress.IN_PROGRESS)
            span = states.Span(min(starts, default=None), None if is_open else max(ends, default=None))
            rows.append(self._row(task, progress, span, {task: ()}))
        return rows

    def headline(self) -> str:
        """Return the deployment's state and its servers, in a line."""
        asked = "   waiting for a person's approval" if self.awaits_approval else ""
        if self.awaits_turn:
            asked = "   waiting for its turn: another operation is at work"
        if self.seen is None:
            return f"{self.run.dag}, run {self.run.id}: {self.run.state}{asked}"
        found = self.seen.status
        tiers = ", ".join(
            f"{each.tier} {each.running}{f' of {each.wanted}' if each.wanted else ''}" for each in found.tiers
        )
        failed = f" (failed at {found.failed.title})" if found.failed is not None else ""
        return f"{self.deployment} is {found.state.value}{failed}   servers: {tiers}{asked}"

    @property
    def triggered(self) -> datetime.datetime:
        """Return when the run was requested."""
        return datetime.datetime.fromisoformat(self.run.asked)

    def scaling_event(self) -> float | None:
        """Return the seconds from the trigger to the run's first request of a server from the cloud."""
        started = [
            each.launched_at
            for each in self.found or ()
            if each.launched_at >= self.triggered.replace(microsecond=0)
        ]
        return max((min(started) - self.triggered).total_seconds(), 0) if started else None

    def seconds(self) -> float | None:
        """Return the seconds from the trigger to the end of the last task, or None before that."""
        ends = [each.ended for each in self.tasks if each.ended]
        if not self.ended or not ends:
            return None
        return (max(ends) - self.triggered).total_seconds()

    def unfinished(self) -> list[str]:
        """Return the tasks that are not done."""
        return [row.title for row in self.each_task() if not row.progress.is_done]

    def as_json(self) -> dict[str, pydantic.JsonValue]:
        """Convert for programs."""
        state = self.seen.status.state.value if self.seen else None
        failed = self.seen.status.failed if self.seen else None
        return {
            "deployment": self.deployment,
            "dag": self.run.dag,
            "run": self.run.id,
            "run_state": self.run.state,
            "state": state,
            "awaits_approval": self.awaits_approval,
            "awaits_turn": self.awaits_turn,
            "failed_at": failed.title if failed is not None else None,
            "seconds": self.seconds(),
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
                for row in self.rows()
            ],
        }

    def _row(
        self,
        title: str,
        progress: states.Progress,
        span: states.Span,
        steps: Mapping[str, tuple[names.ServerName, ...]],
    ) -> SnapshotRow:
        """Return one row. `steps` are the steps in it, and those of their servers that are known beforehand."""
        if not progress.has_begun:
            # Airflow also sets times for tasks that it skips.
            return SnapshotRow(title, progress, states.Span(), (), ())
        found: dict[str, set[states.TaskState]] = {}
        failed: dict[str, None] = {}
        for task in self.tasks:
            if task.task_id in steps and task.started is not None:
                short = [
                    server.removeprefix(f"{self.deployment}-")
                    for server in task.servers or steps[task.task_id]
                ]
                for each in short:
                    found.setdefault(each, set()).add(task.state)
                if task.state is states.TaskState.FAILED and short:
                    failed[labels.label(short)] = None
        done = {name for name, each in found.items() if each == {states.TaskState.SUCCESS}}
        working = {
            name for name, each in found.items() if name not in done and states.TaskState.FAILED not in each
        }
        return SnapshotRow(title, progress, span, tuple(sorted(done)), tuple(sorted(working)), tuple(failed))


def in_order(downstream: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return a DAG's tasks in topological order; ties are sorted by name."""
    waits_for = dict.fromkeys(downstream, 0)
    for after in downstream.values():
        for each in after:
            waits_for[each] = waits_for.get(each, 0) + 1
    ordered: list[str] = []
    ready = sorted(each for each, count in waits_for.items() if not count)
    while ready:
        task = ready.pop(0)
        ordered.append(task)
        for each in downstream.get(task, ()):
            waits_for[each] -= 1
            if not waits_for[each]:
                ready.append(each)
        ready.sort()
    return tuple(ordered)
