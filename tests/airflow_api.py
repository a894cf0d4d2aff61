"""The part of Airflow's REST API that the commands need, spoken strictly by a real HTTP server.

What Airflow 3.3 would refuse (a body with a key too many, a call without a token) is refused here; a query that Airflow
would silently ignore is an error. Paths, status codes and bodies are those of the installed Airflow's routes.
"""

from __future__ import annotations

import dataclasses
import http.server
import itertools
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 3
"""As `[api] maximum_page_limit`: however many are asked for, no more than this come."""

TASKS = ("tier-only.scale_up", "tier-only.handshake", "finish_launch")
PARAMS = {
    "servers_only": {
        "value": 1,
        "schema": {"type": "integer", "minimum": 1, "maximum": 3},
        "description": None,
    },
    "redeploy": {
        "value": [],
        "schema": {"type": "array", "items": {"type": "string", "enum": ["probe"]}},
        "description": None,
    },
    "reason": {"value": "", "schema": {"type": "string"}, "description": None},
}


@dataclasses.dataclass
class Run:
    """A run, and what it will look like at each further look; the last look stays."""

    id: str
    looks: list[tuple[str, dict[str, str | None]]]
    conf: dict[str, Any] = dataclasses.field(default_factory=dict)
    asked: str = "2026-11-20T04:00:00Z"
    began_work: str = ""
    server: str = "shop-only-1"
    logs: dict[str, list[dict[str, Any]]] = dataclasses.field(default_factory=dict)

    @property
    def now(self) -> tuple[str, dict[str, str | None]]:
        return self.looks[0]

    def look(self) -> None:
        if len(self.looks) > 1:
            self.looks.pop(0)


@dataclasses.dataclass
class Dag:
    id: str
    tags: tuple[str, ...] = ("gantry", "launch")
    is_paused: bool = False
    is_stale: bool = False
    has_import_errors: bool = False
    bundle: str = "dags-folder"
    params: dict[str, Any] = dataclasses.field(default_factory=lambda: dict(PARAMS))
    tasks: tuple[str, ...] = TASKS
    runs: list[Run] = dataclasses.field(default_factory=list)
    next_looks: list[tuple[str, dict[str, str | None]]] = dataclasses.field(default_factory=list)


class RefusalError(Exception):
    def __init__(self, code: int, detail: Any) -> None:
        self.code, self.detail = code, detail


@dataclasses.dataclass
class Airflow:
    """What the server knows, and what it was asked."""

    url: str = ""
    users: dict[str, str] = dataclasses.field(default_factory=lambda: {"ada": "secret"})
    lets_everybody_in: bool = False
    tokens: set[str] = dataclasses.field(default_factory=set)
    expired: set[str] = dataclasses.field(default_factory=set)
    forbidden: set[str] = dataclasses.field(default_factory=set)
    dags: dict[str, Dag] = dataclasses.field(default_factory=dict)
    import_errors: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    assets: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    pages: list[Any] | None = None
    """The answers of the list of Gantry's own pages, page by page; None where that Airflow has no such pages."""

    asked: list[str] = dataclasses.field(default_factory=list)
    answer_instead: Callable[[str], tuple[int, str, str] | None] = lambda _: None

    def add(self, dag: Dag) -> Dag:
        self.dags[dag.id] = dag
        return dag

    def deployment(self, name: str) -> Dag:
        """The two DAGs of a deployment; the one that launches it."""
        tasks = ("confirm", "tier-only.terminate_servers", "finish_termination")
        self.add(
            Dag(
                f"{name}.terminate",
                ("gantry", "terminate"),
                tasks=tasks,
                params={"confirm": {}, "reason": {}},
            )
        )
        return self.add(Dag(name))

    def give_token(self) -> str:
        token = f"token-{len(self.asked)}"
        self.tokens.add(token)
        return token


def states(
    done: int, *, working: bool = False, failed: bool = False, tasks: tuple[str, ...] = TASKS
) -> dict[str, str | None]:
    """So many tasks have succeeded, and the next one works or has failed."""
    found: dict[str, str | None] = dict.fromkeys(tasks)
    for number, task in enumerate(tasks):
        if number < done:
            found[task] = "success"
        elif number == done and (working or failed):
            found[task] = "failed" if failed else "running"
        elif failed:
            found[task] = "upstream_failed"
    return found


SUCCESS = ("success", states(3))


class _Handler(http.server.BaseHTTPRequestHandler):
    airflow: ClassVar[Airflow]
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        call = f"{self.command} {unquote(parts.path)}"
        self.airflow.asked.append(call)
        if (instead := self.airflow.answer_instead(call)) is not None:
            self._send(*instead)
            return
        if self.airflow.pages is None and parts.path.startswith("/gantry/"):
            # Under what it does not know, Airflow shows its UI.
            self._send(200, "text/html; charset=utf-8", "<!doctype html><title>Airflow</title>")
            return
        try:
            code, answer = self._route(call, parse_qs(parts.query), json.loads(raw) if raw else None)
        except RefusalError as refusal:
            code, answer = refusal.code, {"detail": refusal.detail}
        self._send(code, "application/json", json.dumps(answer))

    do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the base class calls them so

    def _send(self, code: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        if kind.startswith("location:"):
            self.send_header("Location", kind.removeprefix("location:"))
        else:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _route(self, call: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if "/auth/token" in call:
            return self._token(call, body)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token in self.airflow.expired:
            raise RefusalError(401, "Token Expired")
        if token not in self.airflow.tokens:
            raise RefusalError(403, "Invalid JWT token")
        if any(each in call for each in self.airflow.forbidden):
            raise RefusalError(403, "Forbidden")
        for pattern, allowed, answer in _ROUTES:
            if found := re.fullmatch(pattern, call):
                if strange := set(query) - set(allowed):
                    raise RefusalError(
                        422, [{"loc": ["query", each], "msg": "no such parameter"} for each in strange]
                    )
                return answer(self.airflow, query, body, **found.groupdict())
        raise RefusalError(404, "Not Found")

    def _token(self, call: str, body: Any) -> tuple[int, Any]:
        if call == "GET /auth/token":
            if not self.airflow.lets_everybody_in:
                raise RefusalError(
                    403, "This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True"
                )
        elif not isinstance(body, dict) or set(body) != {"username", "password"}:
            raise RefusalError(422, [{"loc": ["body"], "msg": "username and password"}])
        elif self.airflow.users.get(body["username"]) != body["password"]:
            raise RefusalError(401, "Invalid credentials")
        return 201, {"access_token": self.airflow.give_token()}


def _page(query: dict[str, list[str]], key: str, found: list[Any]) -> tuple[int, Any]:
    limit = min(int(query.get("limit", ["50"])[0]), PAGE)
    offset = int(query.get("offset", ["0"])[0])
    return 200, {key: found[offset : offset + limit], "total_entries": len(found)}


def _dag(airflow: Airflow, dag: str) -> Dag:
    if dag not in airflow.dags:
        raise RefusalError(404, f"The Dag with ID: `{dag}` was not found")
    return airflow.dags[dag]


def _found_run(airflow: Airflow, dag: str, run: str) -> Run:
    found = next((each for each in _dag(airflow, dag).runs if each.id == run), None)
    if found is None:
        raise RefusalError(404, f"The DagRun with dag_id: `{dag}` and run_id: `{run}` was not found")
    return found


def _dag_json(dag: Dag) -> dict[str, Any]:
    return {
        "dag_id": dag.id,
        "is_paused": dag.is_paused,
        "is_stale": dag.is_stale,
        "has_import_errors": dag.has_import_errors,
        "description": None,
        "relative_fileloc": f"{dag.id.partition('.')[0]}.py",
        "tags": [{"name": each} for each in dag.tags],
        "next_dagrun_run_after": None,
        "bundle_name": dag.bundle,
    }


def _run_json(dag: str, run: Run) -> dict[str, Any]:
    state = run.now[0]
    return {
        "dag_id": dag,
        "dag_run_id": run.id,
        "state": state,
        # As after a clear: later than when it was asked for.
        "queued_at": "2026-11-30T00:00:00Z",
        "run_after": run.asked,
        "start_date": None if state == "queued" else run.asked,
        "end_date": run.asked if state in ("success", "failed") else None,
        "conf": run.conf,
        "run_type": "manual",
        "triggering_user_name": "ada",
    }


def _list_dags(airflow: Airflow, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
    wanted = set(query.get("tags", ()))
    found = [_dag_json(each) for each in airflow.dags.values() if wanted <= set(each.tags)]
    return _page(query, "dags", sorted(found, key=lambda each: each["dag_id"]))


def _one_dag(airflow: Airflow, _: Any, body: Any, dag: str) -> tuple[int, Any]:
    return 200, _dag_json(_dag(airflow, dag))


def _patch_dag(airflow: Airflow, _: Any, body: Any, dag: str) -> tuple[int, Any]:
    if set(body) != {"is_paused"}:
        raise RefusalError(422, [{"loc": ["body"], "msg": "Extra inputs are not permitted"}])
    found = _dag(airflow, dag)
    found.is_paused = body["is_paused"]
    return 200, _dag_json(found)


def _details(airflow: Airflow, _: Any, body: Any, dag: str) -> tuple[int, Any]:
    found = _dag(airflow, dag)
    return 200, {**_dag_json(found), "params": found.params}


def _list_tasks(airflow: Airflow, _: Any, body: Any, dag: str) -> tuple[int, Any]:
    tasks = _dag(airflow, dag).tasks
    after = dict(itertools.pairwise(tasks))
    return 200, {
        "tasks": [
            {"task_id": each, "downstream_task_ids": [after[each]] if each in after else []}
            for each in sorted(tasks)
        ]
    }


def _list_runs(airflow: Airflow, query: dict[str, list[str]], _: Any, dag: str) -> tuple[int, Any]:
    if query.get("order_by") != ["-run_after"]:
        raise RefusalError(400, "the order is not the one that this test server knows")
    runs = sorted(_dag(airflow, dag).runs, key=lambda run: run.asked, reverse=True)
    return _page(query, "dag_runs", [_run_json(dag, each) for each in runs])


def _trigger(airflow: Airflow, _: Any, body: Any, dag: str) -> tuple[int, Any]:
    if not set(body) <= {"logical_date", "conf", "dag_run_id", "note"} or "logical_date" not in body:
        raise RefusalError(422, [{"loc": ["body", "logical_date"], "msg": "Field required"}])
    found = _dag(airflow, dag)
    most = found.params.get("servers_only", {}).get("schema", {}).get("maximum", 0)
    if body.get("conf", {}).get("servers_only", 0) > most:
        raise RefusalError(400, f"Invalid input for param servers_only: too many, at most {most}")
    asked = f"2026-11-20T05:00:{len(found.runs):02}Z"
    run = Run(f"manual__{asked}", list(found.next_looks) or [SUCCESS], body.get("conf", {}), asked)
    found.runs.append(run)
    return 200, _run_json(dag, run)


def _one_run(airflow: Airflow, _: Any, body: Any, dag: str, run: str) -> tuple[int, Any]:
    found = _found_run(airflow, dag, run)
    found.look()
    return 200, _run_json(dag, found)


def _list_instances(
    airflow: Airflow, query: dict[str, list[str]], _: Any, dag: str, run: str
) -> tuple[int, Any]:
    found = _found_run(airflow, dag, run)
    every = []
    for task, state in found.now[1].items():
        has_begun = state in ("running", "success", "failed")
        mapped = task.endswith("handshake") and has_begun
        every.append(
            {
                "task_id": task,
                "map_index": 0 if mapped else -1,
                "rendered_map_index": found.server if mapped else None,
                "state": state,
                "start_date": found.asked if has_begun else None,
                "end_date": (found.began_work or found.asked) if state in ("success", "failed") else None,
                "try_number": 1 if has_begun else 0,
            }
        )
    return _page(query, "task_instances", every)


def _log(
    airflow: Airflow, query: dict[str, list[str]], _: Any, dag: str, run: str, task: str, number: str
) -> tuple[int, Any]:
    found = _found_run(airflow, dag, run)
    lines = found.logs.get(task, [{"event": f"{task} speaks", "level": "info", "timestamp": found.asked}])
    told = int(query.get("token", ["0"])[0])
    sources = [
        {"event": "::group::Log message source details"},
        {"event": "/logs/1"},
        {"event": "::endgroup::"},
    ]
    ended = found.now[1][task] in ("success", "failed")
    return 200, {
        "content": [*([] if told else sources), *lines[told:]],
        "continuation_token": None if ended else str(len(lines)),
    }


def _list_assets(airflow: Airflow, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
    (prefix,) = query["name_prefix_pattern"]
    found = [
        {"id": number, "name": name} for number, name in enumerate(airflow.assets) if name.startswith(prefix)
    ]
    return _page(query, "assets", found)


def _list_asset_state(airflow: Airflow, query: dict[str, list[str]], _: Any, asset: str) -> tuple[int, Any]:
    state = list(airflow.assets.values())[int(asset)]
    return _page(query, "asset_state_store", [{"key": key, "value": value} for key, value in state.items()])


def _batch(airflow: Airflow, _: Any, body: Any) -> tuple[int, Any]:
    found = [
        {"dag_id": dag.id, "dag_run_id": run.id, "task_id": task}
        for dag in airflow.dags.values()
        for run in dag.runs
        for task, state in run.now[1].items()
        if dag.id in body["dag_ids"] and task in body["task_ids"] and state in body["state"]
    ]
    return 200, {"task_instances": found[: body["page_limit"]], "total_entries": len(found)}


def _list_import_errors(airflow: Airflow, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
    found = [{"filename": file, "stack_trace": text} for file, text in airflow.import_errors]
    return _page(query, "import_errors", found)


def _list_summaries(airflow: Airflow, query: dict[str, list[str]], _: Any) -> tuple[int, Any]:
    assert airflow.pages is not None
    return 200, airflow.pages[int(query["page"][0]) - 1]


_PAGED = ("limit", "offset")
_API, _DAG, _RUN = "/api/v2", "/dags/(?P<dag>[^/]+)", "/dagRuns/(?P<run>[^/]+)"
_ROUTES: list[tuple[str, tuple[str, ...], Callable[..., tuple[int, Any]]]] = [
    (f"GET {_API}/dags", (*_PAGED, "tags", "tags_match_mode", "order_by"), _list_dags),
    (f"GET {_API}{_DAG}", (), _one_dag),
    (f"PATCH {_API}{_DAG}", (), _patch_dag),
    (f"GET {_API}{_DAG}/details", (), _details),
    (f"GET {_API}{_DAG}/tasks", (), _list_tasks),
    (f"GET {_API}{_DAG}/dagRuns", (*_PAGED, "order_by"), _list_runs),
    (f"POST {_API}{_DAG}/dagRuns", (), _trigger),
    (f"GET {_API}{_DAG}{_RUN}", (), _one_run),
    (f"GET {_API}{_DAG}{_RUN}/taskInstances", _PAGED, _list_instances),
    (
        f"GET {_API}{_DAG}{_RUN}/taskInstances/(?P<task>[^/]+)/logs/(?P<number>[0-9]+)",
        ("map_index", "token"),
        _log,
    ),
    (f"POST {_API}/dags/~/dagRuns/~/taskInstances/list", (), _batch),
    (f"GET {_API}/importErrors", _PAGED, _list_import_errors),
    ("GET /gantry/api/v1/deployments", ("page",), _list_summaries),
    (f"GET {_API}/assets", (*_PAGED, "name_prefix_pattern"), _list_assets),
    (f"GET {_API}/assets/(?P<asset>[0-9]+)/state-store", _PAGED, _list_asset_state),
]


@contextmanager
def serving() -> Iterator[Airflow]:
    """A server of its own, on a free port of this machine."""
    airflow = Airflow()
    handler = type("Handler", (_Handler,), {"airflow": airflow})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        airflow.url = f"http://127.0.0.1:{server.server_port}"
        yield airflow
        server.shutdown()
