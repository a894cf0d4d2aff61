"""What Airflow loads of Gantry: the one way in, an entry point of the installed distribution."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from gantry import warm_up


class GantryPlugin(AirflowPlugin):
    """Registers Gantry. Pages and links of the UI will hang here; DAGs need no registration."""

    name = "gantry"
    listeners = [warm_up]  # noqa: RUF012 - Airflow declares it as an instance's
