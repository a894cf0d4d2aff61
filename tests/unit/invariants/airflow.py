"""Airflow as far as operations can see it: runs and their tasks, what schedules them, and what people do to them.

The DAGs and the operators are the product's own. Clears, backfills and limits are as in Airflow 3.3
(`models/dagrun.py`, `models/taskinstance.py`): a clear adds one to `clear_number`, a run that was over is queued again,
and runs of a backfill do not count for `max_active_runs`.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    DagRunTriggerException,
    DownstreamTasksSkipped,
    TaskDeferred,
)
from airflow.triggers.base import TaskSuccessEvent

from gantry import names

from .stage import Actor, Stage

OVER = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


@dataclasses.dataclass
class Task:
    """A task instance."""

    run: Run
    task_id: str
    map_index: int = -1
    state: str | None = None
    try_number: int = 0
    max_tries: int = 0
    start_date: datetime.datetime | None = None
    servers: list[str] | None = None
    xcoms: dict[str, Any] = dataclasses.field(default_factory=dict)
    state_store: dict[str, Any] = dataclasses.field(default_factory=dict)
    event: dict[str, Any] | None = None
    trigger: Any = None
    actor: Actor | None = None
    strays: list[Actor] = dataclasses.field(default_factory=list)
    """Triggerers that have lost this trigger to another one, and do not know it."""

    @property
    def name(self) -> str:
        index = "" if self.map_index < 0 else f"[{self.map_index}]"
        return f"{self.run.dag_id} {self.run.run_id} {self.task_id}{index}"


@dataclasses.dataclass
class Run:
    """A DAG run."""

    airflow: Airflow
    dag_id: str
    run_id: str
    run_type: str
    conf: dict[str, Any]
    run_after: datetime.datetime
    state: str = "queued"
    start_date: datetime.datetime | None = None
    clear_number: int = 0
    triggering_user_name: str | None = "ada"
    logical_date: datetime.datetime | None = None
    backfill_id: int | None = None
    note: str | None = None
    tasks: list[Task] = dataclasses.field(default_factory=list)
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    """What the model knows of it."""

    @property
    def operation(self) -> names.Operation:
        found = names.operation_of(self.dag_id)
        if found is None:
            raise LookupError(self.dag_id)
        return found

    @property
    def dag(self) -> DAG:
        return self.airflow.dags[self.dag_id]

    def of(self, task_id: str) -> list[Task]:
        return [each for each in self.tasks if each.task_id == task_id]

    @property
    def end_date(self) -> datetime.datetime | None:
        return None


class Instance:
    """What a context has for `ti`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self.dag_id = task.run.dag_id
        self.run_id = task.run.run_id
        self.task_id = task.task_id
        self.map_index = task.map_index
        self.try_number = task.try_number
        self.max_tries = task.max_tries
        self.start_date = task.start_date
        self.id = f"{task.name} {task.try_number}"

    def xcom_push(self, key: str, value: Any, **_: Any) -> None:
        self._task.run.airflow.stage.effect()
        self._task.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: str | list[str] | None = None, key: str = "return_value", **_: Any) -> Any:
        self._task.run.airflow.stage.effect()
        wanted = [task_ids] if isinstance(task_ids, str) else task_ids or []
        found = [each.xcoms[key] for one in wanted for each in self._task.run.of(one) if key in each.xcoms]
        return next(iter(found), None) if isinstance(task_ids, str) else found

    def get_task_states(self, dag_id: str, run_ids: Sequence[str], **_: Any) -> dict[str, dict[str, Any]]:
        airflow = self._task.run.airflow
        airflow.stage.effect()
        return {
            run.run_id: {
                each.task_id if each.map_index < 0 else f"{each.task_id}_{each.map_index}": each.state
                for each in run.tasks
            }
            for run in airflow.runs
            if run.dag_id == dag_id and run.run_id in run_ids
        }

    def get_dr_count(self, dag_id: str, **asked: Any) -> int:
        return self._task.run.airflow.count(dag_id, **asked)

    def get_dag(self, dag_id: str) -> Any:
        self._task.run.airflow.stage.effect()
        return _Unpaused(dag_id)


@dataclasses.dataclass(frozen=True)
class _Unpaused:
    dag_id: str
    is_paused: bool = False


class _TaskState:
    """`task_state_store`: of a task instance, for all its tries; a clear leaves it."""

    def __init__(self, stage: Stage, rows: dict[str, Any]) -> None:
        self._stage = stage
        self._rows = rows

    def get(self, key: str, default: Any = None) -> Any:
        self._stage.effect()
        return self._rows.get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:  # noqa: ARG002 - as Airflow's
        self._stage.effect()
        self._rows[key] = value

    def delete(self, key: str) -> None:
        self._stage.effect()
        self._rows.pop(key, None)


class _Events(dict[Any, Any]):
    """`outlet_events`: the assets that a task says it has updated. It counts when the task succeeds in a worker."""

    def __init__(self) -> None:
        super().__init__()
        self.added: list[str] = []

    def __missing__(self, key: Any) -> Any:
        return self

    def add(self, asset: Any, **_: Any) -> None:
        self.added.append(asset.name)


class Airflow:
    """A scheduler with workers and a triggerer, all of which can die at any moment."""

    def __init__(
        self,
        stage: Stage,
        dags: Mapping[str, DAG],
        asset_state: Callable[[str], Any],
        secured: Callable[[str], Any],
    ) -> None:
        self.stage = stage
        self.dags = dags
        self.runs: list[Run] = []
        self._asset_state = asset_state
        self._secured = secured
        self._count = 0
        self.on_over: Callable[[Run], None] = lambda _: None
        self.on_begin: Callable[[Task], None] = lambda _: None
        self.on_task: Callable[[Task], None] = lambda _: None

    # --- what people, the clock and operations ask for

    def trigger(
        self,
        operation: names.Operation,
        deployment: str,
        conf: dict[str, Any] | None = None,
        *,
        run_type: str = "manual",
        run_id: str | None = None,
    ) -> Run:
        self._count += 1
        run = Run(
            self,
            names.dag_id(deployment, operation),
            run_id or f"{run_type}__{self._count}",
            run_type,
            conf or {},
            self.stage.now,
            backfill_id=self._count if run_type == "backfill" else None,
            logical_date=self.stage.now,
        )
        self.runs.append(run)
        return run

    def clear(self, run: Run, task_id: str) -> None:
        """Clear all instances of a task, and what comes after it."""
        wanted = {task_id, *run.dag.get_task(task_id).get_flat_relative_ids(upstream=False)}
        for task in [each for each in run.tasks if each.task_id in wanted]:
            self._end_process(task)
            task.state, task.event, task.trigger = None, None, None
            task.max_tries = task.try_number + int(run.dag.get_task(task.task_id).retries or 0)
        run.clear_number += 1
        if run.state in ("success", "failed"):
            run.state, run.start_date = "queued", None

    def mark_failed(self, run: Run) -> None:
        """A person gives a run up. Its processes end at once."""
        for task in run.tasks:
            if task.state not in OVER:
                began = task.state is not None
                self._end_process(task)
                task.state = "failed" if began else "skipped"
        self._end(run, "failed")

    def lose_worker(self, task: Task) -> None:
        """The process of a task is gone; Airflow finds that its heartbeat has stopped."""
        if task.state == "deferred":
            self._end_process(task)
            task.actor = self._triggerer(task)
            return
        self._end_process(task)
        self._failed(task)

    def second_triggerer(self, task: Task) -> None:
        """The triggerer seems to be gone, another one takes the trigger; the first goes on all the same."""
        if task.actor is not None and task.state == "deferred":
            task.strays.append(task.actor)
            task.actor = self._triggerer(task)

    def count(
        self,
        dag_id: str,
        logical_dates: Any = None,
        run_ids: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
    ) -> int:
        """As `RuntimeTaskInstance.get_dr_count`."""
        if logical_dates is not None:
            raise NotImplementedError
        self.stage.effect()
        return sum(
            run.dag_id == dag_id
            and (run_ids is None or run.run_id in run_ids)
            and (states is None or run.state in states)
            for run in self.runs
        )

    def count_tasks(
        self,
        dag_id: str,
        map_index: int | None = None,
        task_ids: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
    ) -> int:
        """As `RuntimeTaskInstance.get_ti_count`."""
        self.stage.effect()
        return sum(
            run.dag_id == dag_id
            and (task_ids is None or each.task_id in task_ids)
            and (states is None or each.state in states)
            and (map_index is None or each.map_index == map_index)
            for run in self.runs
            for each in run.tasks
        )

    # --- the scheduler

    def schedule(self) -> None:
        """Begin what may begin, end what is over."""
        changed = True
        while changed:
            changed = self._begin_runs()
            for run in [each for each in self.runs if each.state == "running"]:
                changed |= self._schedule(run)

    def actors(self) -> list[Actor]:
        """All processes, in an order of their own."""
        found = []
        for run in self.runs:
            for task in run.tasks:
                if task.actor is not None and not task.actor.over:
                    found.append(task.actor)
                found += [each for each in task.strays if not each.over]
        return found

    def working(self) -> list[Task]:
        """All task instances with a process."""
        return [
            each for run in self.runs for each in run.tasks if each.actor is not None and not each.actor.over
        ]

    def close(self) -> None:
        """End all threads."""
        for actor in self.actors():
            actor.kill()

    def _begin_runs(self) -> bool:
        begun = False
        for run in self.runs:
            if run.state != "queued":
                continue
            busy = any(
                each.state == "running" and each.backfill_id == run.backfill_id
                for each in self.runs
                if each.dag_id == run.dag_id
            )
            if busy:
                continue
            run.state, run.start_date, begun = "running", self.stage.now, True
            run.facts.pop("changed", None)
            if not run.tasks:
                run.tasks = [
                    Task(run, task_id, max_tries=int(task.retries or 0))
                    for task_id, task in run.dag.task_dict.items()
                ]
        return begun

    def _schedule(self, run: Run) -> bool:
        changed = False
        for task in list(run.tasks):
            if task.state not in (None, "up_for_retry"):
                continue
            if task.state == "up_for_retry":
                self._start(task)
                changed = True
                continue
            if task.servers is None and _is_mapped(run.dag, task.task_id):
                changed |= self._expand(task)
                continue
            verdict = self._verdict(task)
            if verdict == "start":
                self._start(task)
                changed = True
            elif verdict is not None:
                task.state = verdict
                changed = True
        if run.tasks and all(each.state in OVER for each in run.tasks):
            leaves = {each.task_id for each in run.dag.leaves}
            bad = any(
                each.state in ("failed", "upstream_failed") for each in run.tasks if each.task_id in leaves
            )
            self._end(run, "failed" if bad else "success")
            changed = True
        return changed

    def _expand(self, task: Task) -> bool:
        """Make the instances of a task that is dealt to servers, once it is known to which."""
        run = task.run
        operator = run.dag.get_task(task.task_id)
        group = operator.get_closest_mapped_task_group()
        (source,) = {each.operator.task_id for each in _sources(group)}
        (dealer,) = run.of(source)
        if dealer.state in ("failed", "upstream_failed", "skipped"):
            for each in run.of(task.task_id):
                each.state = "upstream_failed" if dealer.state != "skipped" else "skipped"
            return True
        if dealer.state != "success":
            return False
        hands = dealer.xcoms["return_value"]
        known = run.of(task.task_id)
        place = run.tasks.index(known[0])
        made = []
        for index, servers in enumerate(hands):
            found = next((each for each in known if each.map_index == index), None)
            if found is None:
                found = Task(run, task.task_id, max_tries=int(operator.retries or 0))
            found.map_index, found.servers = index, list(servers)
            made.append(found)
        run.tasks = [each for each in run.tasks if each.task_id != task.task_id]
        run.tasks[place:place] = made or [Task(run, task.task_id, 0, "skipped", servers=[])]
        return True

    def _verdict(self, task: Task) -> str | None:
        """What becomes of a task that has not begun: a state, `start`, or None where it has to wait."""
        run, operator = task.run, task.run.dag.get_task(task.task_id)
        group = operator.get_closest_mapped_task_group() if _is_mapped(run.dag, task.task_id) else None
        before: list[Task] = []
        for each in operator.upstream_list:
            found = run.of(each.task_id)
            if group is not None and each.get_closest_mapped_task_group() is group:
                found = [one for one in found if one.map_index in (task.map_index, -1)]
            before += found
        states = [each.state for each in before]
        rule = operator.trigger_rule.value
        if rule != "all_done":
            if any(each in ("failed", "upstream_failed") for each in states):
                return "upstream_failed"
            if rule == "all_success" and "skipped" in states:
                return "skipped"
        return "start" if all(each in OVER for each in states) else None

    def _start(self, task: Task) -> None:
        if task.event is None:
            task.try_number += 1
            task.xcoms = {}
            task.start_date = self.stage.now
        task.state = "running"
        task.actor = self.stage.actor(lambda: self._work(task), task.name, task)

    def _end(self, run: Run, state: str) -> None:
        run.state = state
        self.on_over(run)

    def _end_process(self, task: Task) -> None:
        if task.actor is not None:
            task.actor.kill()
            task.actor = None

    def _failed(self, task: Task, *, for_good: bool = False) -> None:
        task.event = None
        task.state = "up_for_retry" if not for_good and task.try_number <= task.max_tries else "failed"

    # --- a worker and the triggerer

    def _work(self, task: Task) -> None:
        run = task.run
        # A mapped operator has been unmapped when a task of it runs.
        operator: Any = copy.copy(run.dag.get_task(task.task_id))
        if task.servers is not None:
            operator.servers = list(task.servers)
        events = _Events()
        context = {
            "dag": run.dag,
            "dag_run": run,
            "ti": Instance(task),
            "task_instance": Instance(task),
            "task": operator,
            "run_id": run.run_id,
            "params": {**run.dag.params.dump(), **run.conf},
            "asset_state_store": self._asset_state(run.dag_id),
            "task_state_store": _TaskState(self.stage, task.state_store),
            "outlet_events": events,
        }
        self.on_begin(task)
        event, task.event = task.event, None
        try:
            result = operator.execute(context) if event is None else operator.resume(context, event)
            self.stage.effect()
            if result is not None:
                task.xcoms["return_value"] = json.loads(json.dumps(result))
            for asset in events.added:
                self._secured(asset)
            task.state = "success"
        except (AirflowSkipException, DownstreamTasksSkipped, TaskDeferred, DagRunTriggerException) as signal:
            self.stage.effect()
            self._obey(task, signal)
        except Exception as error:  # noqa: BLE001 - as Airflow does
            self.stage.effect()
            is_worded = isinstance(error, AirflowException)
            task.xcoms["failure"] = str(error) if is_worded else f"{type(error).__name__}: {error}"
            self._failed(task, for_good=isinstance(error, AirflowFailException))
        if task.state != "deferred":
            self.on_task(task)

    def _obey(self, task: Task, signal: BaseException) -> None:
        """What a task tells Airflow by raising it."""
        match signal:
            case AirflowSkipException():
                task.state = "skipped"
            case DownstreamTasksSkipped():
                for each in signal.tasks:
                    for found in task.run.of(each if isinstance(each, str) else each[0]):
                        found.state = "skipped"
                task.state = "success"
            case TaskDeferred():
                _, keywords = signal.trigger.serialize()
                # It travels as JSON.
                task.trigger = (type(signal.trigger), json.loads(json.dumps(keywords)))
                task.state = "deferred"
                task.actor = self._triggerer(task)
            case DagRunTriggerException():
                self._triggered(signal)
                task.state = "success"

    def _triggered(self, asked: DagRunTriggerException) -> None:
        dag_id, run_id = asked.trigger_dag_id, asked.dag_run_id
        operation = names.operation_of(dag_id)
        if operation is None:
            raise LookupError(dag_id)
        if not any((each.dag_id, each.run_id) == (dag_id, run_id) for each in self.runs):
            deployment = dag_id.partition(".")[0]
            conf = dict(asked.conf or {})
            self.trigger(operation, deployment, conf, run_type="operator_triggered", run_id=run_id)

    def _triggerer(self, task: Task) -> Actor:
        kind, keywords = task.trigger
        trigger = kind(**keywords)
        own = task.trigger

        async def first() -> Any:
            async for event in trigger.run():
                return event
            return None

        def work() -> None:
            event = asyncio.run(first())
            self.stage.effect()
            if task.actor is not actor or task.trigger is not own or task.state != "deferred":
                # Another triggerer has it, or the task is over: nobody listens.
                return
            if isinstance(event, TaskSuccessEvent):
                for key, value in (event.xcoms or {}).items():
                    # Encoded once more than what a worker pushes (Airflow 3.3).
                    task.xcoms[key] = json.dumps(value)
                task.state, task.trigger = "success", None
                self.on_task(task)
                return
            task.event, task.trigger = event.payload, None
            self._start(task)

        actor = self.stage.actor(work, f"trigger of {task.name}", task)
        return actor


def _is_mapped(dag: DAG, task_id: str) -> bool:
    return dag.get_task(task_id).get_closest_mapped_task_group() is not None


def _sources(group: Any) -> Iterator[Any]:
    for operator, _ in group._expand_input.iter_references():
        yield type("Source", (), {"operator": operator})
