"""Actions on deployments: forms of operations and of questions, forwarded to Airflow's own API."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import fastapi
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from gantry import names, plan
from gantry.web.http import access, addresses, api_calls, csrf
from gantry.web.queries import deployment_details, deployment_queries
from gantry.web.routes import responses
from gantry.web.views import forms

router = fastapi.APIRouter()

_UNPAUSE = "gantry_unpause"
"""The field of a form that unpauses the DAG first."""

_OPTION = "gantry_option"


@dataclasses.dataclass(frozen=True)
class RequestedOperation:
    """An operation of a deployment, and its DAG."""

    name: str
    operation: names.Operation
    found: deployment_queries.Operable


def _wanted(name: str, operation: names.Operation, session: SessionDep) -> RequestedOperation:
    """Return the operation of the path. Raises UnknownError if the deployment does not have it."""
    found = deployment_queries.operable(name, operation, session)
    # "bookshop.terminate" is the name of a DAG, not of a deployment.
    if found is None or names.operation_of(found.dag) is not operation:
        raise deployment_details.UnknownError("operation", names.dag_id(name, operation))
    return RequestedOperation(name, operation, found)


WantedDep = Annotated[RequestedOperation, fastapi.Depends(_wanted)]


@router.get("/deployments/{name}/operations/{operation}", response_class=HTMLResponse)
async def form(request: fastapi.Request, visitor: access.OperationRunnerDep, wanted: WantedDep) -> Response:
    """Show the form of an operation."""
    fields = await _fields(request, wanted.found.dag)
    return _shown(request, visitor, wanted, fields)


@router.post("/deployments/{name}/operations/{operation}", response_class=HTMLResponse)
async def start(request: fastapi.Request, visitor: access.OperationRunnerDep, wanted: WantedDep) -> Response:
    """Start a run of an operation with the submitted form."""
    sent = await csrf.sent(request, visitor)
    filled = forms.filled(await _fields(request, wanted.found.dag), sent)
    if not filled.is_good:
        return _shown(request, visitor, wanted, filled.fields, status=422)
    api = api_calls.VisitorApi(request)
    path = api_calls.path_of("dags", wanted.found.dag)
    try:
        if wanted.found.is_paused:
            if _UNPAUSE not in sent:
                trouble = (
                    "The DAG is paused, so the run would not start. Unpause it here, or ask a user who may."
                )
                return _shown(request, visitor, wanted, filled.fields, trouble, 409)
            await api.call("PATCH", path, params={"update_mask": "is_paused"}, json={"is_paused": False})
        run = await api.call(
            "POST", f"{path}/dagRuns", json={"logical_date": None, "conf": dict(filled.conf)}
        )
    except api_calls.ActionRefusedError as error:
        return _shown(request, visitor, wanted, filled.fields, str(error), error.status)
    where = addresses.Addresses.of(request)
    return RedirectResponse(where.run(wanted.found.dag, str(run["dag_run_id"])), 303)


@router.get("/dags/{dag_id}/runs/{run_id}/answer", response_class=HTMLResponse)
async def question(
    dag_id: str, run_id: str, task: str, request: fastapi.Request, visitor: access.AnswererDep
) -> Response:
    """Show a task's question."""
    asked = await api_calls.VisitorApi(request).call("GET", _question(dag_id, run_id, task))
    fields = forms.fields(asked.get("params") or {})
    return _asked(request, visitor, (dag_id, run_id, task), asked, fields)


@router.post("/dags/{dag_id}/runs/{run_id}/answer", response_class=HTMLResponse)
async def answer(
    dag_id: str, run_id: str, task: str, request: fastapi.Request, visitor: access.AnswererDep
) -> Response:
    """Answer a task's question."""
    sent = await csrf.sent(request, visitor)
    api = api_calls.VisitorApi(request)
    path = _question(dag_id, run_id, task)
    asked = await api.call("GET", path)
    filled = forms.filled(forms.fields(asked.get("params") or {}), sent)
    key = (dag_id, run_id, task)
    chosen = sent.get(_OPTION, [])
    if not filled.is_good or not chosen:
        return _asked(request, visitor, key, asked, filled.fields, "" if chosen else "Choose an answer.", 422)
    try:
        await api.call("PATCH", path, json={"chosen_options": chosen, "params_input": dict(filled.conf)})
    except api_calls.ActionRefusedError as error:
        return _asked(request, visitor, key, asked, filled.fields, str(error), error.status)
    return RedirectResponse(addresses.Addresses.of(request).run(dag_id, run_id), 303)


async def _fields(request: fastapi.Request, dag: str) -> tuple[forms.Field, ...]:
    found = await api_calls.VisitorApi(request).call("GET", f"{api_calls.path_of('dags', dag)}/details")
    return forms.fields(found.get("params") or {})


def _question(dag: str, run: str, task: str) -> str:
    # A task that asks is not mapped.
    return f"{api_calls.path_of('dags', dag, 'dagRuns', run, 'taskInstances', task, '-1')}/hitlDetails"


def _shown(
    request: fastapi.Request,
    visitor: access.Visitor,
    wanted: RequestedOperation,
    fields: tuple[forms.Field, ...],
    trouble: str = "",
    status: int = 200,
) -> HTMLResponse:
    return responses.page(
        request,
        "operation.html.jinja",
        status,
        name=wanted.name,
        title=plan.OPERATIONS[wanted.operation].title,
        operation=wanted.operation,
        found=wanted.found,
        sections=_sections(fields),
        trouble=trouble,
        is_dangerous=plan.OPERATIONS[wanted.operation].dangerous,
        token_field=csrf.FIELD,
        token=csrf.token(request, visitor),
        unpause_field=_UNPAUSE,
    )


def _asked(
    request: fastapi.Request,
    visitor: access.Visitor,
    key: tuple[str, str, str],
    asked: dict[str, Any],
    fields: tuple[forms.Field, ...],
    trouble: str = "",
    status: int = 200,
) -> HTMLResponse:
    dag, run, task = key
    return responses.page(
        request,
        "question.html.jinja",
        status,
        name=deployment_queries.deployment(dag),
        dag=dag,
        run=run,
        task=task,
        asked=asked,
        sections=_sections(fields),
        trouble=trouble,
        token_field=csrf.FIELD,
        token=csrf.token(request, visitor),
        option_field=_OPTION,
    )


def _sections(fields: tuple[forms.Field, ...]) -> list[tuple[str, list[forms.Field]]]:
    """Group the fields by their headings, in their order."""
    found: dict[str, list[forms.Field]] = {}
    for field in fields:
        found.setdefault(field.section, []).append(field)
    return list(found.items())
