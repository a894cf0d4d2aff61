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
"""Number of lines kept of a failure's detail, the last ones. The task's log has all of them."""


def event(failures: Sequence[errors.Failure]) -> dict[str, Any]:
    """Build a trigger's event. Airflow stores it in its database, so it is masked as logs are."""
    masked = [_masked(each) for each in failures]
    # The worker that comes next may be of an earlier Gantry, which knows texts only.
    return {
        "structured": [each.dump() for each in masked],
        "failures": [(str(each), each.transient) for each in masked],
    }


def of_event(event: Mapping[str, Any]) -> list[errors.Failure]:
    """Read a trigger's event, also an older Gantry's, with texts only."""
    if "structured" in event:
        return [errors.Failure.load(each) for each in event["structured"]]
    return [errors.Failure.of(str(text), transient=bool(transient)) for text, transient in event["failures"]]


def keep(context: Context, failures: Sequence[errors.Failure]) -> None:
    """Store failures with the task instance. If Airflow does not take them, they are in the task's log all the same."""
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
