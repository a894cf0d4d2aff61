"""When a task's log is written to its end."""

from __future__ import annotations

import datetime

import pytest

from gantry.rest import logs

BEGUN = ("::group::Pre Execute", "reading", "::endgroup::", "working")
PAUSED = (*BEGUN, "::group::Post Execute", "Pausing task as DEFERRED. ", "::endgroup::")
END = ("::group::Post Execute", "::endgroup::")
ENDED = datetime.datetime(2026, 11, 20, 4, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("texts", "whole"),
    [
        ((), True),
        (BEGUN, False),
        ((*BEGUN, "::group::Post Execute"), False),
        ((*BEGUN, *END), True),
        (PAUSED, False),
        ((*PAUSED, "following", "trigger completed"), True),
        ((*PAUSED, "trigger completed", *BEGUN), False),
        ((*PAUSED, "trigger completed", *BEGUN, *END), True),
    ],
)
def test_a_log_is_whole_when_the_last_that_worked_has_closed_it(
    texts: tuple[str, ...], *, whole: bool
) -> None:
    lines = [logs.ApiLogLine(text) for text in texts]
    assert logs.is_whole(lines) is whole
    soon = ENDED + datetime.timedelta(seconds=1)
    assert logs.may_grow(lines, "success", ENDED.isoformat(), soon) is not whole
    assert not logs.may_grow(lines, "running", None, soon)
    assert not logs.may_grow(lines, "failed", ENDED.isoformat(), ENDED + 2 * logs.LAST_LINES_OF_TRIGGERER)


@pytest.mark.parametrize(
    ("texts", "grows"), [(BEGUN, False), (PAUSED, True), ((*PAUSED, "trigger completed", *BEGUN), False)]
)
def test_a_triggerers_last_lines_may_come_later_than_a_workers(
    texts: tuple[str, ...], *, grows: bool
) -> None:
    lines = [logs.ApiLogLine(text) for text in texts]
    late = ENDED + logs.LAST_LINES + datetime.timedelta(seconds=1)
    assert logs.may_grow(lines, "success", ENDED.isoformat(), late) is grows
