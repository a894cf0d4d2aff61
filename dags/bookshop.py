"""The Airflow DAGs of the bookshop. One loader per definition: a mistake in one hides no other."""

from __future__ import annotations

import os
import pathlib

from gantry.dag import deployment_dags

_DEFINITIONS = pathlib.Path(
    os.environ.get("GANTRY_DEFINITIONS", pathlib.Path(__file__).parents[1] / "include")
)

# Where `gantry demo run --region` has it launched; the definition says where it is otherwise.
_REGION = os.environ.get("BOOKSHOP_REGION")

dags = deployment_dags(
    _DEFINITIONS / "bookshop" / "bookshop.yaml", variables={"region": _REGION} if _REGION else None
)
