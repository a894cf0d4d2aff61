"""What Airflow has stored of an earlier Gantry goes on after an upgrade: triggers and callbacks, by their path."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow._shared.module_loading import import_string
from airflow.triggers.base import BaseTrigger

from gantry import errors, names
from gantry.agent import jobs, ssh
from gantry.runtime import lock_holder
from gantry.triggers import server_work

REPORT = {"servers": ["shop-web-1"], "started": "2026-11-30T00:00:00+00:00"}
LOGIN = {"connection": "shop_ssh"}
STORED: dict[str, dict[str, Any]] = {
    "gantry.operators.triggers.JobsTrigger": {
        "everything": [], "login": LOGIN, "step": "abc.service-app.configure", "epoch": "2", "attempt": "1",
        "report": REPORT,
    },
    "gantry.operators.triggers.HandshakeTrigger": {
        "definition": {"deployment": "shop"}, "login": LOGIN, "wanted": ["shop-web-1"], "deadline": 1.0e9,
        "report": REPORT,
    },
    "gantry.operators.turn.TurnTrigger": {
        "deployment": "shop", "operation": "launch", "run": "r1", "begun": "2026-11-30T00:00:00+00:00",
        "waits_for": "another", "report": REPORT,
    },
}  # fmt: skip
"""As the table of triggers of an Airflow held them: the class's path, and its keywords."""


@pytest.mark.parametrize("path", STORED)
def test_a_stored_trigger_is_found_and_is_stored_by_its_new_path_from_then_on(path: str) -> None:
    trigger: BaseTrigger = import_string(path)(**STORED[path])
    now, keywords = trigger.serialize()
    assert now.startswith("gantry.triggers.")
    again: BaseTrigger = import_string(now)(**keywords)
    assert type(again) is type(trigger)
    assert again.serialize() == (now, keywords)


def test_the_progress_of_servers_is_read_as_it_was_stored() -> None:
    target = ssh.Target(names.ServerName("shop-web-1"), "i-1", "10.0.0.1", "ssh-ed25519 AAAA")
    failure = errors.Failure("web-1: no answer", "it was off", "Switch it on.", transient=True)
    (now,) = server_work.dump([jobs.ServerProgress(target, (), failure=failure)])
    assert server_work.load([now])[0].failure == failure
    rest = {key: value for key, value in now.items() if key != "failure"}
    for key in ("transient", "passing"):
        assert server_work.load([{**rest, "error": str(failure), key: True}]) == server_work.load([now])
        assert server_work.load([{**rest, "error": "", key: False}])[0].failure is None


def test_a_run_that_waited_before_the_upgrade_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    path = "gantry.operators.turn.TurnTrigger"
    trigger: BaseTrigger = import_string(path)(**STORED[path])
    monkeypatch.setattr(lock_holder, "look_again", lambda *_: None)

    async def first() -> Any:
        async for event in trigger.run():
            return event.payload
        return None

    assert asyncio.run(first()) == {"structured": [], "failures": []}


def test_the_callback_of_a_deadline_that_was_set_before_is_found() -> None:
    from gantry.runtime import notifiers  # noqa: PLC0415 - Airflow's notifiers, which the others need not load

    assert import_string("gantry.operators.notifying.deadline_passed") is import_string(
        notifiers.DEADLINE_PASSED
    )
