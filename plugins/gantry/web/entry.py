"""What Airflow is told about the pages. Imported wherever plugins are: by tasks, too, so it loads nothing."""

from __future__ import annotations

import threading
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


class Application:
    """The pages' application, made when the first request comes."""

    def __init__(self) -> None:
        self._made: Asgi | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Until here the scope says which application has been asked; from here on it is ours.
        scope[AIRFLOW] = scope.get("app")
        await self.application(scope, receive, send)

    @property
    def application(self) -> Asgi:
        """The application itself."""
        with self._lock:
            if self._made is None:
                # FastAPI and the API server's modules: only the API server needs them.
                from gantry.web import app  # noqa: PLC0415

                self._made = app.create()
            return self._made


def fastapi_apps() -> list[dict[str, Any]]:
    """For Airflow's plugin manager."""
    return [{"app": Application(), "url_prefix": PREFIX, "name": "gantry"}]


def base_path() -> str:
    """The path of the API server's address, without a slash at its end: a proxy may have put Airflow below one."""
    from airflow.configuration import conf  # noqa: PLC0415 - there where plugins are loaded, and else not needed

    return urllib.parse.urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")


def external_views() -> list[dict[str, Any]]:
    """For Airflow's plugin manager: a page in the navigation, and tabs of DAGs and of their runs."""
    at = f"{base_path()}{PREFIX}"
    icon = {"icon": f"{at}/static/icon.svg"}
    return [
        {
            # Short: Airflow cuts longer words off below their icons.
            "name": "Gantry",
            "href": f"{at}/",
            "destination": "nav",
            "url_route": "deployments",
            "nav_top_level": True,
            **icon,
        },
        {
            "name": "Deployment",
            "href": f"{at}/dags/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "deployment",
            **icon,
        },
        {
            "name": "Launch",
            "href": f"{at}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "launch",
            **icon,
        },
    ]
