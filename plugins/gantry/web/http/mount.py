"""Where the API server mounts the pages' application, and what an ASGI request carries for it."""

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
"""Where the API server mounts the application, below the path of its own base URL."""

AIRFLOW = "gantry.airflow"
"""Under which key of a request's scope Airflow's own application is found."""


def base_path() -> str:
    """The path of the API server's address, without a slash at its end: a proxy may have put Airflow below one."""
    from airflow.configuration import conf  # noqa: PLC0415 - there where plugins are loaded, and else not needed

    return urllib.parse.urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
