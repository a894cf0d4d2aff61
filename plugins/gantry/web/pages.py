"""The routes of the pages that people look at."""

from __future__ import annotations

from typing import Annotated, Literal

import fastapi
from airflow.api_fastapi.common.db.common import SessionDep
from fastapi.responses import HTMLResponse

from gantry.web import access, answers, definitions, listing

router = fastapi.APIRouter()
KNOWN = definitions.Definitions()
"""What was read of definitions, for all requests of this process."""


def wanted(
    q: Annotated[str, fastapi.Query(max_length=200)] = "",
    state: Annotated[str, fastapi.Query(max_length=50)] = "",
    tag: Annotated[str, fastapi.Query(max_length=200)] = "",
    sort: listing.Sort = listing.Sort.NAME,
    order: Literal["up", "down"] = "up",
    page: Annotated[int, fastapi.Query(ge=1, le=100_000)] = 1,
) -> listing.Wanted:
    """What the address asks for."""
    return listing.Wanted(q, state, tag, sort, order == "down", page)


WantedDep = Annotated[listing.Wanted, fastapi.Depends(wanted)]


@router.get("/", response_class=HTMLResponse)
def deployments(
    request: fastapi.Request, visitor: access.VisitorDep, session: SessionDep, what: WantedDep
) -> HTMLResponse:
    """All deployments that the visitor may see."""
    found = listing.listing(visitor, what, session, KNOWN)
    part = "deployments-live.html.jinja" if "hx-request" in request.headers else "deployments.html.jinja"
    return answers.page(request, part, visitor, listing=found, address=addresses(found.wanted))


def addresses(what: listing.Wanted) -> answers.Address:
    """Makes the addresses of the list with something changed."""
    return answers.Address(
        {
            "q": what.text,
            "state": what.state,
            "tag": what.tag,
            "sort": "" if what.sort is listing.Sort.NAME else what.sort.value,
            "order": "down" if what.backwards else "",
            "page": "" if what.page == 1 else str(what.page),
        }
    )
