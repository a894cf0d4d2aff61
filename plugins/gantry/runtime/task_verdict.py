"""A person's or Airflow's decision about a task instance while its scripts run on servers."""

from __future__ import annotations

from typing import Protocol

IN_WORKER = frozenset({"running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule"})
"""States in which a task runs or will run again: if a worker's process sees them, no decision was made."""

IN_TRIGGERER = frozenset({"deferred", "up_for_retry", "up_for_reschedule"})
"""The same for a triggerer whose trigger was removed: another triggerer may have it."""


class TaskInstanceIdentity(Protocol):
    """Identifies a task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


def verdict(instance: TaskInstanceIdentity, going_on: frozenset[str]) -> str | None:
    """Return what was decided about a task instance, in words; None while its state is in `going_on`.

    Blocks for a request to Airflow. Raises any error of Airflow's client if Airflow cannot be asked.
    """
    # The SDK's function for sensors, in worker and triggerer. Already loaded in both by then.
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance  # noqa: PLC0415 - not for DAG files

    place = -1 if instance.map_index is None else instance.map_index
    states = RuntimeTaskInstance.get_task_states(
        dag_id=instance.dag_id, task_ids=[instance.task_id], run_ids=[instance.run_id], map_index=place
    ).get(instance.run_id, {})
    key = instance.task_id if place < 0 else f"{instance.task_id}_{place}"
    if key not in states:
        return "the run was deleted"
    state = states[key]
    if state in going_on:
        return None
    return _WORDS.get(state, f"the task is {state} now")


_WORDS = {
    None: "the task was cleared",
    "restarting": "the task was cleared",
    "skipped": "the run has ended, or its dagrun_timeout has passed",
    "failed": "the task was marked as failed",
    "success": "the task was marked as success",
}
