"""The turn in Airflow's hands: who may write, backfills, and runs that stand still."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import time
import types
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import TriggerEvent

from gantry import definition, names
from gantry.operators import approval, base
from gantry.plan import launch_plan
from gantry.runtime import lock_holder
from gantry.state import operation_lock
from gantry.triggers import turn
from tests.unit.agent.world import DEFINITION

NAME = "shop"
WHO = operation_lock.LockApplicant(names.Operation.LAUNCH, "run-1", "2026-03-01T12:00:00+00:00")


@dataclasses.dataclass
class Airflow:
    """What Airflow says of runs, and the state of the deployment's asset."""

    running: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    marks: dict[str, Any] = dataclasses.field(default_factory=dict)
    writes: list[str] = dataclasses.field(default_factory=list)

    def get(self, key: str) -> Any:
        return self.marks.get(key)

    def set(self, key: str, value: Any) -> None:
        self.writes.append(key)
        self.marks[key] = value

    def count(self, dag: str, run_ids: list[str] | None = None, states: list[str] | None = None) -> int:
        assert states == ["running"]
        return sum(1 for each in self.running.get(dag, ()) if run_ids is None or each in run_ids)

    def up(self, operation: names.Operation, run: str) -> None:
        self.running[names.dag_id(NAME, operation)] = [run]
        mark = {"run": run, "begun": "", "stage": "works", "since": "2026-03-01T11:00:00+00:00"}
        self.marks[f"turn:{operation.value}"] = mark


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    found = Airflow({NAME: [WHO.run]})
    monkeypatch.setattr(lock_holder, "store", lambda _: found)
    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", found.count)
    monkeypatch.setattr(turn, "_PAUSE", 0.001)
    return found


def trigger(waits_for: str = "") -> turn.TurnTrigger:
    return turn.TurnTrigger(
        deployment=NAME,
        operation=WHO.operation.value,
        run=WHO.run,
        begun=WHO.begun,
        waits_for=waits_for,
        report={},
    )


def event_of(waiting: turn.TurnTrigger, seconds: float = 5) -> dict[str, Any]:
    async def first() -> TriggerEvent:
        async with asyncio.timeout(seconds):
            async for event in waiting.run():
                return event
        raise AssertionError("no event")

    found: dict[str, Any] = asyncio.run(first()).payload
    return found


def test_a_triggerer_only_reads_so_one_that_wakes_up_takes_down_nobodys_mark(airflow: Airflow) -> None:
    airflow.up(names.Operation.TERMINATE, "t-1")
    assert lock_holder.take(NAME, WHO) is not None
    assert airflow.marks["turn:launch"]["stage"] == "waits"
    with pytest.raises(TimeoutError):
        event_of(trigger(), seconds=0.1)
    airflow.running[f"{NAME}.terminate"] = []
    airflow.writes.clear()
    assert event_of(trigger()) == {"structured": [], "failures": []}
    assert lock_holder.take(NAME, WHO) is None
    # The frozen one wakes behind that, sees a termination that waits, and may say what it likes.
    airflow.up(names.Operation.TERMINATE, "t-2")
    assert event_of(trigger()) == {"structured": [], "failures": []}
    assert airflow.writes == ["turn:launch", "turn:launch"]
    assert airflow.marks["turn:launch"]["stage"] == "works"


def test_a_run_of_the_same_operation_that_works_is_waited_for(airflow: Airflow) -> None:
    airflow.up(names.Operation.LAUNCH, "run-0")
    airflow.running[NAME].append(WHO.run)
    busy = lock_holder.take(NAME, WHO)
    assert busy is not None
    assert "shop has been running since 2026-03-01 11:00:00 UTC, run run-0" in lock_holder.told(NAME, busy)
    assert airflow.writes == []
    airflow.running[NAME].remove("run-0")
    assert lock_holder.take(NAME, WHO) is None


def test_of_two_runs_without_a_turn_one_gives_way(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    assert turn.patience("run-1") != turn.patience("run-2")
    monkeypatch.setattr(turn, "patience", lambda _: 0.02)
    airflow.running[NAME].append("run-2")
    busy = lock_holder.take(NAME, WHO)
    assert busy == operation_lock.LockedBy(names.Operation.LAUNCH, None)
    ((message, transient),) = event_of(trigger())["failures"]
    assert "another run of shop is running too" in message
    assert not transient


def test_a_process_that_stood_still_writes_nothing(airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 31.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with pytest.raises(lock_holder.TurnTooSlowError) as raised:
        lock_holder.take(NAME, WHO)
    assert raised.value.transient
    assert airflow.writes == []


def test_the_first_step_behind_the_wait_sees_that_airflow_has_deleted_the_mark(airflow: Airflow) -> None:
    dag_run = types.SimpleNamespace(clear_number=0, start_date=datetime.datetime.fromisoformat(WHO.begun))
    context: Any = {"dag_run": dag_run}
    found = definition.loads(DEFINITION)
    first, second = (
        cast(
            "Any",
            types.SimpleNamespace(
                step=launch_plan(found).by_id[each], id=WHO.run, operation=WHO.operation, deployment=NAME
            ),
        )
        for each in ("find_lost", "tier-database.scale_up")
    )
    assert lock_holder.take(NAME, WHO) is None
    lock_holder.keep(context, first)
    # It is its turn still, if no other run has begun since then.
    airflow.marks.clear()
    lock_holder.keep(context, first)
    assert airflow.marks["turn:launch"]["stage"] == "works"
    airflow.marks.clear()
    airflow.up(names.Operation.SCALE, "run-2")
    with pytest.raises(lock_holder.NotItsTurnError, match=r"shop\.scale has been running"):
        lock_holder.keep(context, first)
    # By then nothing deletes it any more, and the other steps need not ask.
    lock_holder.keep(context, second)


class Step(base.StepOperator):
    """A step that must not be reached."""

    def perform(self, context: Any, run: Any) -> Any:  # noqa: ARG002 - the operators' signature
        raise AssertionError


@pytest.mark.parametrize(
    "task",
    [Step(task_id="step"), approval.ApproveOperator(task_id="approve", subject="Launch?")],
    ids=["step", "question"],
)
def test_a_backfill_is_refused_by_whatever_task_comes_first(task: Any) -> None:
    dag_run = types.SimpleNamespace(run_type="backfill", dag_id=NAME, clear_number=0)
    with pytest.raises(AirflowFailException) as raised:
        task.execute({"dag_run": dag_run})
    assert "shop cannot be backfilled" in str(raised.value)
    assert "trigger shop instead" in str(raised.value)
