"""What a failed task keeps of its failures: masked, not too long, and never in the way of the failure itself."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from airflow.sdk.log import mask_secret

from gantry import errors
from gantry.runtime import failures


class Instance:
    """A task instance that keeps XComs, or cannot."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.kept: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        if self.refuses:
            raise ConnectionError("the API server is away")
        self.kept[key] = value


def context(instance: Instance) -> Any:
    return {"ti": instance}


def test_secrets_are_masked_in_every_text() -> None:
    mask_secret("hunter2hunter2")
    instance = Instance()
    failure = errors.Failure(
        "said hunter2hunter2", "and\nhunter2hunter2", "not hunter2hunter2", "web-1", "x", 7
    )
    failures.keep(context(instance), [failure])
    masked = errors.Failure("said ***", "and\n***", "not ***", "web-1", "x", 7)
    assert errors.Failure.load_all(instance.kept[errors.XCOM]) == (masked,)


def test_of_a_long_output_the_end_is_kept() -> None:
    instance = Instance()
    lines = [f"line {number}" for number in range(1000)]
    failures.keep(context(instance), [errors.Failure("it failed", "\n".join(lines), "Mend it.")])
    (kept,) = errors.Failure.load_all(instance.kept[errors.XCOM])
    assert kept.detail.splitlines() == lines[-50:]
    assert (kept.headline, kept.advice) == ("it failed", "Mend it.")


def test_an_airflow_that_keeps_nothing_does_not_hide_the_failure(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        failures.keep(context(Instance(refuses=True)), [errors.Failure("it failed")])
    assert "the API server is away" in caplog.text
