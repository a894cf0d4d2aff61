"""What is kept of runs: opened, closed, and never more than there is room for."""

from __future__ import annotations

import json

from gantry.state import run_records
from gantry.state.run_records import Record, Result

LARGEST_STATE = 65_535
"""Airflow's own limit for a state, `[state_store] max_value_storage_bytes`."""


def record(number: int, reason: str = "a sale", **more: object) -> Record:
    began = f"2026-11-20T05:{number // 60:02}:{number % 60:02}+00:00"
    return Record("launch", f"manual__{number}", "ada", reason, began, **more)  # type: ignore[arg-type] # by name


def test_a_run_that_nobody_closed_counts_as_failed_when_the_next_one_begins() -> None:
    kept = run_records.opened((), record(1))
    assert [each.result for each in kept] == [Result.RUNNING]
    kept = run_records.opened(kept, record(2))
    assert [each.result for each in kept] == [Result.FAILED, Result.RUNNING]
    kept = run_records.closed(kept, record(2, result=Result.SUCCESS))
    kept = run_records.opened(kept, record(3))
    assert [each.result for each in kept] == [Result.FAILED, Result.SUCCESS, Result.RUNNING]


def test_a_run_that_begins_anew_has_one_record() -> None:
    kept = run_records.opened(run_records.opened((), record(1)), record(1))
    assert kept == (record(1),)


def test_what_is_kept_is_read_again_and_what_nobody_can_read_is_left() -> None:
    kept = run_records.closed((), record(1, result=Result.SUCCESS, versions={"app": "v1"}, ended=("a-1",)))
    assert run_records.load(json.loads(json.dumps(run_records.dump(kept)))) == kept
    assert run_records.load(None) == ()
    assert run_records.load([{"something": "else"}]) == ()


def test_what_ran_before_is_what_the_last_run_left_that_succeeded() -> None:
    launch = record(1, result=Result.SUCCESS, versions={"app": "v1"})
    failed = record(2, result=Result.FAILED)
    assert run_records.versions_after((launch, failed)) == {"app": "v1"}
    termination = Record(
        "terminate", "t", "ada", "", record(3).began, result=Result.SUCCESS, ended=("shop-app-1",)
    )
    assert run_records.versions_after((termination, launch, failed)) == {}
    assert run_records.versions_after(()) == {}


def test_the_records_of_an_operation_never_outgrow_what_airflow_keeps() -> None:
    kept: run_records.Records = ()
    for number in range(run_records.MOST + 5):
        full = record(
            number,
            reason="because " * 100,
            result=Result.SUCCESS,
            over="2026-11-20T06:00:00+00:00",
            versions={f"service-{n}": "0123456789abcdef0123456789abcdef" for n in range(5)},
            versions_before={f"service-{n}": "0123456789abcdef0123456789abcdef" for n in range(5)},
            started={f"shop-application-{n}": f"i-0123456789{n:07}" for n in range(10)},
            phases={f"phase of the launch {n}": 12.3 for n in range(8)},
            critical_path={f"service-number-{n}.configure": 12.3 for n in range(10)},
        )
        kept = run_records.closed(run_records.opened(kept, record(number)), full)
    assert len(kept) <= run_records.MOST
    assert kept[-1].run == f"manual__{run_records.MOST + 4}"
    assert len(json.dumps(run_records.dump(kept))) < LARGEST_STATE


def test_even_records_of_huge_deployments_do_not() -> None:
    kept: run_records.Records = ()
    for number in range(5):
        huge = record(
            number,
            versions={f"service-{n}": "0123456789abcdef" * 4 for n in range(300)},
            started={f"shop-application-{n}": f"i-{n:017}" for n in range(1000)},
        )
        kept = run_records.closed(kept, huge)
    assert kept[-1].run == "manual__4"
    assert len(json.dumps(run_records.dump(kept))) < LARGEST_STATE
