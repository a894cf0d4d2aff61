"""What runs say about a deployment: which of them count, and the states that follow from them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from gantry import errors, names, plan, status
from gantry import inventory as inventories
from gantry.overview import model
from gantry.state import filled_slots
from gantry.status import tasks as task_states

NOT_YET = datetime.datetime.max.replace(tzinfo=datetime.UTC)
"""When a run begins to work that still waits for its turn."""

_DONE = (status.Progress.SUCCEEDED, status.Progress.NOT_APPLICABLE, status.Progress.LEFT_OUT)


def weight(run: model.Run) -> tuple[bool, datetime.datetime]:
    """Return the relevance of a run as the last one. A nightly backup must not hide the last launch."""
    return run.operation not in plan.KEEPS_STATE, run.asked


def run_view(run: model.Run, tasks: Iterable[status.TaskView]) -> status.RunView:
    """Return a run as input for the deployment's history."""
    # A scaling goes through a launch's steps, and ends as one.
    is_termination = run.operation is names.Operation.TERMINATE
    kind = status.RunKind.TERMINATION if is_termination else status.RunKind.LAUNCH
    farthest: dict[str, status.TaskState] = {}
    for each in tasks:
        # This is used only for whether anything of a task has begun, and whether its only instance has succeeded.
        if each.task_id not in farthest or each.started is not None:
            farthest[each.task_id] = each.state
    return status.RunView(kind, run.is_over, farthest)


def worked(run: model.Run, turn: Collection[status.TaskView]) -> datetime.datetime:
    """Return when a run began to work: since runs wait for their turn, the order differs from the requests' order.

    Args:
        run: the run.
        turn: its task that waits for the turn; none for a run of an older Gantry.
    """
    taken = [each.ended for each in turn if each.state is status.TaskState.SUCCESS and each.ended]
    if taken:
        return min(taken)
    return NOT_YET if turn and not run.is_over else run.asked


def most_relevant(past: Iterable[model.PastRun]) -> Iterator[model.PastRun]:
    """Yield the runs from the last one back to the one that determines the state before the one that is shown."""
    is_shown = False
    for each in past:
        yield each
        if is_shown and each.view.decides:
            return
        is_shown = is_shown or _shows(each)


def shown(past: Sequence[model.PastRun]) -> tuple[model.PastRun, Sequence[model.PastRun]] | None:
    """Return the run that a deployment is drawn from, and the runs before it.

    This is the current run; else the one that determines the state.
    """
    for place, each in enumerate(past):
        if _shows(each):
            return each, past[place + 1 :]
    return None


def _shows(past: model.PastRun) -> bool:
    return not past.run.is_over or past.view.has_touched


def before(
    earlier: Iterable[model.PastRun], tasks: Callable[[model.Run], Iterable[model.TaskInstanceRow]]
) -> status.Before:
    """Return the deployment's state after these runs, the last to work first. Consumes no more than necessary."""
    looked_at: list[model.PastRun] = []

    def looking() -> Iterator[status.RunView]:
        for each in earlier:
            looked_at.append(each)
            yield each.view

    state = status.standing(looking()).state
    launches = (each.run for each in looked_at if each.view.kind is status.RunKind.LAUNCH)
    return status.Before(state, status.greeted((task.view for task in tasks(run)) for run in launches))


def run_states(
    steps: plan.Plan,
    run: model.Run,
    tasks: Collection[status.TaskView],
    inventory: inventories.Inventory | None,
    before_run: status.Before,
    slots: filled_slots.Slots,
) -> status.DeploymentStatus:
    """Return the deployment's states according to a run that changes it."""
    # A completed run covers all servers itself, and some that existed before may have left with it.
    has_decided = run_view(run, tasks).decides
    return status.deployment_status(
        steps,
        tasks,
        inventory,
        run_ended=run.is_over,
        before=before_run.state,
        slots=slots,
        greeted={} if has_decided else before_run.greeted,
    )


def snapshot(
    run: model.Run,
    known: model.CompiledDefinition,
    instances: tuple[model.TaskInstanceRow, ...],
    inventory: inventories.Inventory | None,
    before_run: status.Before,
    slots: filled_slots.Slots,
) -> model.RunSnapshot:
    """Return one run at one point in time. `slots` were filled at the end of the last launch."""
    states = None
    if run.operation not in plan.KEEPS_STATE:
        views = [each.view for each in instances]
        states = run_states(known.plan, run, views, inventory, before_run, slots)
    return model.RunSnapshot(run, known, instances, states)


def progress(found: model.RunSnapshot) -> model.RunProgress:
    """Return the progress of a run, in the phases that have work."""
    phases = task_states.Steps(found.known.plan, [each.view for each in found.instances]).phases()
    counted = {phase: each for phase, each in phases.items() if each is not status.Progress.NOT_APPLICABLE}
    done = sum(each in _DONE for each in counted.values())
    current = found.states.phase if found.states is not None else None
    if current is None:
        current = next(
            (phase for phase, each in counted.items() if each is status.Progress.IN_PROGRESS), None
        )
    return model.RunProgress(current, done, len(counted))


def failed_tasks(
    instances: Iterable[model.TaskInstanceRow],
    failures: Callable[[model.TaskInstanceRow], tuple[errors.Failure, ...] | None],
) -> tuple[model.FailedTask, ...]:
    """Return the failed ones of these task instances, the first to fail first, with what stopped each."""
    failed = (each for each in instances if each.view.state is status.TaskState.FAILED)
    return tuple(
        model.FailedTask(each, failures(each))
        for each in sorted(failed, key=lambda each: each.view.ended or NOT_YET)
    )
