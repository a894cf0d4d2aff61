"""Which failures Airflow tries again: those that may pass, and those that the definition says so of."""

from __future__ import annotations

import types
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from gantry import definition, errors, plan
from gantry.agent import fan_out, jobs
from gantry.operators import base
from gantry.reconcile import step_run
from gantry.runtime import failures, lock_holder, task_run
from gantry.state import kept_failures
from tests.unit.operators.world import Store


class Failing(base.StepOperator):
    """A step that fails as it is told."""

    error: errors.GantryError

    def perform(self, context: Any, run: step_run.StepRun) -> Any:  # noqa: ARG002 - the operators' signature
        raise self.error


class MistakeError(errors.GantryError):
    """Something that a person has to mend."""


SCRIPT = fan_out.StepFailedError([errors.Failure("db-1: startService failed with exit code 7")])
LOST = fan_out.StepFailedError([errors.Failure("db-1: no SSH connection", transient=True)])
SAID = "steps: {configure: {retries: 1}}\n"


def context(**more: Any) -> Any:
    """The context of a task."""
    instance = {
        "dag_id": "bookshop",
        "run_id": "manual",
        "task_id": "failing",
        "map_index": -1,
        "try_number": 1,
    }
    return {
        "ti": types.SimpleNamespace(**instance | more),
        "dag_run": types.SimpleNamespace(clear_number=0, run_type="manual"),
    }


def outcome(
    monkeypatch: pytest.MonkeyPatch, text: str, error: errors.GantryError, step: str = "service-db.configure"
) -> type[Exception]:
    known = definition.loads(text)
    steps = plan.launch_plan(known)
    run = step_run.StepRun(
        definition=known,
        plan=steps,
        step=steps.by_id[step],
        id="manual",
        key=jobs.StepKey(step, "0", "1"),
        wanted={},
    )
    monkeypatch.setattr(task_run, "run_of", lambda _: run)
    operator = Failing(task_id="failing")
    operator.error = error
    with pytest.raises(AirflowException) as raised:
        operator.execute(context())
    here = type(raised.value)
    if isinstance(error, fan_out.StepFailedError):
        # What the triggerer met is treated alike.
        event = failures.event(error.failures)
        # That of a triggerer of an earlier Gantry has texts only.
        for each in (event, {"failures": event["failures"]}):
            with pytest.raises(AirflowException) as there:
                operator.resume({}, each)
            assert type(there.value) is here
            assert str(there.value) == str(raised.value)
    return here


@pytest.mark.parametrize(
    ("said", "error", "step", "expected"),
    [
        ("", SCRIPT, "service-db.configure", AirflowFailException),
        ("", LOST, "service-db.configure", AirflowException),
        ("retries: 9\n", SCRIPT, "service-db.configure", AirflowFailException),
        ("steps: {configure: {pool: x}}\n", SCRIPT, "service-db.configure", AirflowFailException),
        (SAID, SCRIPT, "service-db.configure", AirflowException),
        (SAID, SCRIPT, "service-db.install_datasources", AirflowFailException),
        (SAID, MistakeError("the archive is not there"), "service-db.configure", AirflowFailException),
    ],
)
def test_what_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
    bookshop_text: str,
    said: str,
    error: errors.GantryError,
    step: str,
    expected: type[Exception],
) -> None:
    assert outcome(monkeypatch, bookshop_text + said, error, step) is expected


def test_a_failure_says_first_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bookshop_text: str
) -> None:
    told = "\nIt said: no such file\nMend the script and clear this task."
    error = fan_out.StepFailedError(
        [
            errors.Failure.of(f"db-1: it failed{told}"),
            errors.Failure.of(f"db-2: it failed{told}"),
            errors.Failure.of("db-3: no key; make one"),
        ]
    )
    outcome(monkeypatch, bookshop_text, error)
    lines = [line for line in capsys.readouterr().out.splitlines() if "what to do" in line]
    # Once by the worker, and once for each event of a triggerer; not once for each server.
    assert len(lines) == 3
    assert all("what to do: Mend the script and clear this task." in line for line in lines)


@pytest.mark.parametrize(("number", "left"), [(1, ["manual"]), (2, [])])
def test_a_further_try_begins_without_what_the_one_before_it_left_beside_the_record(
    monkeypatch: pytest.MonkeyPatch, bookshop_text: str, number: int, left: list[str]
) -> None:
    key = kept_failures.key("launch", ("failing", -1))
    store = Store({key: kept_failures.dump((kept_failures.FailedTry("manual", "", (errors.Failure("x"),)),))})
    monkeypatch.setattr(lock_holder, "store", lambda _: store)
    known = definition.loads(bookshop_text)
    steps = plan.launch_plan(known)
    run = step_run.StepRun(
        known, steps, steps.by_id["turn"], "manual", jobs.StepKey("turn", "0", "1"), wanted={}
    )
    monkeypatch.setattr(task_run, "run_of", lambda _: run)
    monkeypatch.setattr(base.StepOperator, "perform", lambda *_: None)
    base.StepOperator(task_id="failing").execute(context(try_number=number))
    assert [each.run for each in kept_failures.load(store[key])] == left
