"""A deployment's runs in Airflow's API, newest first."""

from __future__ import annotations

import dataclasses
import datetime
import heapq
from collections.abc import Iterable, Iterator

from gantry import names, status
from gantry.cli.queries import run_snapshot
from gantry.plan import KEEPS_STATE, READ_ONLY, StepKind
from gantry.rest import client, errors

_CHANGING = tuple(each for each in names.Operation if each not in KEEPS_STATE)
_OPERATIONS = tuple(each for each in names.Operation if each not in READ_ONLY)
"""The watch checks a deployment each minute: such a run is not an event."""

_NOT_YET = datetime.datetime.max.replace(tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A run, and its tasks' states. `worked` is when it began to work, far in the future if it has not yet."""

    run: client.ApiDagRun
    view: status.RunView
    worked: datetime.datetime
    tasks: tuple[status.TaskView, ...] = ()


def runs(api: client.AirflowApi, name: str) -> Iterator[client.ApiDagRun]:
    """Yield the runs of all operations, newest first, requested on demand."""
    every = (_runs(api, names.dag_id(name, operation)) for operation in _OPERATIONS)
    return heapq.merge(*every, key=lambda run: run.asked, reverse=True)


def past(api: client.AirflowApi, name: str) -> Iterator[PastRun]:
    """Yield the runs that determine the deployment's state, with their tasks' states; the last to work come first.

    This order differs from that of the requests: a run may have to wait for its turn.
    """
    every = (_past(api, name, names.dag_id(name, operation)) for operation in _CHANGING)
    return heapq.merge(*every, key=lambda each: each.worked, reverse=True)


def views(found: Iterable[PastRun]) -> Iterator[status.RunView]:
    """Convert to the input of a deployment's state."""
    return (each.view for each in found)


def before(api: client.AirflowApi, name: str, run: client.ApiDagRun | None = None) -> status.Before:
    """Return the deployment's state before the current run; or its state according to the finished runs."""
    return before_these(each for each in past(api, name) if each.run.is_over and each.run != run)


def before_these(earlier: Iterable[PastRun]) -> status.Before:
    """Return the deployment's state after these runs, the last to work first. Consumes no more than necessary."""
    looked_at: list[PastRun] = []

    def looking() -> Iterator[status.RunView]:
        for each in earlier:
            looked_at.append(each)
            yield each.view

    state = status.standing(looking()).state
    launches = (each for each in looked_at if each.view.kind is status.RunKind.LAUNCH)
    return status.Before(state, status.greeted(each.tasks for each in launches))


def _past(api: client.AirflowApi, name: str, dag: str) -> Iterator[PastRun]:
    """Yield the runs of one operation. It has one at a time, so they worked in the order of the requests."""
    for run in _runs(api, dag):
        tasks = tuple(run_snapshot.view(each) for each in api.instances(run.dag, run.id))
        yield PastRun(run, run_snapshot.run_view(run, name, tasks), _worked(run, tasks), tasks)


def _worked(run: client.ApiDagRun, tasks: Iterable[status.TaskView]) -> datetime.datetime:
    turns = [each for each in tasks if each.task_id == StepKind.TURN.value]
    taken = [each.ended for each in turns if each.state is status.TaskState.SUCCESS and each.ended]
    if taken:
        return min(taken)
    # A run that never waited is of an older Gantry, or was rejected, and then the order hardly matters.
    is_waiting = turns and not run.is_over
    return _NOT_YET if is_waiting else datetime.datetime.fromisoformat(run.asked)


def _runs(api: client.AirflowApi, dag: str) -> Iterator[client.ApiDagRun]:
    try:
        yield from api.runs(dag)
    except errors.NotFoundError:
        # A loader may not create all DAGs.
        return
