"""A failed task's failures as data: on their way through the triggerer, and as an XCom of the task instance."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk._shared.secrets_masker import redact  # the one that logs go through

from gantry import errors

LOG = logging.getLogger("gantry")

_MOST_LINES = 50
"""Of a failure's detail, its end: the whole of it is in the task's log."""


def event(failures: Sequence[errors.Failure]) -> dict[str, Any]:
    """What a trigger ends with. Airflow's database holds it, so what is masked in logs is masked in it."""
    masked = [_masked(each) for each in failures]
    # The worker that comes next may be of an earlier Gantry, which knows texts only.
    return {
        "structured": [each.dump() for each in masked],
        "failures": [(str(each), each.transient) for each in masked],
    }


def of_event(event: Mapping[str, Any]) -> list[errors.Failure]:
    """What a trigger ended with, that of an earlier Gantry too: texts, and whether they may pass."""
    if "structured" in event:
        return [errors.Failure.load(each) for each in event["structured"]]
    return [errors.Failure.of(str(text), transient=bool(transient)) for text, transient in event["failures"]]


def keep(context: Context, failures: Sequence[errors.Failure]) -> None:
    """Keep them with the task instance. Where Airflow does not take them, they are in the task's log all the same."""
    try:
        context["ti"].xcom_push(
            key=errors.XCOM, value=[_shortened(_masked(each)).dump() for each in failures]
        )
    except Exception as error:  # noqa: BLE001 - whatever it is: the task fails with its own error
        LOG.warning("the failures are in this log only, since Airflow does not keep them: %s", error)


def _masked(failure: errors.Failure) -> errors.Failure:
    texts = {"headline": failure.headline, "detail": failure.detail, "advice": failure.advice}
    return errors.Failure.load(failure.dump() | {key: str(redact(text)) for key, text in texts.items()})


def _shortened(failure: errors.Failure) -> errors.Failure:
    lines = failure.detail.splitlines()
    return errors.Failure.load(failure.dump() | {"detail": "\n".join(lines[-_MOST_LINES:])})
