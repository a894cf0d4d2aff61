"""What a failed task keeps of its failures: masked, not too long, and never in the way of the failure itself."""

from __future__ import annotations

import logging
from typing import Any
from unittest import mock

import pytest
from airflow.sdk.log import mask_secret

from gantry import errors
from gantry.runtime import failures, lock_holder
from gantry.state import kept_failures
from tests.unit.operators.world import Store


class Instance:
    """A task instance that keeps XComs, or cannot."""

    task_id = "service-db.start"
    run_id = "manual__1"
    try_number = 1

    def __init__(self, *, refuses: bool = False, dag: str = "bookshop", map_index: int | None = None) -> None:
        self.refuses = refuses
        self.dag_id = dag
        self.map_index = map_index
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        if self.refuses:
            raise ConnectionError("the API server is away")
        self.kept[key] = value


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    """The state of the deployment's asset."""
    found = Store()
    monkeypatch.setattr(lock_holder, "store", lambda name: found if name == "bookshop" else None)
    return found


def recorded(store: Store, operation: str = "launch", map_index: int = -1) -> tuple[errors.Failure, ...]:
    """What is kept beside the record of the run."""
    tried = kept_failures.of_run(store, operation, Instance.run_id).get((Instance.task_id, map_index))
    return () if tried is None else tried.failures


def context(instance: Instance) -> Any:
    return {"ti": instance}


def test_secrets_are_masked_in_every_text(store: Store) -> None:
    mask_secret("hunter2hunter2")
    instance = Instance()
    failure = errors.Failure(
        "said hunter2hunter2", "and\nhunter2hunter2", "not hunter2hunter2", "web-1", "x", 7
    )
    failures.keep(context(instance), [failure])
    masked = errors.Failure("said ***", "and\n***", "not ***", "web-1", "x", 7)
    assert errors.Failure.load_all(instance.kept[errors.XCOM]) == (masked,)
    assert recorded(store) == (masked,)


def test_of_a_long_output_the_end_is_kept() -> None:
    instance = Instance()
    lines = [f"line {number}" for number in range(1000)]
    failures.keep(context(instance), [errors.Failure("it failed", "\n".join(lines), "Mend it.")])
    (kept,) = errors.Failure.load_all(instance.kept[errors.XCOM])
    assert kept.detail.splitlines() == lines[-50:]
    assert (kept.headline, kept.advice) == ("it failed", "Mend it.")


def test_an_airflow_that_keeps_nothing_does_not_hide_the_failure(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "set", mock.Mock(side_effect=ConnectionError("it is still away")))
    with caplog.at_level(logging.WARNING):
        failures.keep(context(Instance(refuses=True)), [errors.Failure("it failed")])
    assert "the API server is away" in caplog.text
    assert "it is still away" in caplog.text


def test_each_instance_keeps_its_own_beside_the_record_until_it_is_tried_again(store: Store) -> None:
    first, second = Instance(dag="bookshop.scale", map_index=0), Instance(dag="bookshop.scale", map_index=1)
    failures.keep(context(first), [errors.Failure("the first failed")])
    failures.keep(context(second), [errors.Failure("the second failed")])
    failures.forget(context(first))
    assert recorded(store, "scale", 0) == (errors.Failure("the first failed"),)
    first.try_number = 2
    failures.forget(context(first))
    assert recorded(store, "scale", 0) == ()
    assert recorded(store, "scale", 1) == (errors.Failure("the second failed"),)


def test_a_check_of_the_servers_has_no_record(store: Store) -> None:
    failures.keep(context(Instance(dag="bookshop.watch")), [errors.Failure("it failed")])
    assert store == {}
