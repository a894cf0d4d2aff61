"""A launch, moment by moment, as Airflow and the cloud tell it: for live tests, and for the recorded one.

`GANTRY_RECORDING=tests/unit/status/recorded_launch.json pytest tests/airflow/test_launch.py` records anew what the
unit tests of the states walk through.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from tests.airflow.stage import Launch, Stage

_PAUSE = 0.2
_MOST_PAUSES = 10
"""Servers are looked at so often, in pauses, where no task is in another state than before."""


def record(stage: Stage, launch: Launch, seconds: float = 900) -> dict[str, Any]:
    """Watch a run to its end; each moment at which something was different from the one before."""
    snapshots: list[dict[str, Any]] = []
    deadline = time.monotonic() + seconds
    while True:
        before = stage.states.of_run(launch.dag, launch.run)
        ended = stage.api.run_state(launch.dag, launch.run) in ("success", "failed")
        moment = {"run_ended": ended, "tasks": _tasks(launch), "servers": _servers(stage, launch.dag)}
        if not snapshots or any(snapshots[-1][key] != moment[key] for key in moment):
            snapshots.append({"at": datetime.datetime.now(tz=datetime.UTC).isoformat(), **moment})
        if ended:
            return {"deployment": launch.dag, "previously_running": False, "snapshots": snapshots}
        assert time.monotonic() < deadline, f"{launch.dag} did not end within {seconds:g} s"
        _await_news(stage, launch, before)


def _await_news(stage: Stage, launch: Launch, before: set[tuple[str, int, str | None]]) -> None:
    """A look takes as much of Airflow as some steps of the launch, and most of them would show nothing new."""
    for _ in range(_MOST_PAUSES):
        time.sleep(_PAUSE)
        if stage.states.of_run(launch.dag, launch.run) != before:
            return


def _tasks(launch: Launch) -> list[dict[str, Any]]:
    return [
        {
            "task_id": each.task_id,
            "map_index": each.map_index,
            "state": each.state,
            "started": each.started,
            "ended": each.ended,
            # Before Airflow has named an instance after its server, it shows the map index.
            "servers": [each.label] if each.label.startswith(launch.dag) else [],
        }
        for each in launch.api.instances(launch.dag, launch.run)
    ]


def _servers(stage: Stage, deployment: str) -> list[dict[str, Any]]:
    servers = []
    for instance in stage.instances(deployment):
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        slot = int(tags["gantry:slots"].split()[instance["AmiLaunchIndex"]])
        servers.append(
            {
                "name": f"{deployment}-{tags['gantry:tier']}-{slot}",
                "tier": tags["gantry:tier"],
                "slot": slot,
                "instance_id": instance["InstanceId"],
                "state": instance["State"]["Name"],
                "image": instance["ImageId"],
                "launched_at": instance["LaunchTime"].isoformat(),
                "private_address": instance.get("PrivateIpAddress"),
                "host_key": tags.get("gantry:host-key"),
            }
        )
    return sorted(servers, key=lambda each: str(each["name"]))
