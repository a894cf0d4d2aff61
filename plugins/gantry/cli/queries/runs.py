"""A deployment's runs, as Airflow's API tells them, the newest first."""

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
"""A deployment is looked at each minute: such a run is nothing that happens to it."""

_NOT_YET = datetime.datetime.max.replace(tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True)
class PastRun:
    """A run, and what its tasks say. `worked` is when it began to work, far in the future if it has not yet."""

    run: client.ApiDagRun
    view: status.RunView
    worked: datetime.datetime
    tasks: tuple[status.TaskView, ...] = ()


def runs(api: client.AirflowApi, name: str) -> Iterator[client.ApiDagRun]:
    """The runs of all operations, the newest first, asked for as they are wanted."""
    every = (_runs(api, names.dag_id(name, operation)) for operation in _OPERATIONS)
    return heapq.merge(*every, key=lambda run: run.asked, reverse=True)


def past(api: client.AirflowApi, name: str) -> Iterator[PastRun]:
    """The runs that make the deployment's state what it is, with what their tasks say; those that worked last first.

    That is another order than the one they were asked for in: a run may have to wait for its turn.
    """
    every = (_past(api, name, names.dag_id(name, operation)) for operation in _CHANGING)
    return heapq.merge(*every, key=lambda each: each.worked, reverse=True)


def views(found: Iterable[PastRun]) -> Iterator[status.RunView]:
    """What a deployment's state follows from."""
    return (each.view for each in found)


def before(api: client.AirflowApi, name: str, run: client.ApiDagRun | None = None) -> status.Before:
    """What a deployment was before a run that goes on; or is, as far as its runs that are over tell."""
    return before_these(each for each in past(api, name) if each.run.is_over and each.run != run)


def before_these(earlier: Iterable[PastRun]) -> status.Before:
    """What these runs, those that worked last first, have made of a deployment. Takes no more of them than it needs."""
    looked_at: list[PastRun] = []

    def looking() -> Iterator[status.RunView]:
        for each in earlier:
            looked_at.append(each)
            yield each.view

    state = status.standing(looking()).state
    launches = (each for each in looked_at if each.view.kind is status.RunKind.LAUNCH)
    return status.Before(state, status.greeted(each.tasks for each in launches))


def _past(api: client.AirflowApi, name: str, dag: str) -> Iterator[PastRun]:
    """The runs of one operation. It has one at a time, so they worked in the order that they were asked for in."""
    for run in _runs(api, dag):
        tasks = tuple(run_snapshot.view(each) for each in api.instances(run.dag, run.id))
        yield PastRun(run, run_snapshot.run_view(run, name, tasks), _worked(run, tasks), tasks)


def _worked(run: client.ApiDagRun, tasks: Iterable[status.TaskView]) -> datetime.datetime:
    turns = [each for each in tasks if each.task_id == StepKind.TURN.value]
    taken = [each.ended for each in turns if each.state is status.TaskState.SUCCESS and each.ended]
    if taken:
        return min(taken)
    # One that never waited is of an earlier Gantry, or was refused, and then it matters little.
    is_waiting = turns and not run.is_over
    return _NOT_YET if is_waiting else datetime.datetime.fromisoformat(run.asked)


def _runs(api: client.AirflowApi, dag: str) -> Iterator[client.ApiDagRun]:
    try:
        yield from api.runs(dag)
    except errors.NotFoundError:
        # A loader need not show all DAGs.
        return
