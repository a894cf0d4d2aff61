"""One run at one point in time: what its page, its JSON and the terminal show of it."""

from __future__ import annotations

import dataclasses
import functools

from gantry import inventory as inventories
from gantry import names, plan, status
from gantry.overview import model

_AROUND = plan.with_effect(plan.Effect.ASKS, plan.Effect.WAITS, plan.Effect.RECORDS)
"""Tasks before and after the actual work of a run of backups or of a restore."""


@dataclasses.dataclass(frozen=True)
class RunSnapshot:
    """One run of a deployment at one point in time. Created by `gantry.overview.runs.run_snapshot`.

    Attributes:
        known: the definition, with the plan of the run's operation. None if it is not at hand, if it is not the one
            that Airflow runs, or if only the run's record is left: then only tasks are shown, and no states.
        instances: its task instances.
        states: the deployment's states; None for a run that does not affect them, such as a backup.
        inventory: the cloud's answer, or None if it was not asked.
        order: without a definition, the DAG's tasks, each after those it waits for.
        is_recorded: whether Airflow has forgotten the run: then `instances` are those that failed.
    """

    run: model.Run
    known: model.CompiledDefinition | None
    instances: tuple[model.TaskInstanceRow, ...]
    states: status.DeploymentStatus | None = None
    inventory: inventories.Inventory | None = None
    order: tuple[str, ...] = ()
    is_recorded: bool = False

    @functools.cached_property
    def tasks(self) -> tuple[status.TaskView, ...]:
        """Return the task instances without their labels and tries."""
        return tuple(each.view for each in self.instances)

    @functools.cached_property
    def timeline(self) -> status.Timeline | None:
        """Return the run's timeline; None without a definition."""
        return None if self.known is None else status.timeline(self.known.plan, self.tasks)

    @property
    def keeps_state(self) -> bool:
        """Return whether the run leaves the deployment's state unchanged."""
        return self.run.operation in plan.KEEPS_STATE

    @property
    def is_termination(self) -> bool:
        """Return whether the run terminates the deployment."""
        return self.run.operation is names.Operation.TERMINATE

    @property
    def has_arrived(self) -> bool:
        """Return whether the run has achieved its purpose. A run that a person has rejected succeeds without."""
        if self.keeps_state:
            # Of several such steps, those that were not requested may be skipped.
            done = {each.task_id for each in self.tasks if each.state is status.TaskState.SUCCESS}
            return self.run.state == "success" and bool(done - _AROUND)
        return self.run.view(self.tasks).has_arrived

    @property
    def awaits_approval(self) -> bool:
        """Return whether the run waits for a person's approval."""
        asking = [each for each in self.tasks if each.task_id == plan.StepKind.APPROVE.value]
        return status.progress(asking) is status.Progress.IN_PROGRESS

    @property
    def awaits_turn(self) -> bool:
        """Return whether the run waits for another operation of the deployment to end."""
        return any(
            each.task_id == plan.StepKind.TURN.value and each.state is status.TaskState.DEFERRED
            for each in self.tasks
        )

    @property
    def has_turn(self) -> bool:
        """Return whether no other operation of the deployment can change anything any more before this one does."""
        turn = [each for each in self.tasks if each.task_id == plan.StepKind.TURN.value]
        return not turn or any(each.state is status.TaskState.SUCCESS for each in turn)

    @functools.cached_property
    def task_order(self) -> tuple[str, ...]:
        """Return the ids of its tasks, each after those it waits for; the last ones are those of unknown order."""
        if self.known is not None:
            return tuple(step.id for step in self.known.plan)
        there = {each.task_id for each in self.tasks}
        return (*(each for each in self.order if each in there), *sorted(there.difference(self.order)))

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Return the tasks that are not done."""
        return tuple(each for each in self.task_order if not self.progress_of(each).is_done)

    def progress_of(self, task: str) -> status.Progress:
        """Return the progress of a task, from all its instances."""
        return status.progress(each for each in self.tasks if each.task_id == task)

    def seconds(self) -> float | None:
        """Return the seconds from the request to the end of the last task, or None before that."""
        ends = [each.ended for each in self.tasks if each.ended]
        if not self.run.is_over or not ends:
            return None
        return (max(ends) - self.run.asked).total_seconds()

    def scaling_event(self) -> float | None:
        """Return the seconds from the request to the run's first request of a server from the cloud, if known."""
        # The cloud's times have a resolution of one second.
        asked = self.run.asked.replace(microsecond=0)
        started = [each.launched_at for each in self.inventory or () if each.launched_at >= asked]
        return max((min(started) - self.run.asked).total_seconds(), 0) if started else None


@dataclasses.dataclass(frozen=True)
class RunProgress:
    """The progress of a run: the current phase, and how many of the phases with work are done."""

    phase: plan.Phase | None
    done: int
    of: int
