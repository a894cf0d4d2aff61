"""A small client of Airflow's REST API, for the demo and the tests."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import httpx

from gantry.local import airflow_process, errors

Json = dict[str, Any]


class RestError(errors.LocalCloudError):
    """Airflow's API answered with an error."""

    def __init__(self, call: str, answer: httpx.Response) -> None:
        self.call = call
        self.code = answer.status_code
        super().__init__(f"{call}: Airflow answered {answer.status_code}: {answer.text[:500]}")


@dataclasses.dataclass(frozen=True)
class Instance:
    """A task instance as the API shows it."""

    task_id: str
    map_index: int
    label: str
    state: str | None
    started: str | None
    ended: str | None
    try_number: int


class Api:
    """Airflow's API with the rights of one user."""

    def __init__(self, airflow: airflow_process.Airflow) -> None:
        self._client = httpx.Client(base_url=airflow.url, timeout=120)
        answer = self._client.post(
            "/auth/token", json={"username": airflow.user, "password": airflow.password}
        )
        if answer.is_error:
            raise RestError("log in", answer)
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def call(self, method: str, path: str, **more: Any) -> Json:  # noqa: ANN401 - httpx's keywords
        """One call; its answer as JSON. A path that begins with `/ui/` is what the UI itself asks."""
        place = path if path.startswith("/ui/") else f"/api/v2{path}"
        answer = self._client.request(method, place, **more)
        if answer.is_error:
            raise RestError(f"{method} {path}", answer)
        result: Json = answer.json() if answer.content else {}
        return result

    def await_dag(self, dag: str, seconds: float = 180) -> None:
        """Wait until Airflow has parsed a DAG, and unpause it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.call("PATCH", f"/dags/{dag}", json={"is_paused": False})
            except RestError as error:
                found = self.import_errors(dag.partition(".")[0])
                if error.code != httpx.codes.NOT_FOUND or time.monotonic() > deadline or found:
                    raise errors.LocalCloudError("\n".join([str(error), *found])) from error
                time.sleep(0.2)
            else:
                return

    def import_errors(self, loader: str = "") -> list[str]:
        """What Airflow shows about DAG files that it could not read: all of them, or one loader's."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [each["stack_trace"] for each in found if loader in ("", Path(each["filename"]).stem)]

    def trigger(self, dag: str, **conf: Any) -> str:  # noqa: ANN401 - params are JSON
        """Start a run; its id."""
        run: str = self.call("POST", f"/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})[
            "dag_run_id"
        ]
        return run

    def run_state(self, dag: str, run: str) -> str:
        """`queued`, `running`, `success` or `failed`."""
        state: str = self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"]
        return state

    def instances(self, dag: str, run: str) -> list[Instance]:
        """All task instances of a run."""
        found = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": 1000})
        return [
            Instance(
                task_id=each["task_id"],
                map_index=each["map_index"],
                label=each.get("rendered_map_index") or "",
                state=each["state"],
                started=each["start_date"],
                ended=each["end_date"],
                try_number=each["try_number"],
            )
            for each in found["task_instances"]
        ]

    def log(self, dag: str, run: str, task: str, map_index: int = -1, try_number: int = 1) -> str:
        """A task's log as plain lines: level and message."""
        found = self.call(
            "GET",
            f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{try_number}",
            params={"map_index": map_index, "full_content": True},
            headers={"Accept": "application/json"},
        )
        lines = []
        for each in found["content"]:
            if isinstance(each, str):
                lines.append(each)
                continue
            lines.append(f"{each.get('level', '')} {each.get('event', '')}".strip())
            details = each.get("error_detail") or ()
            lines.extend(f"{detail.get('exc_type')}: {detail.get('exc_value')}" for detail in details)
        return "\n".join(lines)

    def clear(self, dag: str, run: str, task: str, *, downstream: bool = True) -> None:
        """What a person does in the UI to run a task again."""
        self.call(
            "POST",
            f"/dags/{dag}/clearTaskInstances",
            json={
                "dry_run": False,
                "dag_run_id": run,
                "task_ids": [task],
                "include_downstream": downstream,
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def await_run(self, dag: str, run: str, seconds: float) -> str:
        """Wait until a run has ended; its state."""
        deadline = time.monotonic() + seconds
        while (state := self.run_state(dag, run)) not in ("success", "failed"):
            if time.monotonic() > deadline:
                states = {
                    f"{each.task_id}[{each.map_index}]": each.state for each in self.instances(dag, run)
                }
                raise errors.LocalCloudError(f"run {run} of {dag} did not end within {seconds:g} s: {states}")
            time.sleep(0.3)
        return state
