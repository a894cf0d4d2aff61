"""The log of a task instance, beside the run that it belongs to."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

import fastapi
from airflow.utils.session import create_session
from fastapi.responses import HTMLResponse

from gantry.web import access, addresses, answers, api_calls, details, facts, pages, task_log, titles

router = fastapi.APIRouter()

_NO_LOG = {"event": "Airflow has no log of this try.", "level": "warning"}


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
) -> HTMLResponse:
    """A task instance's log: of its latest try, or of one."""
    known, instance = await fastapi.concurrency.run_in_threadpool(_instance, dag_id, run_id, task, map_index)
    number = try_number or instance.try_number
    content = await _content(request, dag_id, run_id, instance, number)
    # A long log takes its time, and this thread answers everybody.
    events, lines = await fastapi.concurrency.run_in_threadpool(_read, content)
    shown = lines[-task_log.MOST_LINES :]
    view = instance.view
    step = known.plan.by_id.get(task)
    where = addresses.Addresses.of(request)
    now = datetime.datetime.now(datetime.UTC)
    is_over = task_log.is_over(view, now) or number != instance.try_number
    took = None if view.started is None else (view.ended or now) - view.started
    found = task_log.TaskLog(
        title=titles.whole(step) if step is not None else task,
        servers=", ".join(view.servers) or instance.label,
        state=view.state,
        try_number=number,
        took=took,
        href=where.task(dag_id, run_id, task, map_index),
        again=None if is_over else where.log(dag_id, run_id, task, map_index),
        lines=shown,
        left_out=len(content) - len(events) + len(lines) - len(shown),
        failure=task_log.failure(events),
    )
    return answers.page(request, "parts/task_log.html.jinja", log=found)


def _instance(dag: str, run: str, task: str, map_index: int) -> tuple[facts.Known, facts.Instance]:
    with create_session() as session:
        return details.instance(dag, run, task, map_index, session, pages.KNOWN)


def _read(content: list[Any]) -> tuple[list[task_log.Event], tuple[task_log.Line, ...]]:
    """The end of a log: what is not shown is not read either."""
    events = [
        task_log.event(each) if isinstance(each, dict) else task_log.Event(str(each))
        for each in content[-2 * task_log.MOST_LINES :]
    ]
    return events, task_log.lines(events)


async def _content(
    request: fastapi.Request, dag: str, run: str, instance: facts.Instance, number: int
) -> list[Any]:
    if not number:
        return []
    path = api_calls.path_of(
        "dags", dag, "dagRuns", run, "taskInstances", instance.view.task_id, "logs", str(number)
    )
    try:
        found = await api_calls.Api(request).call("GET", path, params={"map_index": instance.view.map_index})
    except api_calls.RefusedError as error:
        if error.status != fastapi.status.HTTP_404_NOT_FOUND:
            raise
        return [_NO_LOG]
    return list(found.get("content", ()))
