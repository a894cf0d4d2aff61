"""Airflow's REST API with the rights of one user."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gantry import errors as root
from gantry.rest import errors, login, logs, transport

Json = transport.Json

PAGES = "/gantry/api/v1"
"""The path of the pages' API below Airflow's URL."""

RUNNING = ("queued", "running")
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.3, 2.0
"""Seconds between two polls of a run or a DAG. Each costs Airflow as much as a short task's own requests."""
"""The states of a run that is not over."""


@dataclasses.dataclass(frozen=True)
class Dag:
    """A DAG in the API.

    Attributes:
        file: its loader, as named in import errors.
        due: when its schedule creates the next run, as ISO text.
        bundle: the DAG bundle that it was read from last.
    """

    id: str
    is_paused: bool
    is_stale: bool
    has_import_errors: bool
    description: str
    file: str
    tags: tuple[str, ...]
    due: str | None
    bundle: str = ""


@dataclasses.dataclass(frozen=True)
class ApiDagRun:
    """A run of a DAG in the API; times are ISO texts.

    Attributes:
        state: `queued`, `running`, `success` or `failed`.
        asked: when it was triggered, or was due (Airflow's `run_after`, by which the pages also sort runs). Not its
            `queued_at`, which changes when a run is cleared.
        run_type: `manual`, `scheduled` or another of Airflow's.
    """

    dag: str
    id: str
    state: str
    asked: str
    started: str | None
    ended: str | None
    conf: Json
    user: str | None
    run_type: str = "manual"

    @property
    def is_over(self) -> bool:
        """Return whether the run is over."""
        return self.state not in RUNNING


@dataclasses.dataclass(frozen=True)
class ApiTaskInstance:
    """A task instance in the API."""

    task_id: str
    map_index: int
    label: str
    state: str | None
    started: str | None
    ended: str | None
    try_number: int


@dataclasses.dataclass(frozen=True)
class BrokenFile:
    """A DAG file that Airflow could not parse, and why."""

    file: str
    message: str


class AirflowApi:
    """Airflow's API. The first call logs in; before it there are no requests."""

    def __init__(self, who: login.AirflowLogin) -> None:
        self.login = who
        self._airflow = transport.Connection(who)

    def call(self, method: str, path: str, **more: Any) -> Json:  # noqa: ANN401 - httpx's keywords
        """Make one call below `/api/v2`; return the JSON answer.

        Raises:
            RestError: one of its subclasses describes the problem.
        """
        return self._airflow.call(method, path, **more)

    def pages(self, path: str, **more: Any) -> Json:  # noqa: ANN401 - as above
        """Make one call of the pages' API, on the same server; return the JSON answer.

        Raises:
            NotFoundError, NotAirflowError: there is no answer, or not from an API: Airflow serves its UI under all
                unknown paths.
            RestError: as `call`.
        """
        return self._airflow.call("GET", f"{PAGES}{path}", below="", **more)

    def dags(self, *tags: str) -> Iterator[Dag]:
        """Yield all DAGs that have all these tags, by id."""
        params = {"tags": list(tags), "tags_match_mode": "all", "order_by": "dag_id"}
        for each in self._airflow.pages("/dags", "dags", params):
            yield _dag(each)

    def dag(self, dag: str) -> Dag:
        """Return one DAG. Raises NotFoundError."""
        return _dag(self.call("GET", _path("dags", dag)))

    def params(self, dag: str) -> Json:
        """Return the parameters of a DAG's form: `value`, `schema` and `description` by name."""
        found: Json = self.call("GET", _path("dags", dag, "details"))["params"] or {}
        return found

    def unpause(self, dag: str) -> None:
        """Unpause a DAG."""
        self.call("PATCH", _path("dags", dag), json={"is_paused": False})

    def await_dag(self, dag: str, seconds: float = 180) -> None:
        """Wait until Airflow has parsed a DAG, and unpause it.

        Raises:
            NotFoundError: it does not appear, or its loader cannot be parsed; the message contains Airflow's reason.
        """
        deadline, pause = time.monotonic() + seconds, _SHORTEST_PAUSE
        while True:
            try:
                self.unpause(dag)
            except errors.NotFoundError as error:
                found = self.import_errors(dag.partition(".")[0])
                if time.monotonic() > deadline or found:
                    raise errors.NotFoundError(error.call, "\n".join([error.reason, *found])) from error
                time.sleep(pause)
                pause = min(pause * 1.2, _LONGEST_PAUSE)
            else:
                return

    def import_errors(self, loader: str = "") -> list[str]:
        """Return Airflow's errors about DAG files that it could not parse: all of them, or one loader's."""
        return [each.message for each in self.broken_files() if loader in ("", Path(each.file).stem)]

    def broken_files(self) -> Iterator[BrokenFile]:
        """Yield the DAG files that Airflow could not parse."""
        for each in self._airflow.pages("/importErrors", "import_errors", {}):
            yield BrokenFile(each["filename"] or "", each["stack_trace"] or "")

    def trigger(self, dag: str, **conf: Any) -> str:  # noqa: ANN401 - params are JSON
        """Start a run; return its id."""
        return self.start(dag, conf).id

    def start(self, dag: str, conf: Json) -> ApiDagRun:
        """Start a run.

        Raises:
            RefusedError: a parameter is not allowed by the DAG's form.
        """
        return _run(
            self.call("POST", _path("dags", dag, "dagRuns"), json={"logical_date": None, "conf": conf})
        )

    def runs(self, dag: str, limit: int = 20) -> Iterator[ApiDagRun]:
        """Yield the runs of a DAG, newest first, fetched page by page on demand."""
        params = {"order_by": "-run_after", "limit": limit}
        for each in self._airflow.pages(_path("dags", dag, "dagRuns"), "dag_runs", params):
            yield _run(each)

    def has_succeeded(self, dags: list[str], tasks: list[str]) -> bool:
        """Return whether an instance of one of these tasks of one of these DAGs has ever succeeded."""
        found = self.call(
            "POST",
            "/dags/~/dagRuns/~/taskInstances/list",
            json={"dag_ids": dags, "task_ids": tasks, "state": ["success"], "page_limit": 1},
        )
        return bool(found["task_instances"])

    def run(self, dag: str, run: str) -> ApiDagRun:
        """Return one run. Raises NotFoundError."""
        return _run(self.call("GET", _path("dags", dag, "dagRuns", run)))

    def run_state(self, dag: str, run: str) -> str:
        """Return `queued`, `running`, `success` or `failed`."""
        return self.run(dag, run).state

    def instances(self, dag: str, run: str) -> list[ApiTaskInstance]:
        """Return all task instances of a run."""
        found = self._airflow.pages(_path("dags", dag, "dagRuns", run, "taskInstances"), "task_instances", {})
        return [
            ApiTaskInstance(
                task_id=each["task_id"],
                map_index=each["map_index"],
                label=each.get("rendered_map_index") or "",
                state=each["state"],
                started=each["start_date"],
                ended=each["end_date"],
                try_number=each["try_number"],
            )
            for each in found
        ]

    def downstream(self, dag: str) -> dict[str, tuple[str, ...]]:
        """Return the tasks of a DAG, with the downstream ones of each."""
        found = self.call("GET", _path("dags", dag, "tasks"))["tasks"]
        return {each["task_id"]: tuple(each["downstream_task_ids"] or ()) for each in found}

    def asset_state(self, asset: str) -> Json:
        """Return the state stored with an asset, by key; empty if there is no such asset."""
        params = {"name_prefix_pattern": asset}
        found = [each for each in self._airflow.pages("/assets", "assets", params) if each["name"] == asset]
        if not found:
            return {}
        kept = self._airflow.pages(
            _path("assets", str(found[0]["id"]), "state-store"), "asset_state_store", {}
        )
        return {each["key"]: each["value"] for each in kept}

    def log_chunk(
        self,
        dag: str,
        run: str,
        instance: ApiTaskInstance,
        try_number: int | None = None,
        token: str | None = None,
    ) -> logs.Chunk:
        """Return a try's log, or the part added since the chunk with the token."""
        number = instance.try_number if try_number is None else try_number
        found = self.call(
            "GET",
            _path("dags", dag, "dagRuns", run, "taskInstances", instance.task_id, "logs", str(number)),
            params={
                "map_index": instance.map_index,
                **({"token": token} if token else {}),
            },
            headers={"Accept": "application/json"},
        )
        return logs.chunk(found)

    def failures(self, dag: str, run: str, task: str, map_index: int = -1) -> tuple[root.Failure, ...] | None:
        """Return what stopped a failed task; empty if it left no such XCom; None if the user may not read XComs.

        The task, its run and even its DAG may be gone: Airflow checks the right first.
        """
        place = _path("dags", dag, "dagRuns", run, "taskInstances", task)
        try:
            found = self.call("GET", f"{place}/xcomEntries/{root.XCOM}", params={"map_index": map_index})
        except errors.NotFoundError:
            return ()
        except errors.ForbiddenError:
            return None
        value = found["value"]
        return root.Failure.load_all(json.loads(value) if isinstance(value, str) else value)

    def may_read_logs(self, dag: str, run: str, task: str, map_index: int = -1) -> bool:
        """Return whether the user may read the logs of a DAG's tasks. As above, the task may be gone."""
        try:
            self.log_chunk(dag, run, ApiTaskInstance(task, map_index, "", None, None, None, 1))
        except errors.NotFoundError:
            return True
        except errors.ForbiddenError:
            return False
        return True

    def log(self, dag: str, run: str, task: str, map_index: int = -1, try_number: int = 1) -> str:
        """Return a task's log as plain lines: level and message."""
        instance = ApiTaskInstance(task, map_index, "", None, None, None, try_number)
        return "\n".join(each.plain() for each in self.log_chunk(dag, run, instance).lines)

    def clear(self, dag: str, run: str, *tasks: str, downstream: bool = True) -> None:
        """Clear tasks so that they run again, as in the UI."""
        self.call(
            "POST",
            _path("dags", dag, "clearTaskInstances"),
            json={
                "dry_run": False,
                "dag_run_id": run,
                "task_ids": list(tasks),
                "include_downstream": downstream,
                "only_failed": False,
                "reset_dag_runs": True,
            },
        )

    def await_run(self, dag: str, run: str, seconds: float) -> str:
        """Wait until a run has ended; return its state."""
        deadline, pause = time.monotonic() + seconds, _SHORTEST_PAUSE
        while (state := self.run_state(dag, run)) in RUNNING:
            if time.monotonic() > deadline:
                states = {
                    f"{each.task_id}[{each.map_index}]": each.state for each in self.instances(dag, run)
                }
                raise errors.RestError(f"run {run} of {dag} did not end within {seconds:g} s: {states}")
            time.sleep(pause)
            pause = min(pause * 1.2, _LONGEST_PAUSE)
        return state

    def link(self, dag: str, run: str) -> str:
        """Return the URL of a run in the UI."""
        return f"{self.login.url}{_path('dags', dag, 'runs', run)}"


def _path(*parts: str) -> str:
    """Build a path from parts that may be user input."""
    return "".join(f"/{quote(each, safe=':+~')}" for each in parts)


def _dag(found: Json) -> Dag:
    return Dag(
        id=found["dag_id"],
        is_paused=found["is_paused"],
        is_stale=found["is_stale"],
        has_import_errors=found["has_import_errors"],
        description=found["description"] or "",
        file=found["relative_fileloc"] or "",
        tags=tuple(each["name"] for each in found["tags"]),
        due=found["next_dagrun_run_after"],
        bundle=found["bundle_name"] or "",
    )


def _run(found: Json) -> ApiDagRun:
    return ApiDagRun(
        dag=found["dag_id"],
        id=found["dag_run_id"],
        state=found["state"],
        asked=found["run_after"],
        started=found["start_date"],
        ended=found["end_date"],
        conf=found["conf"] or {},
        user=found["triggering_user_name"],
        run_type=found["run_type"],
    )
