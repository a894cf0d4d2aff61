"""A failed task's failures as data: on their way through the triggerer, as an XCom, and beside the run's record.

The XCom goes with the run. What is kept beside the record, in the state of the deployment's asset, outlives it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow.sdk import Context
from airflow.sdk._shared.secrets_masker import redact  # the one that logs go through

from gantry import errors, names, plan
from gantry.runtime import lock_holder
from gantry.state import kept_failures

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
    """Store failures with the task instance, and beside the run's record.

    If Airflow does not take them, they are in the task's log all the same.
    """
    found = [_shortened(_masked(each)) for each in failures]
    try:
        context["ti"].xcom_push(key=errors.XCOM, value=[each.dump() for each in found])
    except Exception as error:  # noqa: BLE001 - whatever it is: the task fails with its own error
        LOG.warning("the failures are in this log only, since Airflow does not keep them: %s", error)
    _record(
        context,
        lambda kept, run: kept_failures.added(
            kept, kept_failures.FailedTry(run, lock_holder.now(), tuple(found))
        ),
    )


def forget(context: Context) -> None:
    """Remove what an earlier try of the task instance left beside the run's record: as Airflow does with its XComs."""
    if context["ti"].try_number > 1:
        _record(context, kept_failures.without)


def _record(
    context: Context, change: Callable[[kept_failures.FailedTries, str], kept_failures.FailedTries]
) -> None:
    """Change what is kept of the task instance; `change` is also given the run's id.

    There is no other writer, since an operation has one run at a time.
    """
    try:
        instance = context["ti"]
        operation = names.operation_of(instance.dag_id)
        if operation is None or operation in plan.READ_ONLY:
            # Such runs have no records.
            return
        task = (instance.task_id, -1 if instance.map_index is None else instance.map_index)
        key = kept_failures.key(operation.value, task)
        store = lock_holder.store(instance.dag_id.partition(".")[0])
        kept = kept_failures.load(store.get(key))
        changed = change(kept, instance.run_id)
        if changed != kept:
            store.set(key, kept_failures.dump(changed))
    except Exception as error:  # noqa: BLE001 - as above
        LOG.warning(
            "the run's record is without this task's failures, since Airflow does not keep them: %s", error
        )


def _masked(failure: errors.Failure) -> errors.Failure:
    texts = {"headline": failure.headline, "detail": failure.detail, "advice": failure.advice}
    return errors.Failure.load(failure.dump() | {key: str(redact(text)) for key, text in texts.items()})


def _shortened(failure: errors.Failure) -> errors.Failure:
    lines = failure.detail.splitlines()
    return errors.Failure.load(failure.dump() | {"detail": "\n".join(lines[-_MOST_LINES:])})
