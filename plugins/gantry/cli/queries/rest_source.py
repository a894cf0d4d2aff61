"""The facts about a deployment, read through Airflow's API: each at most once, and when it is asked for."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping

from gantry import names, overview, plan, requests, status
from gantry.cli.queries import asset_state
from gantry.definition import models
from gantry.rest import client, deployments, errors
from gantry.state import kept_failures, run_records
from gantry.status import labels

_CHANGING = tuple(each for each in names.Operation if each not in plan.KEEPS_STATE)
_OPERATIONS = tuple(each for each in names.Operation if each not in plan.READ_ONLY)
"""The watch checks a deployment each minute: such a run is not an event."""


class RestSource(overview.Source):
    """The facts about one deployment.

    Args:
        api: Airflow's API, with the rights of its user.
        name: the deployment's name.
        definition: the definition at hand, if there is one.
        found: its launch DAG, if it is at hand.
        exact: whether a run without a task for each step of the definition's plan counts as one of another definition.
            A run that is over may be older than a step, but one that is followed is not.
    """

    def __init__(
        self,
        api: client.AirflowApi,
        name: str,
        definition: models.Definition | None = None,
        found: client.Dag | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self._api = api
        self._name = name
        self._definition = definition
        self._dag = found
        self._exact = exact
        self._runs = {each: _Remembered(_runs(api, names.dag_id(name, each))) for each in _OPERATIONS}
        self._tasks: dict[overview.RunKey, tuple[overview.TaskInstanceRow, ...]] = {}
        self._order: dict[str, tuple[str, ...]] = {}

    def dag(self) -> overview.LaunchDag:
        """Return the DAG that launches it. Raises UnknownDeploymentError."""
        found = self._dag or deployments.find(self._api, self._name)
        return overview.LaunchDag.of(
            found.id,
            found.description,
            found.tags,
            _time(found.due),
            is_paused=found.is_paused,
            is_broken=found.has_import_errors,
            bundle=found.bundle,
        )

    def past(self) -> Iterator[overview.PastRun]:
        """Yield the runs that change the deployment, those that worked last first.

        An operation has one run at a time, so each one's runs worked in the order of the requests.
        """
        every = (map(self._past, self._runs[each]) for each in _CHANGING)
        return heapq.merge(*every, key=lambda each: each.worked, reverse=True)

    def is_settled(self) -> bool:
        """Return True: all runs are read, if need be."""
        return True

    def last(self) -> overview.Run | None:
        """Return the run that was requested last."""
        newest = (next(iter(each), None) for each in self._runs.values())
        return max(filter(None, newest), key=overview.weight, default=None)

    def definition(self, run: overview.Run | None = None) -> overview.CompiledDefinition | None:
        """Return the definition at hand, with the plan of the run's operation."""
        if self._definition is None:
            return None
        operation = names.Operation.LAUNCH if run is None else plan.operation_of(run.dag)
        steps = plan.plan_of(self._definition, operation)
        if run is not None and self._exact:
            tasks = {each.view.task_id for each in self.tasks(run)}
            if not tasks.issuperset(steps.by_id):
                return None
        return overview.CompiledDefinition(self._definition, steps)

    def tasks(self, run: overview.Run) -> tuple[overview.TaskInstanceRow, ...]:
        """Return the task instances of a run."""
        if run.key not in self._tasks:
            found = map(task_row, self._api.instances(*run.key))
            self._tasks[run.key] = tuple(
                sorted(found, key=lambda each: (each.view.task_id, each.view.map_index))
            )
        return self._tasks[run.key]

    def order(self, run: overview.Run) -> tuple[str, ...]:
        """Return the tasks of a run's DAG, each after those it waits for."""
        if run.dag not in self._order:
            self._order[run.dag] = in_order(self._api.downstream(run.dag))
        return self._order[run.dag]

    def forget_tasks(self, run: overview.Run) -> None:
        """Ask again for the task instances of a run that is going on, and for nothing else."""
        self._tasks.pop(run.key, None)

    def has_rivals(self, run: overview.Run) -> bool:
        """Return whether another run was going on, which may change what this one begins with.

        Asks for nothing: only the runs that were read are known.
        """
        every = (each for operation in _CHANGING for each in self._runs[operation].known)
        return any(not each.is_over and each.key != run.key for each in every)

    def kept(self) -> Mapping[str, object] | None:
        """Return the state of the deployment's asset; the right to see a DAG does not imply that to see its asset."""
        try:
            return asset_state.kept(self._api, self._name)
        except errors.ForbiddenError:
            return None

    def ends(self, runs: Collection[overview.RunKey]) -> Mapping[overview.RunKey, overview.RunEnd]:
        """Return the ends of these runs."""
        return asset_state.ends(self._api, runs)

    def _past(self, run: overview.Run) -> overview.PastRun:
        tasks = [each.view for each in self.tasks(run)]
        turn = [each for each in tasks if each.task_id == plan.StepKind.TURN.value]
        return overview.PastRun(run, run.view(tasks), overview.worked(run, turn))


class _Remembered(Iterable[overview.Run]):
    """Runs that are requested when they are iterated for the first time."""

    def __init__(self, found: Iterator[client.ApiDagRun]) -> None:
        self._more = found
        self.known: list[overview.Run] = []

    def __iter__(self) -> Iterator[overview.Run]:
        place = 0
        while place < len(self.known) or self._read():
            yield self.known[place]
            place += 1

    def _read(self) -> bool:
        run = next(self._more, None)
        if run is not None:
            self.known.append(as_run(run))
        return run is not None


def runs(api: client.AirflowApi, name: str) -> Iterator[client.ApiDagRun]:
    """Yield the runs of all operations that are not read-only, newest first, requested on demand."""
    every = (_runs(api, names.dag_id(name, operation)) for operation in _OPERATIONS)
    return heapq.merge(*every, key=lambda run: run.asked, reverse=True)


def as_run(found: client.ApiDagRun) -> overview.Run:
    """Convert a run of the API."""
    return overview.Run(
        found.dag,
        found.id,
        found.state,
        datetime.datetime.fromisoformat(found.asked),
        _time(found.started),
        _time(found.ended),
        found.user,
        found.run_type == "scheduled",
        requests.ReasonedRequest.read(found.conf).reason,
    )


def task_row(found: client.ApiTaskInstance) -> overview.TaskInstanceRow:
    """Convert a task instance of the API, which labels one that has not begun by its number."""
    label = "" if found.label == str(found.map_index) else found.label
    view = status.TaskView(
        task_id=found.task_id,
        map_index=found.map_index,
        state=status.TaskState.of(found.state),
        started=_time(found.started),
        ended=_time(found.ended),
        servers=labels.servers(label),
    )
    return overview.TaskInstanceRow(view, label, found.try_number)


def failed_tasks(
    api: client.AirflowApi, name: str, record: run_records.Record, kept: Mapping[str, object]
) -> tuple[overview.FailedTask, ...]:
    """Return the failed tasks of a run, with what stopped them as far as the user may read that.

    A user who may read XComs is shown all of a failure that Airflow has: its API requires no other right. What is kept
    beside the run's record requires the rights that a page requires; whether the user has them, Airflow's API says.

    Args:
        api: Airflow's API.
        name: the deployment.
        record: the run's record.
        kept: the state of the deployment's asset, by key.
    """
    operation = names.Operation(record.operation)
    run = (names.dag_id(name, operation), record.run)
    tries = kept_failures.of_run(kept, record.operation, record.run)
    try:
        instances = tuple(map(task_row, api.instances(*run)))
    except errors.NotFoundError:
        recorded = overview.recorded_run(name, operation, record.run, kept)
        instances = () if recorded is None else recorded.instances
    found = overview.failed_tasks(
        instances, lambda each: api.failures(*run, each.view.task_id, each.view.map_index)
    )
    whole = overview.completed(found, tries)
    if whole == found:
        return found
    return overview.allowed(whole, xcoms=True, logs=api.may_read_logs(*run, *whole[0].key))


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


def _runs(api: client.AirflowApi, dag: str) -> Iterator[client.ApiDagRun]:
    try:
        yield from api.runs(dag)
    except errors.NotFoundError:
        # A loader may not create all DAGs.
        return


def _time(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
