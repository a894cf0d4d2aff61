"""FastAPI application of the pages: its routes, and the headers of every response."""

from __future__ import annotations

import importlib.resources
import logging
from collections.abc import Awaitable, Callable

import fastapi
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from gantry import errors
from gantry.web.http import api_calls
from gantry.web.queries import deployment_details
from gantry.web.routes import actions, api, pages, responses, task_pages

_log = logging.getLogger(__name__)

_HEADERS = {
    # Only resources from this server; no inline script or style, no plugin, and no framing by other sites.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    ),
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_NOT_KEPT = {"Cache-Control": "no-store"}
_STATIC = "/static"


def create() -> fastapi.FastAPI:
    """Create the application that the API server mounts."""
    # FastAPI's own description would be accessible without a login.
    app = fastapi.FastAPI(title="Gantry", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(pages.router)
    app.include_router(task_pages.router)
    app.include_router(actions.router)
    app.include_router(api.router)
    folder = importlib.resources.files("gantry.web") / "static"
    app.mount(_STATIC, StaticFiles(directory=str(folder)), name="static")
    app.middleware("http")(_with_headers)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(errors.GantryError, _failed)
    app.add_exception_handler(Exception, _broken)
    return app


async def _with_headers(
    request: fastapi.Request, answer: Callable[[fastapi.Request], Awaitable[fastapi.Response]]
) -> fastapi.Response:
    response = await answer(request)
    is_static = responses.inner_path(request).startswith(_STATIC)
    for name, value in (_HEADERS if is_static else _HEADERS | _NOT_KEPT).items():
        response.headers[name] = value
    return response


async def _refused(request: fastapi.Request, error: Exception) -> fastapi.Response:
    """Answer with an error in the format of the request: a page for people, JSON for programs."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    return _told(request, status, detail)


async def _failed(request: fastapi.Request, error: Exception) -> fastapi.Response:
    """Answer with the message of a Gantry error."""
    status = 404 if isinstance(error, deployment_details.UnknownError) else 502
    return _told(
        request, error.status if isinstance(error, api_calls.ActionRefusedError) else status, str(error)
    )


async def _misunderstood(request: fastapi.Request, error: Exception) -> fastapi.Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    told = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in found)
    return _told(request, 422, told)


async def _broken(request: fastapi.Request, error: Exception) -> fastapi.Response:
    """Answer to an unexpected exception. The server logs it; the response does not reveal it."""
    _log.error("answering %s", request.url.path, exc_info=error)
    response = _told(request, 500, "")
    # This response bypasses the code that adds the headers to all others.
    response.headers.update(_HEADERS | _NOT_KEPT)
    return response


def _told(request: fastapi.Request, status: int, detail: str) -> fastapi.Response:
    if responses.inner_path(request).startswith("/api/"):
        return JSONResponse({"detail": detail}, status)
    return responses.page(request, "error.html.jinja", status, code=status, detail=detail)
