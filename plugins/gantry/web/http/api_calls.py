"""In-process calls of Airflow's own API with the visitor's credentials, so that Airflow itself checks their rights."""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any

import fastapi
import httpx

from gantry import errors
from gantry.web.http import mount

_CREDENTIALS = ("authorization", "cookie")
_FIRST_ERROR = 400
_LONGEST_REFUSAL = 100_000
"""Maximum number of bytes that are read of an error."""


class ActionRefusedError(errors.GantryError):
    """Airflow refused a request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(reason)


class VisitorApi:
    """Airflow's API with the rights of a request's visitor."""

    def __init__(self, request: fastapi.Request) -> None:
        self._app = request.scope[mount.AIRFLOW]
        self._headers = {key: request.headers[key] for key in _CREDENTIALS if key in request.headers}

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Make one call; `path` is relative to `/api/v2`. Raises ActionRefusedError."""
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
            raise ActionRefusedError(response.status_code, _reason(response))
        found: dict[str, Any] = response.json() if response.content else {}
        return found

    @property
    def secret(self) -> str:
        """Return the key that Airflow signs its tokens with, such as positions in logs; empty if it has none."""
        return str(getattr(getattr(self._app, "state", None), "secret_key", "") or "")

    async def stream(
        self, path: str, params: Mapping[str, str | int], accept: str, take: Callable[[bytes], None]
    ) -> None:
        """Stream a response that may be long; `take` receives each chunk as it arrives.

        httpx cannot do that with an in-process application: it buffers the whole response.

        Raises:
            ActionRefusedError: as `call`.
        """
        status = 0
        refusal = bytearray()

        async def receive() -> mount.Message:
            if not asked:
                asked.append(True)
                return {"type": "http.request", "body": b"", "more_body": False}
            # Code that waits for the caller to disconnect waits until the response is complete.
            never: asyncio.Future[mount.Message] = asyncio.get_running_loop().create_future()
            return await never

        async def send(message: mount.Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif status < _FIRST_ERROR:
                take(message.get("body", b""))
            elif len(refusal) < _LONGEST_REFUSAL:
                refusal.extend(message.get("body", b""))

        asked: list[bool] = []
        headers = {"host": "airflow", "accept": accept, **self._headers}
        path = f"/api/v2/{path}"
        await self._app(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": "GET",
                "scheme": "http",
                "path": urllib.parse.unquote(path),
                "raw_path": path.encode(),
                "query_string": urllib.parse.urlencode(params).encode(),
                "root_path": "",
                "headers": [
                    (key.encode("latin-1"), value.encode("latin-1")) for key, value in headers.items()
                ],
                "server": ("airflow", 80),
                "client": ("127.0.0.1", 0),
            },
            receive,
            send,
        )
        if status >= _FIRST_ERROR:
            raise ActionRefusedError(status, _reason(httpx.Response(status, content=bytes(refusal))))


def path_of(*parts: str) -> str:
    """Build a path from parts with arbitrary characters."""
    return "/".join(urllib.parse.quote(each, safe="") for each in parts)


def _reason(response: httpx.Response) -> str:
    """Return the reason in Airflow's words."""
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
