"""The callback of an earlier Gantry: Airflow's database has its path for deadlines that were set by then."""

from __future__ import annotations

from gantry.runtime.notifiers import deadline_passed

__all__ = ["deadline_passed"]
