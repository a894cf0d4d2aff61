"""Gantry compiles deployment definitions into Airflow DAGs and performs them on real servers."""

from __future__ import annotations

__version__ = "0.1.0"
