"""Log panel of a task instance, beside its run."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from typing import Annotated, Any

import fastapi
from airflow.utils.session import create_session
from fastapi.responses import HTMLResponse

from gantry import errors, overview, status
from gantry.web.http import access, addresses, api_calls
from gantry.web.queries import deployment_details, log_reader, run_queries
from gantry.web.routes import pages, responses
from gantry.web.views import log_lines, step_titles

router = fastapi.APIRouter()


@router.get(
    "/dags/{dag_id}/runs/{run_id}/log",
    response_class=HTMLResponse,
    dependencies=[fastapi.Depends(access.log_reader)],
)
async def log(
    dag_id: str,
    run_id: str,
    task: str,
    request: fastapi.Request,
    map_index: int = -1,
    try_number: Annotated[int | None, fastapi.Query(ge=1)] = None,
    after: Annotated[str, fastapi.Query(max_length=20_000)] = "",
) -> HTMLResponse:
    """Show a task instance's log: the end of its latest or of a given try; or the lines after a position."""
    known, instance, failures = await fastapi.concurrency.run_in_threadpool(
        _instance, dag_id, run_id, task, map_index
    )
    number = try_number or instance.try_number
    view = instance.view
    # When it has ended, everything shown is read again: lines of several files then come in another order.
    place = log_lines.LogPosition.load(after) if after and view.state in _WORKING else None
    began = time.monotonic()
    part, is_more = await _part(request, dag_id, run_id, instance, number, place)
    scripts = dict(place.scripts) if place is not None and is_more else {}
    events, lines = await fastapi.concurrency.run_in_threadpool(_read, part.messages, scripts)
    shown = lines[-log_lines.MOST_LINES :]
    step = known.plan.by_id.get(task)
    where = addresses.Addresses.of(request)
    now = datetime.datetime.now(datetime.UTC)
    is_latest = number == instance.try_number
    is_over = log_lines.is_over(view, now) or not is_latest
    took = None if view.started is None else (view.ended or now) - view.started
    here = log_lines.LogPosition(part.token, scripts).dump()
    found = log_lines.TaskLog(
        title=step_titles.whole(step) if step is not None else task,
        servers=", ".join(view.servers) or instance.label,
        state=view.state,
        try_number=number,
        took=took,
        href=where.task(dag_id, run_id, task, map_index),
        again=None if is_over else where.log_since(dag_id, run_id, task, map_index, here),
        lines=shown,
        left_out=part.left_out + len(lines) - len(shown),
        failures=failures if is_latest and view.state not in _WORKING else (),
        logged=log_lines.failure(events),
        pause=log_lines.pause(time.monotonic() - began),
    )
    if is_more:
        return responses.page(request, "parts/task_log_more.html.jinja", log=found, most=log_lines.MOST_LINES)
    answer = responses.page(request, "parts/task_log.html.jinja", log=found, most=log_lines.MOST_LINES)
    if after:
        # The new part was requested, and all of it is returned: it replaces the whole panel.
        answer.headers["HX-Retarget"] = "#log-of-task"
        answer.headers["HX-Reswap"] = "morph:outerHTML"
    return answer


_WORKING = (status.TaskState.RUNNING, status.TaskState.DEFERRED)


def _instance(
    dag: str, run: str, task: str, map_index: int
) -> tuple[overview.CompiledDefinition, overview.TaskInstanceRow, tuple[errors.Failure, ...]]:
    with create_session() as session:
        known, instance = deployment_details.instance(dag, run, task, map_index, session, pages.KNOWN)
        return known, instance, run_queries.failures(session, (dag, run)).get((task, map_index), ())


def _read(
    messages: Sequence[Any], scripts: dict[str, str]
) -> tuple[list[log_lines.Event], tuple[log_lines.ShownLine, ...]]:
    events = [
        log_lines.event(each) if isinstance(each, dict) else log_lines.Event(str(each)) for each in messages
    ]
    return events, log_lines.lines(events, scripts)


async def _part(
    request: fastapi.Request,
    dag: str,
    run: str,
    instance: overview.TaskInstanceRow,
    number: int,
    place: log_lines.LogPosition | None,
) -> tuple[log_reader.LogPart, bool]:
    """Return the part of a log to show, and whether it is to be appended to the shown one."""
    if not number:
        return log_reader.LogPart(()), False
    api = api_calls.VisitorApi(request)
    path = api_calls.path_of(
        "dags", dag, "dagRuns", run, "taskInstances", instance.view.task_id, "logs", str(number)
    )
    if place is not None and place.token and number == instance.try_number:
        found = await log_reader.since(api, path, instance.view.map_index, place.token)
        if found is not None:
            return found, True
    return await log_reader.end(api, path, instance.view.map_index), False
