"""A task's log: levels, servers, scripts, and what it failed with."""

from __future__ import annotations

import datetime

import pytest

from gantry import status
from gantry.web.views import log_lines, rendering

AT = datetime.datetime(2026, 11, 27, 9, 0, 3, tzinfo=datetime.UTC)


def test_lines_say_whose_they_are_and_of_which_script() -> None:
    found = log_lines.lines(
        log_lines.Event(text, "info", AT)
        for text in (
            "driving 2 servers",
            "[shop-web-1] $ installService c100 a1001",
            "[shop-web-2] $ configureService c100 a1001",
            "[shop-web-1] unpacked",
            "[shop-web-2] written",
        )
    )
    assert [(each.server, each.script, each.is_call, each.text) for each in found] == [
        ("", "", False, "driving 2 servers"),
        ("shop-web-1", "installService", True, "$ installService c100 a1001"),
        ("shop-web-2", "configureService", True, "$ configureService c100 a1001"),
        ("shop-web-1", "installService", False, "unpacked"),
        ("shop-web-2", "configureService", False, "written"),
    ]


def test_a_task_of_one_server_has_no_prefix() -> None:
    (_, line) = log_lines.lines([log_lines.Event("$ startService a1001"), log_lines.Event("listening")])
    assert (line.server, line.script) == ("", "startService")


def test_what_is_said_of_a_script_is_not_said_by_it() -> None:
    (_, line) = log_lines.lines(
        [log_lines.Event("$ startService a1001", "info"), log_lines.Event("failed", "error")]
    )
    assert line.script == ""


def test_where_the_log_was_found_and_what_folds_it_is_left_out() -> None:
    found = log_lines.lines(
        log_lines.Event(text)
        for text in (
            "::group::Log message source details sources=['x']", "/opt/airflow/logs/x", "::endgroup::", "said",
            "::group::Post task execution logs", "said too", "::endgroup::",
        )
    )  # fmt: skip
    assert [each.text for each in found] == ["said", "said too"]


def test_airflows_messages_become_events() -> None:
    message = {
        "event": "Task failed with exception", "level": "ERROR", "timestamp": "2026-11-27T09:00:03Z",
        "error_detail": [
            {"exc_type": "StepFailedError", "exc_value": "web-1: no answer: gone"},
            {"exc_type": "OSError", "exc_value": "x"},
        ],
    }  # fmt: skip
    event = log_lines.event(message)
    assert event == log_lines.Event(
        "Task failed with exception", "error", AT, ("StepFailedError: web-1: no answer: gone", "OSError: x")
    )
    assert log_lines.failure([log_lines.Event("before"), event]) == "web-1: no answer: gone"
    assert [line.level for line in log_lines.lines([event])] == ["error", "error", "error"]
    assert log_lines.event({"event": "plain"}) == log_lines.Event("plain")
    assert log_lines.event({"event": "x", "timestamp": AT}).at == AT


def test_the_error_is_the_one_that_the_task_has_failed_with_and_no_other() -> None:
    trouble = log_lines.Event("a notifier is not well", "warning", errors=("OSError: no route to the mail",))
    failed = log_lines.Event("Task failed with exception", "error", errors=("StepFailedError: web-1: gone",))
    assert log_lines.failure([trouble, failed, trouble]) == "web-1: gone"
    assert log_lines.failure([trouble, log_lines.Event("all done", "info")]) == ""


def test_a_task_that_did_not_fail_failed_with_nothing() -> None:
    assert log_lines.failure([log_lines.Event("all is well", "info")]) == ""
    assert log_lines.failure([]) == ""


@pytest.mark.parametrize(
    ("state", "seconds", "over"),
    [
        (status.TaskState.FAILED, 60, "over"),
        # Its last words may not have been written yet.
        (status.TaskState.FAILED, 3, "not over"),
        (status.TaskState.RUNNING, 60, "not over"),
        (status.TaskState.UP_FOR_RETRY, 60, "not over"),
        (status.TaskState.DEFERRED, 60, "not over"),
    ],
)
def test_a_log_is_read_until_its_last_words_are_there(
    state: status.TaskState, seconds: int, over: str
) -> None:
    task = status.TaskView("service-app.configure", state=state, started=AT, ended=AT)
    assert log_lines.is_over(task, AT + datetime.timedelta(seconds=seconds)) is (over == "over")


def test_what_a_server_says_is_escaped_and_levels_are_named() -> None:
    text = _rendered(
        log_lines.lines(
            [
                log_lines.Event("[shop-web-1] <script>alert(1)</script>", "info", AT),
                log_lines.Event("the disk is full", "warning", AT),
                log_lines.Event("no more", "error", AT),
            ]
        ),
        again="/log",
    )
    assert "<script" not in text
    assert '<span class="level">warning</span>' in text
    assert '<span class="level">error</span>' in text
    assert '<span class="server">shop-web-1</span>' in text
    assert 'hx-get="/log" hx-trigger="every 2s"' in text
    assert 'data-most="1000"' in text


def test_a_log_that_is_over_is_not_asked_for_again() -> None:
    text = _rendered((), again=None)
    assert "hx-trigger" not in text
    assert "The log is empty" in text


def test_a_failure_says_first_what_to_do() -> None:
    text = _rendered((), again=None, failure="web-1: it failed: <full>\nMend it & clear this task.")
    before, first, after = text.partition("<b>Mend it &amp; clear this task.</b>")
    assert first
    assert "web-1: it failed: &lt;full&gt;" in after
    assert "it failed" not in before
    assert "<b>" not in _rendered((), again=None, failure="web-1: no key; make one").partition("note bad")[2]


def _rendered(lines: tuple[log_lines.ShownLine, ...], again: str | None, failure: str = "") -> str:
    found = log_lines.TaskLog(
        title="service app: configure", servers="shop-web-1", state=status.TaskState.RUNNING, try_number=1, took=None,
        href="/dags/x", again=again, lines=lines, left_out=0, failures=(), logged=failure,
    )  # fmt: skip
    return rendering.render("parts/task_log.html.jinja", rendering.Site("/gantry"), log=found, most=1000)
