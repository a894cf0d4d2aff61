"""What a run's jobs are called, and when its time is up."""

from __future__ import annotations

import dataclasses
import datetime
import types
from typing import Any

import pytest

from gantry import definition, names
from gantry.dag.compile import operation_dag
from gantry.operators import base
from gantry.runtime import lock_holder
from gantry.runtime import task_run as tasks

BEGAN = datetime.datetime(2026, 3, 1, 12, 0, tzinfo=datetime.UTC)


@dataclasses.dataclass
class Row:
    """A run, as Airflow keeps it: what its tasks keep goes with it when it is deleted."""

    text: str
    operation: names.Operation = names.Operation.LAUNCH
    clears: int = 0
    tries: int = 1
    kept: dict[str, Any] = dataclasses.field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = dataclasses.field(default_factory=dict)

    def clear(self) -> None:
        """Of all tasks."""
        self.clears += 1
        self.tries += 1
        self.xcoms.clear()

    def context(self, task: str) -> Any:
        dag = operation_dag(definition.loads(self.text), self.operation)

        def push(key: str, value: Any) -> None:
            self.xcoms[task, key] = value

        def pull(task_ids: str, key: str) -> Any:
            return self.xcoms.get((task_ids, key))

        def keep(key: str, value: Any, *, retention: datetime.timedelta) -> None:
            assert retention == datetime.timedelta.max
            self.kept[key] = value

        return {
            "dag": dag,
            "dag_run": types.SimpleNamespace(
                run_id="release-42",
                run_type="manual",
                run_after=BEGAN,
                start_date=BEGAN,
                clear_number=self.clears,
                logical_date=None,
            ),
            "params": {},
            "task_state_store": types.SimpleNamespace(get=self.kept.get, set=keep),
            "ti": types.SimpleNamespace(
                task_id=task,
                dag_id=dag.dag_id,
                run_id="release-42",
                max_tries=2,
                try_number=self.tries,
                xcom_push=push,
                xcom_pull=pull,
            ),
        }

    def digest(self, task: str = "service-db.configure") -> str:
        return tasks.run_of(self.context(task)).digest

    def take_turn(self) -> None:
        tasks.begin_life(self.context("turn"))


def test_a_run_that_was_deleted_and_made_anew_has_other_jobs(bookshop_text: str) -> None:
    first, second = Row(bookshop_text), Row(bookshop_text)
    first.take_turn()
    second.take_turn()
    assert first.digest() != second.digest()
    assert first.digest() == first.digest("tier-application.scale_up")


def test_clears_and_retries_find_the_same_jobs(bookshop_text: str) -> None:
    row = Row(bookshop_text)
    row.take_turn()
    before = row.digest()
    row.tries = 2
    row.take_turn()
    assert row.digest() == before
    row.clear()
    row.take_turn()
    assert row.digest() == before


def test_a_run_that_an_older_gantry_has_begun_keeps_the_names_of_its_jobs(bookshop_text: str) -> None:
    row = Row(bookshop_text)
    before = row.digest()
    row.clear()
    row.take_turn()
    assert row.digest() == before
    assert row.kept == {}


@pytest.mark.parametrize(
    ("written", "task", "seconds"),
    [
        ("dagrun_timeout: 2h\non_failure: remove_new\n", "service-db.configure", 7200),
        ("dagrun_timeout: 2h\non_failure: remove_new\n", "remove_new_servers", None),
        ("dagrun_timeout: 2h\n", "service-db.configure", None),
        ("on_failure: remove_new\n", "service-db.configure", None),
    ],
)
def test_a_run_that_is_cleaned_up_behind_ends_its_work_itself(
    bookshop_text: str, written: str, task: str, seconds: int | None
) -> None:
    row = Row(bookshop_text + written)
    context = row.context(task)
    run = tasks.run_of(context)
    assert run.until == (0 if seconds is None else BEGAN.timestamp() + seconds)
    limit = context["dag"].dagrun_timeout
    if "dagrun_timeout" in written:
        # Airflow skips what would clean up when it ends a run, and so has to come later.
        assert (limit > datetime.timedelta(hours=2)) == ("remove_new" in written)


BACKUPS = "backups: {to: s3://shop/backups/, of: {books: db.catalog}, drill: {}}\n"


@pytest.mark.parametrize("operation", names.Operation)
def test_a_step_knows_its_operation_without_its_dags_id(
    bookshop_text: str, operation: names.Operation
) -> None:
    row = Row(bookshop_text + BACKUPS + "dagrun_timeout: 2h\non_failure: remove_new\n", operation)
    context = row.context("")
    context["ti"].task_id = next(iter(context["dag"].user_defined_macros[tasks.MACRO].plan.by_id))
    context["ti"].dag_id = "renamed.dag"
    run = tasks.run_of(context)
    assert run.operation is operation
    assert lock_holder.asker(context, run).operation is operation
    assert (run.lost is not None) == (operation is names.Operation.RECOVER)
    assert (run.until > 0) == (operation is names.Operation.LAUNCH)


def test_no_step_begins_when_the_runs_time_is_up(bookshop_text: str) -> None:
    context = Row(bookshop_text + "dagrun_timeout: 2h\non_failure: remove_new\n").context("find_lost")
    with pytest.raises(Exception, match="the dagrun_timeout of release-42 has passed"):
        base.StepOperator(task_id="find_lost").execute(context)
