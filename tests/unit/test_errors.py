"""An error as data: its parts, the server and the script, and the way to JSON and back."""

from __future__ import annotations

import pytest

from gantry import errors, names
from gantry.agent import errors as agent_errors
from gantry.agent import fan_out

SERVER = names.ServerName("shop-web-1")


@pytest.mark.parametrize(
    ("message", "headline", "detail", "advice"),
    [
        ("web-1: no key; make one", "web-1: no key; make one", "", ""),
        ("web-1: it failed\nMend it.", "web-1: it failed", "", "Mend it."),
        ("it failed. Its output:\none\n\ntwo\nMend it.", "it failed. Its output:", "one\n\ntwo", "Mend it."),
    ],
)
def test_a_message_has_a_headline_details_and_an_advice(
    message: str, headline: str, detail: str, advice: str
) -> None:
    found = errors.Failure.of(message, transient=True)
    assert found == errors.Failure(headline, detail, advice, transient=True)
    assert str(found) == message


def test_a_script_that_failed_says_where_and_how() -> None:
    found = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "no database").failure
    assert (found.server, found.script, found.code, found.transient) == (SERVER, "startService", 7, False)
    assert found.detail == "no database"
    assert found.advice.startswith("Fix the cause and clear this task")


def test_a_server_that_is_not_reached_has_no_script() -> None:
    found = agent_errors.ConnectionLostError(SERVER, "10.0.0.1", "timed out").failure
    assert (found.server, found.script, found.code, found.transient) == (SERVER, "", None, True)


def test_a_step_has_the_failures_of_all_its_servers() -> None:
    lost = agent_errors.ConnectionLostError(SERVER, "10.0.0.1", "timed out").failure
    failed = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "").failure
    assert fan_out.StepFailedError([lost, failed]).failures == (lost, failed)
    assert not fan_out.StepFailedError([lost, failed]).transient
    assert fan_out.StepFailedError([lost]).transient


def test_what_is_stored_is_read_again_and_what_is_not_known_is_left_out() -> None:
    failure = agent_errors.ScriptFailedError(SERVER, "startService a1001", 7, "no database").failure
    later = failure.dump() | {"of_a_later_gantry": 1}
    assert errors.Failure.load_all([later, failure.dump()]) == (failure, failure)


@pytest.mark.parametrize("stored", [None, "text", {"headline": "x"}, [1], [{}]])
def test_what_is_no_list_of_failures_is_none(stored: object) -> None:
    assert errors.Failure.load_all(stored) == ()
