"""Requests → pages: where Airflow and we are, who looks, and the template filled."""

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
    """The query of an address: what is empty is left out."""

    query: Mapping[str, str]

    def __call__(self, **changed: object) -> str:
        """The query, with something changed; empty where nothing is left of it."""
        found = {**self.query, **{key: str(value) for key, value in changed.items()}}
        text = urllib.parse.urlencode({key: value for key, value in found.items() if value})
        return f"?{text}" if text else ""


def page(
    request: fastapi.Request,
    template: str,
    status: int = 200,
    **known: object,
) -> HTMLResponse:
    """A page, or a part of one that htmx asked for.

    Args:
        request: what is answered.
        template: its file below `templates/`.
        status: of HTTP.
        known: what the template asks for by name.
    """
    where = addresses.Addresses.of(request)
    site = rendering.Site(where.prefix, where.airflow)
    return HTMLResponse(rendering.render(template, site, where=where, **known), status)


def part(request: fastapi.Request, whole: str, live: str) -> str:
    """The template that is wanted: of the whole page, or of what of it changes, which htmx asks for."""
    return live if "hx-request" in request.headers else whole


def inner_path(request: fastapi.Request) -> str:
    """The path that was asked for, below our own prefix."""
    path = str(request.scope.get("path", ""))
    return path.removeprefix(str(request.scope.get("root_path", "")))
