"""Routes of the JSON API: the data of the pages, with the same access rights."""

from __future__ import annotations

from typing import Any

import fastapi
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi.openapi.utils import get_openapi

import gantry
from gantry.web.http import access
from gantry.web.queries import deployment_details, deployment_queries, listing
from gantry.web.routes import pages
from gantry.web.views import api_models

router = fastapi.APIRouter(prefix="/api/v1", tags=["deployments"])


@router.get("/deployments")
def deployments(
    visitor: access.VisitorDep, session: SessionDep, what: pages.WantedDep
) -> api_models.ListingResponse:
    """A page of the deployments that the user may see."""
    found = listing.listing(visitor, what, session, pages.KNOWN)
    worked = [each.row.worked.key for each in found.summaries if each.row.worked is not None]
    return api_models.ListingResponse.of(found, deployment_queries.requests(session, worked))


@router.get("/deployments/{name}")
def deployment(
    name: str,
    visitor: access.DeploymentReaderDep,
    session: SessionDep,
) -> api_models.DeploymentResponse:
    """The current state of a deployment."""
    found = deployment_details.deployment(
        name,
        session,
        pages.KNOWN,
        pages.CLOUD,
        visitor,
        patience=deployment_details.LONG_PATIENCE,
    )
    return api_models.DeploymentResponse.of(found)


@router.get("/deployments/{name}/servers/{server}/facts")
def server_facts(
    name: str,
    server: str,
    visitor: access.FactsReaderDep,  # noqa: ARG001 - asks for the right
    session: SessionDep,
) -> api_models.ServerFacts:
    """The configuration files that a server received."""
    return api_models.ServerFacts.of(server, deployment_details.told(name, server, session))


@router.get("/dags/{dag_id}/runs/{run_id}")
def run(
    dag_id: str,
    run_id: str,
    visitor: access.DagReaderDep,
    session: SessionDep,
) -> api_models.RunDetail:
    """The current state of a run, or its final one."""
    found = deployment_details.run(dag_id, run_id, session, pages.KNOWN, pages.CLOUD, visitor)
    return api_models.RunDetail.of(found, deployment_details.failed_tasks(found, session, visitor))


@router.get("/openapi.json", include_in_schema=False)
def description(visitor: access.VisitorDep) -> dict[str, Any]:  # noqa: ARG001 - as above
    """The OpenAPI description of this API."""
    return get_openapi(title="Gantry", version=gantry.__version__, routes=router.routes)
