"""Routes of the pages."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import fastapi
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy.orm import Session

from gantry.web.http import access, addresses
from gantry.web.queries import (
    cloud_facts,
    deployment_details,
    deployment_queries,
    listing,
    serialized_definitions,
)
from gantry.web.routes import responses
from gantry.web.views import pictures

router = fastapi.APIRouter()
KNOWN = serialized_definitions.Definitions()
"""Definitions read so far, for all requests of this process."""

CLOUD = cloud_facts.CloudReader()
"""Answers of the cloud, likewise."""


def wanted(
    q: Annotated[str, fastapi.Query(max_length=200)] = "",
    state: Annotated[str, fastapi.Query(max_length=50)] = "",
    tag: Annotated[str, fastapi.Query(max_length=200)] = "",
    sort: listing.Sort = listing.Sort.NAME,
    order: Literal["up", "down"] = "up",
    page: Annotated[int, fastapi.Query(ge=1, le=100_000)] = 1,
) -> listing.ListQuery:
    """Return the query in the URL."""
    return listing.ListQuery(q, state, tag, sort, order == "down", page)


WantedDep = Annotated[listing.ListQuery, fastapi.Depends(wanted)]


@router.get("/", response_class=HTMLResponse)
def deployments(
    request: fastapi.Request, visitor: access.VisitorDep, session: SessionDep, what: WantedDep
) -> HTMLResponse:
    """Show all deployments that the visitor may see."""
    found = listing.listing(visitor, what, session, KNOWN)
    template = responses.part(request, "deployments.html.jinja", "deployments-live.html.jinja")
    return responses.page(request, template, listing=found, address=queries(found.wanted))


@router.get("/deployments/{name}", response_class=HTMLResponse)
def deployment(
    name: str, request: fastapi.Request, visitor: access.DeploymentReaderDep, session: SessionDep
) -> HTMLResponse:
    """Show one deployment."""
    return _deployment(name, request, visitor, session)


@router.get("/dags/{dag_id}", response_class=HTMLResponse)
def dag(
    dag_id: str, request: fastapi.Request, visitor: access.DagReaderDep, session: SessionDep
) -> HTMLResponse:
    """Show the deployment that a DAG belongs to, for the tab of the DAG in Airflow."""
    name = deployment_queries.deployment(dag_id)
    access.deployment_reader(name, visitor)
    return _deployment(name, request, visitor, session)


def _deployment(
    name: str, request: fastapi.Request, visitor: access.Visitor, session: Session
) -> HTMLResponse:
    found = deployment_details.deployment(name, session, KNOWN, CLOUD, visitor)
    view = pictures.deployment(found, visitor, addresses.Addresses.of(request))
    template = responses.part(request, "deployment.html.jinja", "deployment-live.html.jinja")
    return responses.page(request, template, view=view, found=found, topology=view.topology)


@router.get(
    "/deployments/{name}/servers/{server}/log",
    response_class=HTMLResponse,
    dependencies=[fastapi.Depends(access.deployment_runner)],
)
def agent_log(
    name: str,
    server: str,
    request: fastapi.Request,
    session: SessionDep,
) -> HTMLResponse:
    """Show the agent's log on a server, read now."""
    known = deployment_details.definition(name, session, KNOWN)
    answer = CLOUD.ask(known.definition, deployment_details.LONG_PATIENCE)
    if answer.inventory is None:
        raise deployment_details.NoCloudError(name, answer.trouble)
    text = cloud_facts.agent_log(known.definition, answer.inventory, server)
    return responses.page(
        request, "agent-log.html.jinja", name=name, server=server, text=text, lines=cloud_facts.LOG_LINES
    )


@router.get(
    "/deployments/{name}/servers/{server}/facts",
    response_class=HTMLResponse,
    dependencies=[fastapi.Depends(access.facts_reader)],
)
def server_facts(name: str, server: str, request: fastapi.Request, session: SessionDep) -> HTMLResponse:
    """Show the configuration history of a server, by service."""
    view = pictures.told(
        name, server, deployment_details.told(name, server, session), addresses.Addresses.of(request)
    )
    return responses.page(request, "server-facts.html.jinja", view=view)


@router.get("/dags/{dag_id}/runs/{run_id}", response_class=HTMLResponse)
def run(
    dag_id: str,
    run_id: str,
    request: fastapi.Request,
    visitor: access.DagReaderDep,
    session: SessionDep,
) -> HTMLResponse:
    """Show one run of an operation."""
    found = deployment_details.run(dag_id, run_id, session, KNOWN, CLOUD, visitor)
    now = datetime.datetime.now(datetime.UTC)
    failed = deployment_details.failed_tasks(found, session, visitor)
    view = pictures.run(found, failed, visitor, addresses.Addresses.of(request), now)
    template = responses.part(request, "run.html.jinja", "run-live.html.jinja")
    return responses.page(request, template, view=view, grid=view.grid, gantt=view.gantt, again=view.again)


@router.get("/deployments/{name}/application")
def application(name: str, visitor: access.DeploymentReaderDep, session: SessionDep) -> RedirectResponse:  # noqa: ARG001
    """Redirect to the deployed application, at the first of its load balancers."""
    found = deployment_details.addresses(deployment_details.definition(name, session, KNOWN).definition)
    if not found:
        raise deployment_details.UnknownError("load balancer of", name)
    return RedirectResponse(next(iter(found.values())))


@router.get("/dags/{dag_id}/runs/{run_id}/server")
def server(
    dag_id: str,
    run_id: str,
    task: str,
    request: fastapi.Request,
    visitor: access.DagReaderDep,
    session: SessionDep,
    map_index: int = -1,
) -> RedirectResponse:
    """Redirect to a task's server: in the cloud's console if there is one, or on the deployment's page."""
    name = deployment_queries.deployment(dag_id)
    access.deployment_reader(name, visitor)
    known, instance = deployment_details.instance(dag_id, run_id, task, map_index, session, KNOWN)
    wanted = instance.view.servers[0] if len(instance.view.servers) == 1 else None
    answer = CLOUD.ask(known.definition, deployment_details.PATIENCE)
    found = answer.inventory.named(wanted) if answer.inventory is not None and wanted is not None else None
    if found is not None and answer.console:
        return RedirectResponse(f"{answer.console}{found.instance_id}")
    anchor = "servers" if wanted is None else f"server-{wanted}"
    return RedirectResponse(f"{addresses.Addresses.of(request).deployment(name)}#{anchor}")


def queries(what: listing.ListQuery) -> responses.PageQuery:
    """Return a builder of the list's URLs with changed parameters."""
    return responses.PageQuery(
        {
            "q": what.text,
            "state": what.state,
            "tag": what.tag,
            "sort": "" if what.sort is listing.Sort.NAME else what.sort.value,
            "order": "down" if what.backwards else "",
            "page": "" if what.page == 1 else str(what.page),
        }
    )
