"""What tasks report to each other: the XCom of a step, written and read."""

from __future__ import annotations

import datetime
import json
from typing import Any

from airflow.sdk import Context

Result = dict[str, Any]
"""A task's XCom: plain JSON, no secrets. `started` and `ended` are ISO times, `servers` names."""


def result(context: Context, servers: list[str], **more: Any) -> Result:  # noqa: ANN401 - XComs are JSON
    """A task's report."""
    started = context["ti"].start_date
    return {
        "servers": servers,
        "started": started.isoformat(),
        "ended": datetime.datetime.now(tz=datetime.UTC).isoformat(),
        **more,
    }


def reports(context: Context, task_id: str, key: str = "return_value") -> list[Result]:
    """What the instances of a task have reported so far."""
    pulled = context["ti"].xcom_pull(task_ids=[task_id], key=key) or ()
    # What a triggerer ends a task with is encoded once more than what a worker does (Airflow 3.3).
    found = (json.loads(each) if isinstance(each, str) else each for each in pulled)
    return [each for each in found if isinstance(each, dict)]
