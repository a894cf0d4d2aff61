"""Compilation of plans to Airflow's DAGs, task groups, params and documentation pages."""

from __future__ import annotations

from gantry.dag.compile import deployment_dags

__all__ = ["deployment_dags"]
