"""Airflow plugin: the entry point of the installed distribution that Airflow loads."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from gantry import warm_up
from gantry.web import links, plugin


class GantryPlugin(AirflowPlugin):
    """Registers Gantry's pages and links. DAGs need no registration."""

    name = "gantry"
    listeners = [warm_up]  # noqa: RUF012 - Airflow declares it as an instance's
    fastapi_apps = plugin.fastapi_apps()
    external_views = plugin.external_views()
    operator_extra_links = links.every()
