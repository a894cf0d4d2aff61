"""A deployment's runs, as Airflow's API tells them, the newest first."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Iterator

from gantry import names, status
from gantry.cli import moments
from gantry.rest import client, errors


@dataclasses.dataclass(frozen=True)
class Past:
    """A run, and what its tasks say."""

    run: client.Run
    view: status.RunView


def runs(api: client.Api, name: str) -> Iterator[client.Run]:
    """The runs of all operations, the newest first, asked for as they are wanted."""
    every = (_runs(api, names.dag_id(name, operation)) for operation in names.Operation)
    return heapq.merge(*every, key=lambda run: run.asked, reverse=True)


def past(api: client.Api, name: str, found: Iterable[client.Run]) -> Iterator[Past]:
    """Runs that make the deployment's state what it is, with what their tasks say."""
    for run in found:
        if names.operation_of(run.dag) in names.KEEPS_STATE:
            continue
        tasks = [moments.view(each) for each in api.instances(run.dag, run.id)]
        yield Past(run, moments.run_view(run, name, tasks))


def views(found: Iterable[Past]) -> Iterator[status.RunView]:
    """What a deployment's state follows from."""
    return (each.view for each in found)


def was_running(api: client.Api, name: str, before: client.Run | None = None) -> bool:
    """Whether a deployment was RUNNING before a run; or is, as far as its runs that are over tell."""
    earlier = (
        run
        for run in runs(api, name)
        if run.is_over and (before is None or (run.asked < before.asked and run.id != before.id))
    )
    return status.was_running(views(past(api, name, earlier)))


def _runs(api: client.Api, dag: str) -> Iterator[client.Run]:
    try:
        yield from api.runs(dag)
    except errors.NotFoundError:
        # A loader need not show all DAGs.
        return
