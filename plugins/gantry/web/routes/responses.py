"""Rendering of responses: site, visitor, and template."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import Mapping

import fastapi
from fastapi.responses import HTMLResponse

from gantry.web.http import addresses
from gantry.web.views import rendering


@dataclasses.dataclass(frozen=True)
class PageQuery:
    """The query string of a URL, without empty parameters."""

    query: Mapping[str, str]

    def __call__(self, **changed: object) -> str:
        """Return the query string with changes; empty if no parameters are left."""
        found = {**self.query, **{key: str(value) for key, value in changed.items()}}
        text = urllib.parse.urlencode({key: value for key, value in found.items() if value})
        return f"?{text}" if text else ""


def page(
    request: fastapi.Request,
    template: str,
    status: int = 200,
    **known: object,
) -> HTMLResponse:
    """Render a page, or a part of one that htmx requested.

    Args:
        request: the request to answer.
        template: its file below `templates/`.
        status: the HTTP status.
        known: the template's variables, by name.
    """
    where = addresses.Addresses.of(request)
    site = rendering.Site(where.prefix, where.airflow)
    return HTMLResponse(rendering.render(template, site, where=where, **known), status)


def part(request: fastapi.Request, whole: str, live: str) -> str:
    """Return the template: that of the whole page, or that of its live part, which htmx requests."""
    return live if "hx-request" in request.headers else whole


def inner_path(request: fastapi.Request) -> str:
    """Return the requested path, below our own prefix."""
    path = str(request.scope.get("path", ""))
    return path.removeprefix(str(request.scope.get("root_path", "")))
