"""The last step of a launch: what it says of one that has found nothing to do, and of one that was not complete."""

from __future__ import annotations

import datetime
import types
from collections.abc import Sequence
from typing import Any, cast

import pytest

from gantry import definition, inventory, plan, status
from gantry.agent import jobs
from gantry.operators import launch_finish, server_retirement
from gantry.runtime import lock_holder, run_history, xcom
from tests.unit.agent.world import DEFINITION, SERVERS
from tests.unit.operators.test_recovery import server
from tests.unit.operators.world import Instance, Run, Store

TIMES: list[status.Timeline] = []
"""What the last launches have recorded."""
BEGAN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).isoformat()


class Reporting(Instance):
    """A task instance in a run whose other tasks have reported something."""

    def __init__(self, reports: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self._reports = reports

    def xcom_pull(self, task_ids: Sequence[str], key: str) -> list[Any]:
        found = [self._reports.get(each) for each in task_ids]
        return [each for each in found if each is not None and key in ("return_value", "report")]


def finish(monkeypatch: pytest.MonkeyPatch, reports: dict[str, dict[str, Any]]) -> dict[str, Any]:
    known = definition.loads(DEFINITION)
    steps = plan.launch_plan(known)
    store = Store()
    monkeypatch.setattr(lock_holder, "store", lambda _: store)
    monkeypatch.setattr(server_retirement, "retire_all", lambda *_: ())
    monkeypatch.setattr(server_retirement, "remember", lambda _: None)
    monkeypatch.setattr(run_history, "close_record", lambda _, __, times, **___: TIMES.append(times))
    found = inventory.Inventory(tuple(server(each) for each in SERVERS))
    cloud = types.SimpleNamespace(find=lambda: found, note_arrived=lambda _: None)
    run = Run(
        definition=known,
        plan=steps,
        step=steps.by_id["finish_launch"],
        id="run",
        key=jobs.StepKey("abc.finish_launch", "0", "1"),
        wanted={},
        told=cloud,
    )
    operator = launch_finish.FinishLaunchOperator(task_id="finish_launch")
    return operator.perform(cast("Any", {"ti": Reporting(reports)}), run)


def report(**more: Any) -> dict[str, Any]:
    return {"servers": [], "started": BEGAN, "ended": BEGAN, **more}


def installed() -> datetime.datetime | None:
    """When services were installed in the last launch."""
    (found,) = (each for each in TIMES[-1].phases if each.phase is plan.Phase.INSTALL_SERVICES)
    return found.span.started


def test_a_launch_with_nothing_to_do_ends_with_all_running(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = finish(monkeypatch, {"turn": report(), "find_lost": report(**{xcom.UNCHANGED: True})})
    assert result["state"] == plan.DeploymentState.RUNNING.value
    said = capsys.readouterr().out
    assert "deployment bookshop is RUNNING" in said
    assert "skipped: nothing has changed" in said
    assert "skipped: no launch configuration names it" in said, "as before: phases that are in no launch"


def test_a_launch_that_has_skipped_what_has_nothing_to_do_is_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = {step.id: report() for step in plan.launch_plan(definition.loads(DEFINITION))}
    needless = [step for step in every if step.startswith("tier-") and not step.endswith("scale_up")]
    looked = {"find_lost": report(**{xcom.NEEDLESS: needless})}

    # A try before this one may have reported them.
    rest = {step: each for step, each in every.items() if step not in needless}
    for known in (every, rest):
        found = finish(monkeypatch, {**known, **looked})
        assert found["state"] == plan.DeploymentState.RUNNING.value

    # A step that a person has cleared later has run.
    later = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC).isoformat()
    assert installed() is None
    finish(
        monkeypatch, {**every, **looked, "tier-database.install_services": report(started=later, ended=later)}
    )
    assert installed() == datetime.datetime.fromisoformat(later)

    del every["service-app.configure"]
    with pytest.raises(launch_finish.StepsSkippedError) as error:
        finish(monkeypatch, {**every, **looked})
    assert error.value.steps == ("service-app.configure",)


def test_a_launch_whose_steps_someone_else_has_skipped_is_not_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(
        launch_finish.StepsSkippedError, match=r"tier-database\.scale_up.*\n.*Clear find_lost"
    ):
        finish(monkeypatch, {"turn": report(), "find_lost": report()})
    every = {step.id: report() for step in plan.launch_plan(definition.loads(DEFINITION))}
    del every["service-app.configure"]
    with pytest.raises(launch_finish.StepsSkippedError) as error:
        finish(monkeypatch, every)
    assert error.value.steps == ("service-app.configure",)


def test_a_complete_launch_skips_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    every = {step.id: report() for step in plan.launch_plan(definition.loads(DEFINITION))}
    assert finish(monkeypatch, every)["state"] in {each.value for each in plan.DeploymentState}
