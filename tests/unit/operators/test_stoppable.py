"""What ends a task's process is asked of Airflow: a person's mark ends the scripts, a worker's shutdown does not."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowTaskTimeout
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from gantry import names
from gantry.agent import fan_out, jobs, ssh
from gantry.credentials import connections
from gantry.operators import stoppable
from gantry.runtime import lock_holder, recent_starts, task_run
from gantry.triggers import server_work

INSTANCE = types.SimpleNamespace(dag_id="shop", run_id="r", task_id="configure", map_index=2, try_number=1)
SERVER = names.ServerName("shop-web-1")


class NoAnswerError(Exception):
    """What Airflow's client says when the API server is away."""


@dataclasses.dataclass
class Airflow:
    """What Airflow says of the task instance: a state, that there is none, or nothing at all."""

    state: str | type[NoAnswerError] | None = "running"
    deleted: bool = False
    asked: int = 0
    answers: threading.Event = dataclasses.field(default_factory=threading.Event)

    def states(self, **asked: Any) -> dict[str, dict[str, str | None]]:
        assert asked == {"dag_id": "shop", "task_ids": ["configure"], "run_ids": ["r"], "map_index": 2}
        self.asked += 1
        assert self.answers.wait(20)
        if self.deleted:
            return {}
        if not (self.state is None or isinstance(self.state, str)):
            raise self.state
        return {"r": {"configure_2": self.state}}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Airflow:
    found = Airflow()
    found.answers.set()
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", found.states)
    return found


class Operator(stoppable.StoppableOperator):
    """A step whose script runs until it is ended; `ended` says what was done about it."""

    ended: bool = False
    reached: Callable[[], None] = staticmethod(lambda: None)

    async def end(self, unconfirmed: set[names.ServerName]) -> None:
        unconfirmed.add(SERVER)
        self.ended = True
        unconfirmed.clear()

    def run_script(self) -> bool:
        async def work() -> None:
            self.reached()
            await asyncio.sleep(20)

        return self.follow(work)


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    found = Operator(task_id="configure")
    found._instance = INSTANCE
    # What Airflow's task runner does, and a signal in the middle of the work.
    before = signal.signal(signal.SIGTERM, lambda *_: found.on_kill())
    found.reached = lambda: threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    yield found
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("state", ["running", "up_for_retry", "queued", NoAnswerError])
def test_a_shutdown_and_silence_are_no_verdict(
    airflow: Airflow, operator: Operator, state: str | type[NoAnswerError]
) -> None:
    airflow.state = state
    assert operator.run_script() is False
    assert airflow.asked == 1
    assert not operator.ended


@pytest.mark.parametrize(
    ("state", "why"),
    [
        ("failed", "marked as failed"),
        ("success", "marked as success"),
        ("restarting", "cleared"),
        (None, "cleared"),
        ("skipped", "dagrun_timeout"),
        ("removed", "removed"),
    ],
)
def test_a_mark_and_the_runs_end_are(
    airflow: Airflow, operator: Operator, state: str | None, why: str
) -> None:
    airflow.state = state
    with pytest.raises(stoppable.TaskEndedError, match=why):
        operator.run_script()
    assert operator.ended


def test_a_run_that_was_deleted_is_ended(airflow: Airflow, operator: Operator) -> None:
    airflow.deleted = True
    with pytest.raises(stoppable.TaskEndedError, match="deleted"):
        operator.run_script()


def test_an_answer_that_comes_late_still_counts(
    airflow: Airflow, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stoppable, "_ANSWER", 0.01)
    airflow.state = "failed"
    airflow.answers.clear()
    threading.Timer(0.5, airflow.answers.set).start()
    with pytest.raises(stoppable.TaskEndedError):
        operator.run_script()
    assert operator.ended


def test_without_an_answer_the_process_does_not_wait_for_it(
    airflow: Airflow, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stoppable, "_ANSWER", 0.01)
    monkeypatch.setattr(stoppable, "_UNTIL_KILLED", 0.2)
    airflow.answers.clear()
    began = time.monotonic()
    assert operator.run_script() is False
    airflow.answers.set()
    assert time.monotonic() - began < 60
    assert not operator.ended


def test_a_process_that_has_to_end_begins_nothing_new(airflow: Airflow, operator: Operator) -> None:
    operator.on_kill()
    operator.reached = pytest.fail
    assert operator.run_script() is False
    airflow.state = "failed"
    operator.on_kill()
    with pytest.raises(stoppable.TaskEndedError):
        operator.run_script()


def test_a_time_that_is_up_needs_no_answer(airflow: Airflow, operator: Operator) -> None:
    operator._instance = None
    operator.perform = lambda *_: (_ for _ in ()).throw(AirflowTaskTimeout())  # type: ignore[method-assign]
    context: Any = {
        "ti": INSTANCE,
        "dag_run": types.SimpleNamespace(run_type="manual", clear_number=0),
    }
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(task_run, "run_of", lambda _: types.SimpleNamespace(until=0.0, bundle=""))
        patched.setattr(recent_starts, "aware", lambda run: run)
        patched.setattr(lock_holder, "keep", lambda *_: None)
        with pytest.raises(AirflowTaskTimeout):
            operator.execute(context)
    operator.on_kill()
    assert operator.ended
    assert airflow.asked == 0


def test_servers_that_have_not_confirmed_are_named(
    airflow: Airflow, operator: Operator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stoppable, "_UNTIL_KILLED", 0.2)
    airflow.state = "failed"

    async def slow(unconfirmed: set[names.ServerName]) -> None:
        unconfirmed.add(SERVER)
        await asyncio.sleep(0.5)

    operator.end = slow  # type: ignore[method-assign]
    operator.on_kill()
    assert f"not confirmed yet: {SERVER}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("state", "kills"),
    [
        ("deferred", 0),
        ("up_for_retry", 0),
        (NoAnswerError, 0),
        ("failed", 1),
        (None, 1),
        ("scheduled", 1),
        ("skipped", 1),
    ],
)
def test_a_triggerer_that_wakes_up_leaves_the_scripts_to_the_one_that_follows_them_now(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch, state: Any, kills: int
) -> None:
    airflow.state = state
    calls = []

    async def kill(*arguments: Any) -> None:
        calls.append(arguments)

    monkeypatch.setattr(fan_out, "kill", kill)
    monkeypatch.setattr(connections, "access", lambda _: "access")
    target = ssh.Target(SERVER, "i-1", "10.0.0.1", "key")
    trigger = server_work.JobsTrigger(
        everything=server_work.dump([jobs.ServerProgress(target, ())]),
        login={"connection": "ssh"},
        step="abc.configure",
        epoch="2",
        attempt="1",
        report={},
    )
    trigger.task_instance = INSTANCE  # type: ignore[assignment]
    asyncio.run(trigger.on_kill())
    assert len(calls) == kills
