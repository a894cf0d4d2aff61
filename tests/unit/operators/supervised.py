"""A process that Airflow's own supervisor runs a task in; an API server that a test rules. See `test_supervised.py`.

Started with a folder. There it puts `begun` and `ended`, and every state that the supervisor reports (`states`, a line
each); `marked` and `away` are put there by the test: the task was marked as failed, the API server does not answer.
"""

from __future__ import annotations

import json
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx
from airflow.executors.workloads import BundleInfo, TaskInstanceDTO
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time import supervisor

DAG = """\
# airflow dag
import asyncio
from pathlib import Path

from airflow.sdk import DAG

from gantry import errors
from gantry.operators import base, stoppable

HERE = Path({folder!r})


class Follow(stoppable.StoppableOperator):
    def execute(self, context):
        self._instance = context["ti"]

        async def work():
            (HERE / "begun").touch()
            await asyncio.sleep(60)

        try:
            if not self.follow(work):
                raise stoppable.StoppedError
        except errors.GantryError as error:
            base.raise_for_airflow(error)

    async def end(self, unconfirmed):
        (HERE / "ended").touch()


with DAG("shop"):
    Follow(task_id="configure", retries=2)
"""

RUN: dict[str, Any] = {
    "dag_id": "shop",
    "run_id": "r",
    "logical_date": None,
    "data_interval_start": None,
    "data_interval_end": None,
    "run_after": "2026-03-01T00:00:00Z",
    "start_date": "2026-03-01T00:00:00Z",
    "end_date": None,
    "run_type": "manual",
    "state": "running",
    "consumed_asset_events": [],
    "partition_key": None,
}


def main(folder: Path) -> None:
    """Supervise the task to its end."""

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if (folder / "away").exists():
            raise httpx.ConnectError("nobody is there", request=request)
        marked = (folder / "marked").exists()
        if path.endswith("/run"):
            return httpx.Response(200, json={"dag_run": RUN, "max_tries": 2, "should_retry": True})
        if path.endswith("/heartbeat"):
            detail = {"reason": "not_running", "message": "", "current_state": "failed"}
            return httpx.Response(409, json={"detail": detail}) if marked else httpx.Response(204)
        if path.endswith("/states"):
            state = "failed" if marked else "running"
            return httpx.Response(200, json={"task_states": {"r": {"configure": state}}})
        if path.endswith("/state"):
            with (folder / "states").open("a") as states:
                states.write(f"{json.loads(request.content)['state']}\n")
            return httpx.Response(204)
        return httpx.Response(200, json={})

    logging.getLogger().setLevel(logging.INFO)
    (folder / "dags").mkdir()
    (folder / "dags" / "shop.py").write_text(DAG.format(folder=str(folder)))
    task = TaskInstanceDTO(
        id=uuid.uuid4(),
        dag_version_id=uuid.uuid4(),
        task_id="configure",
        dag_id="shop",
        run_id="r",
        try_number=1,
        map_index=-1,
        pool_slots=1,
        queue="default",
        priority_weight=1,
    )
    supervisor.supervise_task(
        ti=task,  # type: ignore[arg-type] # what executors hand it
        bundle_info=BundleInfo(name="dags-folder", version=None),
        dag_rel_path="shop.py",
        token="",
        client=Client(base_url="http://api", token="", transport=httpx.MockTransport(answer)),
        subprocess_logs_to_stdout=True,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
