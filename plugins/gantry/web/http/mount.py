"""Mount point of the pages' application in the API server, and its data in an ASGI request."""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

PREFIX = "/gantry"
"""The path of the application below the API server's base URL."""

AIRFLOW = "gantry.airflow"
"""The key of Airflow's own application in a request's scope."""


def base_path() -> str:
    """Return the path of the API server's base URL, without a trailing slash: a proxy may add a path prefix."""
    from airflow.configuration import conf  # noqa: PLC0415 - there where plugins are loaded, and else not needed

    return urllib.parse.urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
