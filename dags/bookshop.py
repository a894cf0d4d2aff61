"""The Airflow DAGs of the bookshop. One loader per definition: a mistake in one hides no other."""

from __future__ import annotations

import os
import pathlib

from gantry.dag import deployment_dags

_DEFINITIONS = pathlib.Path(
    os.environ.get("GANTRY_DEFINITIONS", pathlib.Path(__file__).parents[1] / "include")
)

dags = deployment_dags(_DEFINITIONS / "bookshop" / "bookshop.yaml")
