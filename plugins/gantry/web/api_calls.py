"""Airflow's own API, called in this process with what the visitor came with: so Airflow itself checks their rights."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any

import fastapi
import httpx

from gantry import errors
from gantry.web import entry

_CREDENTIALS = ("authorization", "cookie")


class RefusedError(errors.GantryError):
    """Airflow has not done what it was asked to.

    Attributes:
        status: of HTTP.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class Api:
    """Airflow's API as the visitor of a request may use it."""

    def __init__(self, request: fastapi.Request) -> None:
        self._app = request.scope[entry.AIRFLOW]
        self._headers = {key: request.headers[key] for key in _CREDENTIALS if key in request.headers}

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One call; `path` stands below `/api/v2`. Raises RefusedError."""
        transport = httpx.ASGITransport(app=self._app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://airflow", headers=self._headers
        ) as client:
            response = await client.request(
                method,
                f"/api/v2/{path}",
                params=dict(params or {}),
                json=json,
                headers={"Accept": "application/json"},
            )
        if response.is_error:
            raise RefusedError(response.status_code, _reason(response))
        found: dict[str, Any] = response.json() if response.content else {}
        return found


def path_of(*parts: str) -> str:
    """A path of parts that may have any letters."""
    return "/".join(urllib.parse.quote(each, safe="") for each in parts)


def _reason(response: httpx.Response) -> str:
    """Why, in Airflow's words."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"Airflow has answered {response.status_code}"
    if isinstance(detail, dict):
        return str(detail.get("reason") or detail.get("message") or detail)
    if isinstance(detail, list):
        return "; ".join(
            str(each.get("msg", each)) if isinstance(each, dict) else str(each) for each in detail
        )
    return str(detail)
