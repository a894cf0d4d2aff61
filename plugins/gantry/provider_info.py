"""What Airflow's provider manager reads."""

from __future__ import annotations

from typing import Any

import gantry


def get_provider_info() -> dict[str, Any]:
    """The provider's description, in the shape of Airflow's `provider_info.schema.json`."""
    return {
        "package-name": "airflow-provider-gantry",
        "name": "Gantry",
        "description": "Deployment definitions in YAML become DAGs that launch whole application stacks.",
        "versions": [gantry.__version__],
    }
