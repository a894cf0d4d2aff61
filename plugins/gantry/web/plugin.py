"""Airflow plugin for the pages. Imported wherever plugins are, also by tasks, so it loads nothing heavy."""

from __future__ import annotations

import threading
from typing import Any

from gantry.web.http import mount


class Application:
    """The pages' application, created at the first request."""

    def __init__(self) -> None:
        self._made: mount.Asgi | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: mount.Scope, receive: mount.Receive, send: mount.Send) -> None:
        """Answer one request."""
        # So far the scope names the requested application; from here on it is ours.
        scope[mount.AIRFLOW] = scope.get("app")
        await self.application(scope, receive, send)

    @property
    def application(self) -> mount.Asgi:
        """Return the application itself."""
        with self._lock:
            if self._made is None:
                # FastAPI and the API server's modules: only the API server needs them.
                from gantry.web import app  # noqa: PLC0415

                self._made = app.create()
            return self._made


def fastapi_apps() -> list[dict[str, Any]]:
    """Return the applications, for Airflow's plugin manager."""
    return [{"app": Application(), "url_prefix": mount.PREFIX, "name": "gantry"}]


def external_views() -> list[dict[str, Any]]:
    """Return the views for Airflow's plugin manager: a page in the navigation, and tabs of DAGs and of their runs."""
    at = f"{mount.base_path()}{mount.PREFIX}"
    icon = {"icon": f"{at}/static/icon.svg"}
    return [
        {
            # Short: Airflow truncates longer words below their icons.
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
