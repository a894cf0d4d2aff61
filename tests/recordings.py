"""Launches as they were recorded, moment by moment (see tests/airflow/recording.py for how)."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

from gantry import inventory, names, status


@dataclasses.dataclass(frozen=True)
class Moment:
    """What Airflow and the cloud said at one moment of a run."""

    at: datetime.datetime
    tasks: tuple[status.TaskView, ...]
    inventory: inventory.Inventory
    run_ended: bool


def read(recording: dict[str, Any]) -> tuple[Moment, ...]:
    """The moments of a recording."""
    return tuple(
        Moment(
            datetime.datetime.fromisoformat(moment["at"]),
            tuple(_task(task) for task in moment["tasks"]),
            inventory.Inventory(tuple(_server(server) for server in moment["servers"])),
            moment["run_ended"],
        )
        for moment in recording["snapshots"]
    )


def _task(task: dict[str, Any]) -> status.TaskView:
    return status.TaskView(
        task_id=task["task_id"],
        map_index=task["map_index"],
        state=status.TaskState.of(task["state"]),
        started=_moment(task["started"]),
        ended=_moment(task["ended"]),
        servers=tuple(names.ServerName(name) for name in task["servers"]),
    )


def _server(server: dict[str, Any]) -> inventory.Server:
    return inventory.Server(
        name=names.ServerName(server["name"]),
        tier=names.TierName(server["tier"]),
        slot=names.Slot(server["slot"]),
        instance_id=server["instance_id"],
        state=inventory.InstanceState(server["state"]),
        image=server["image"],
        launched_at=datetime.datetime.fromisoformat(server["launched_at"]),
        private_address=server["private_address"],
        host_key=server["host_key"],
    )


def _moment(text: str | None) -> datetime.datetime | None:
    return datetime.datetime.fromisoformat(text) if text else None
