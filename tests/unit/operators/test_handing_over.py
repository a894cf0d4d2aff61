"""A worker that is shut down leaves its scripts to the triggerer, or to the next try; real signals, no servers."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from gantry import definition, inventory, names, plan
from gantry.agent import fan_out, jobs, ssh
from gantry.credentials import connections
from gantry.operators import server_step
from gantry.reconcile import data_placement, step_run, step_work
from gantry.runtime import lock_holder, task_run
from gantry.triggers import server_work
from tests.unit.agent.world import DEFINITION
from tests.unit.operators.world import Store

STEP = "service-db.configure"
SERVER = names.ServerName("bookshop-database-1")
JOB = jobs.Job("start", "startService", ("a1001",), 60)
INSTANCE = types.SimpleNamespace(
    dag_id="bookshop",
    run_id="r",
    task_id=STEP,
    map_index=0,
    try_number=1,
    start_date=datetime.datetime(2026, 3, 1, tzinfo=datetime.UTC),
)
CONTEXT: Any = {
    "ti": INSTANCE,
    "dag_run": types.SimpleNamespace(run_type="manual", clear_number=0, start_date=None, dag_id="bookshop"),
}


class Airflow:
    """What Airflow says of the task instance."""

    state = "running"

    def states(self, **_: Any) -> dict[str, dict[str, str]]:
        return {"r": {f"{STEP}_0": self.state}}


class Server:
    """A server on which a script runs for as long as it is let."""

    def __init__(self) -> None:
        self.preparing = False
        self.kills = 0

    def stop_worker(self) -> None:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()

    async def prepare(self, everything: list[jobs.ServerProgress], *_: Any) -> None:
        if self.preparing:
            self.stop_worker()
            await asyncio.sleep(20)
        for each in everything:
            each.jobs = (JOB,)

    async def carry_out(self, everything: list[jobs.ServerProgress], *_: Any, **__: Any) -> bool:
        for each in everything:
            each.generation, each.started, each.offset = "1", 1000.0, 7
        self.stop_worker()
        await asyncio.sleep(20)
        return False

    async def kill(self, *_: Any) -> None:
        self.kills += 1


class Step(server_step.ServerStepOperator):
    def targets(self, run: step_run.StepRun) -> list[ssh.Target]:  # noqa: ARG002 - the operators' signature
        return [ssh.Target(SERVER, "i-1", "10.0.0.11", "key")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server()
    monkeypatch.setattr(fan_out, "prepare", found.prepare)
    monkeypatch.setattr(fan_out, "carry_out", found.carry_out)
    monkeypatch.setattr(fan_out, "kill", found.kill)
    return found


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    found = Airflow()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", found.states)
    return found


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> Iterator[Step]:
    known = definition.loads(DEFINITION)
    steps = plan.launch_plan(known)
    run = step_run.StepRun(
        definition=known,
        plan=steps,
        step=steps.by_id[STEP],
        id="r",
        key=jobs.StepKey(f"abc.{STEP}", "2", "1"),
        wanted={},
    )
    monkeypatch.setattr(task_run, "run_of", lambda _: run)
    monkeypatch.setattr(step_run.StepRun, "inventory", inventory.Inventory(()))
    monkeypatch.setattr(connections, "access", lambda _: ssh.Access(ssh.Login("launcher", "key")))
    monkeypatch.setattr(step_work, "decide", lambda _: None)
    monkeypatch.setattr(lock_holder, "store", lambda _: Store())
    monkeypatch.setattr(data_placement, "settle", lambda *_: None)
    found = Step(task_id="configure", servers=[SERVER])
    # As Airflow's task runner does it.
    before = signal.signal(signal.SIGTERM, lambda *_: found.on_kill())
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_worker_that_is_shut_down_leaves_its_script_to_the_triggerer(
    airflow: Airflow, server: Server, step: Step
) -> None:
    assert airflow.state == "running"
    with pytest.raises(TaskDeferred) as deferred:
        step.execute(CONTEXT)
    trigger = deferred.value.trigger
    assert isinstance(trigger, server_work.JobsTrigger)
    (left,) = trigger.serialize()[1]["everything"]
    assert (left["target"]["name"], left["generation"], left["offset"]) == (SERVER, "1", 7)
    assert server.kills == 0


def test_before_its_script_has_begun_the_task_is_tried_again(
    airflow: Airflow, server: Server, step: Step
) -> None:
    assert airflow.state == "running"
    server.preparing = True
    with pytest.raises(AirflowException, match="the next try of this task follows them") as failed:
        step.execute(CONTEXT)
    # Airflow tries again after the one, and not after the other.
    assert not isinstance(failed.value, AirflowFailException)
    assert server.kills == 0


def test_a_mark_ends_the_script_and_hands_nothing_over(airflow: Airflow, server: Server, step: Step) -> None:
    airflow.state = "failed"
    with pytest.raises(AirflowFailException, match="the task was marked as failed"):
        step.execute(CONTEXT)
    assert server.kills == 1
