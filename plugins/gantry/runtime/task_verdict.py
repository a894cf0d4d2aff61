"""What a person or Airflow has decided about a task instance while its scripts run on servers."""

from __future__ import annotations

from typing import Protocol

IN_WORKER = frozenset({"running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule"})
"""States in which a task is at work, or comes to it again: seen by a worker's process, they are no verdict."""

IN_TRIGGERER = frozenset({"deferred", "up_for_retry", "up_for_reschedule"})
"""The same, seen by a triggerer whose trigger was taken away: another one may have it."""


class TaskInstanceIdentity(Protocol):
    """What tells a task instance apart from others."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int | None


def verdict(instance: TaskInstanceIdentity, going_on: frozenset[str]) -> str | None:
    """What was decided about a task instance, in words; None while it is in one of the states `going_on`.

    Blocks for a request to Airflow. Raises whatever Airflow's client raises if it cannot be asked.
    """
    # What the SDK has for sensors, in a worker and in the triggerer. Loaded by then in both.
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
