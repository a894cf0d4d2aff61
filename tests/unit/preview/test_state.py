"""What a server would say after some work, as the agent's scripts would have it."""

from __future__ import annotations

import hashlib

from gantry import names
from gantry.agent import fan_out, jobs, session
from gantry.preview import state

SERVICE = names.ServiceId("a1")


def job(script: str, *arguments: str, **more: object) -> jobs.Job:
    return jobs.Job(script, script, arguments, 60, **more)  # type: ignore[arg-type]


def test_a_job_takes_notes_away_when_it_begins_and_leaves_its_own_when_it_succeeds() -> None:
    before = state.ServerState(marks={"a1/applied": "x", "a1/archive": "1", "a2/applied": "y"})
    work = fan_out.Work(
        (), (job("installService", mark=("a1/archive", "2"), unmark=("a1/archive", "a1/applied")),)
    )
    assert before.after(work).marks == {"a1/archive": "2", "a2/applied": "y"}
    assert before.marks["a1/applied"] == "x"


def test_a_service_that_was_stopped_is_not_ok_until_its_check_has_been_awaited() -> None:
    running = state.ServerState(checks={SERVICE: fan_out.OK})
    asked = fan_out.Questions(checked=SERVICE)
    stopped = running.after(fan_out.Work((), (job("stopService", SERVICE),)))
    assert not stopped.applied(asked).healthy
    again = stopped.after(
        fan_out.Work((), (job("startService", SERVICE), job("awaitService", SERVICE, "60")))
    )
    assert again.applied(asked).healthy
    assert not running.applied(fan_out.Questions()).healthy


def test_files_that_are_sent_are_there_unless_they_are_empty_or_go_with_their_job() -> None:
    sent = tuple(
        session.RemoteFile(f"/enstratus/{name}", content)
        for name, content in (("a", b"new"), ("b", b""), ("c", b"secret"))
    )
    before = state.ServerState(digests={"/enstratus/a": "old", "/enstratus/b": "old"})
    after = before.after(fan_out.Work(sent, (job("any", remove=("/enstratus/c",)),)))
    assert after.digests == {"/enstratus/a": hashlib.sha256(b"new").hexdigest()}
    assert after.applied(fan_out.Questions(files=("/enstratus/b",))).digests == {}
