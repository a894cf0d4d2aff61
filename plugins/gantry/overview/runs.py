"""What runs say about a deployment: which of them count, and the states that follow from them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from gantry import inventory as inventories
from gantry import plan, status
from gantry.overview import model
from gantry.overview import snapshot as snapshots
from gantry.overview.source import RunSource
from gantry.state import filled_slots
from gantry.status import tasks as task_states

NOT_YET = datetime.datetime.max.replace(tzinfo=datetime.UTC)
"""When a run begins to work that still waits for its turn."""

_DONE = (status.Progress.SUCCEEDED, status.Progress.NOT_APPLICABLE, status.Progress.LEFT_OUT)


def weight(run: model.Run) -> tuple[bool, datetime.datetime]:
    """Return the relevance of a run as the last one. A nightly backup must not hide the last launch."""
    return run.operation not in plan.KEEPS_STATE, run.asked


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


def shown(past: Sequence[model.PastRun]) -> model.PastRun | None:
    """Return the run that a deployment is drawn from: the current one; else the one that determines the state."""
    return next((each for each in past if _shows(each)), None)


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


def worked_before(run: model.Run, past: Iterable[model.PastRun]) -> Iterator[model.PastRun]:
    """Yield the runs that worked before this one, back to the one that determines the state before it.

    Args:
        run: the run. If it is not among the others (a source reads a limited number), the times of the requests count.
        past: the runs that change the deployment, those that worked last first. No more are consumed than necessary.
    """
    every = iter(past)
    later: list[model.PastRun] = []
    is_found = False
    for each in every:
        is_found = each.run.key == run.key
        if is_found:
            break
        later.append(each)
    for each in every if is_found else (each for each in later if each.run.asked < run.asked):
        yield each
        if each.view.decides:
            return


def run_snapshot(
    source: RunSource,
    run: model.Run,
    inventory: inventories.Inventory | None,
    slots: filled_slots.Slots | None = None,
) -> snapshots.RunSnapshot:
    """Return one run at one point in time: the only way to a run's states, for pages, their JSON and the terminal.

    Args:
        source: the facts. What happened before the run is asked for only if the run has states that depend on it.
        run: the run.
        inventory: the cloud's answer; None if it was not asked.
        slots: those that the last launch has filled; None if the run itself shows that.
    """
    known, instances = source.definition(run), source.tasks(run)
    if known is None:
        return snapshots.RunSnapshot(run, None, instances, None, inventory, source.order(run))
    states = None
    if run.operation not in plan.KEEPS_STATE:
        before_run = before(worked_before(run, source.past()), source.tasks)
        states = _states(
            known.plan, run, [each.view for each in instances], inventory, before_run, slots or {}
        )
    return snapshots.RunSnapshot(run, known, instances, states, inventory)


def _states(
    steps: plan.Plan,
    run: model.Run,
    tasks: Collection[status.TaskView],
    inventory: inventories.Inventory | None,
    before_run: status.Before,
    slots: filled_slots.Slots,
) -> status.DeploymentStatus:
    # A completed run covers all servers itself, and some that existed before may have left with it.
    has_decided = run.view(tasks).decides
    return status.deployment_status(
        steps,
        tasks,
        inventory,
        run_ended=run.is_over,
        before=before_run.state,
        slots=slots,
        greeted={} if has_decided else before_run.greeted,
    )


def progress(found: snapshots.RunSnapshot) -> snapshots.RunProgress | None:
    """Return the progress of a run, in the phases that have work; None without a definition."""
    if found.known is None:
        return None
    phases = task_states.Steps(found.known.plan, found.tasks).phases()
    counted = {phase: each for phase, each in phases.items() if each is not status.Progress.NOT_APPLICABLE}
    done = sum(each in _DONE for each in counted.values())
    current = found.states.phase if found.states is not None else None
    if current is None:
        current = next(
            (phase for phase, each in counted.items() if each is status.Progress.IN_PROGRESS), None
        )
    return snapshots.RunProgress(current, done, len(counted))
