"""A step's XCom: the report of its task, written and read."""

from __future__ import annotations

import datetime
import json
from typing import Any

from airflow.sdk import Context

UNCHANGED = "unchanged"
"""Key in the report of `find_lost`: the launch has nothing to do, and its steps are skipped."""

NEEDLESS = "needless"
"""Key in the report of `find_lost`: the ids of the steps that it has skipped, since they have nothing to do."""

Result = dict[str, Any]
"""A task's XCom: plain JSON without secrets. `started` and `ended` are ISO times, `servers` names."""


def result(context: Context, servers: list[str], **more: Any) -> Result:  # noqa: ANN401 - XComs are JSON
    """Create a task's report."""
    started = context["ti"].start_date
    return {
        "servers": servers,
        "started": started.isoformat(),
        "ended": datetime.datetime.now(tz=datetime.UTC).isoformat(),
        **more,
    }


def reports(context: Context, task_id: str, key: str = "return_value") -> list[Result]:
    """Return what the instances of a task have reported so far."""
    pulled = context["ti"].xcom_pull(task_ids=[task_id], key=key) or ()
    # The result of a task that ends in the triggerer is encoded once more than a worker's (Airflow 3.3).
    found = (json.loads(each) if isinstance(each, str) else each for each in pulled)
    return [each for each in found if isinstance(each, dict)]
