"""What is kept of failed tasks: read again, tried again, and never more than there is room for."""

from __future__ import annotations

import json

import pytest

from gantry import errors
from gantry.state import kept_failures
from gantry.state.kept_failures import FailedTry
from tests.unit.state.test_run_records import LARGEST_STATE

FAILURE = errors.Failure("db-1: it failed", "no disk left", "Buy a disk.", "db-1", "startService", 7)
TASK = ("service-db.start", 3)


def tried(run: str, *failures: errors.Failure) -> FailedTry:
    return FailedTry(run, "2026-11-20T05:00:00+00:00", failures or (FAILURE,))


def test_what_is_kept_is_read_again_by_run() -> None:
    single = ("finish_launch", -1)
    kept = {
        kept_failures.key("launch", TASK): json.loads(
            json.dumps(kept_failures.dump((tried("r1"), tried("r2"))))
        ),
        kept_failures.key("launch", single): kept_failures.dump((tried("r2", errors.Failure("late")),)),
        kept_failures.key("scale", TASK): kept_failures.dump((tried("r2"),)),
        "history:launch": [],
    }
    assert kept_failures.of_run(kept, "launch", "r1") == {TASK: tried("r1")}
    assert set(kept_failures.of_run(kept, "launch", "r2")) == {TASK, single}
    assert kept_failures.of_run(kept, "launch", "r3") == {}


@pytest.mark.parametrize("kept", [None, "text", {"run": "r"}, [None, {"at": "2026"}, {"run": 7}]])
def test_what_this_gantry_cannot_read_is_left_out(kept: object) -> None:
    assert kept_failures.load(kept) == ()


def test_fields_of_a_later_gantry_are_left_out() -> None:
    kept = [{"run": "r", "at": "", "new": 1, "failures": [{"headline": "it failed", "new": 2}]}]
    assert kept_failures.load(kept) == (FailedTry("r", "", (errors.Failure("it failed"),)),)


def test_a_run_has_its_last_failed_try_and_a_task_those_of_its_last_runs() -> None:
    kept: kept_failures.FailedTries = ()
    for number in range(kept_failures.MOST + 2):
        kept = kept_failures.added(kept, tried(f"r{number}", errors.Failure("first try")))
        kept = kept_failures.added(kept, tried(f"r{number}"))
    assert [each.run for each in kept] == [f"r{number}" for number in range(2, kept_failures.MOST + 2)]
    assert {each.failures for each in kept} == {(FAILURE,)}
    assert [each.run for each in kept_failures.without(kept, "r3")] == ["r2", "r4", "r5", "r6"]


@pytest.mark.parametrize("letter", ["x", "ü", "\N{SNOWMAN}"])
def test_however_much_failed_it_fits(letter: str) -> None:
    kept: kept_failures.FailedTries = ()
    failures = [
        errors.Failure(
            letter * 900, f"{letter * 90}\n" * 100, letter * 900, f"db-{number}", "startService", 1
        )
        for number in range(200)
    ]
    for number in range(3):
        kept = kept_failures.added(kept, tried(f"r{number}", *failures))
    assert len(json.dumps(kept_failures.dump(kept))) < LARGEST_STATE * (1 if letter == "x" else 3)
    *shown, last = kept[-1].failures
    assert (kept[-1].run, len(shown)) == ("r2", 20)
    assert last.headline == "180 more failures of this task were not kept"


def test_of_a_long_detail_the_end_is_kept() -> None:
    detail = "\n".join(f"line {number} {'x' * 90}" for number in range(100))
    ((kept,),) = (
        each.failures for each in kept_failures.added((), tried("r", errors.Failure("it failed", detail)))
    )
    assert detail.endswith(kept.detail)
    assert len(kept.detail) == 4_000
