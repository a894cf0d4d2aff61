"""Deadline callback of an older Gantry: Airflow's database holds its path for deadlines that were set back then."""

from __future__ import annotations

from gantry.runtime.notifiers import deadline_passed

__all__ = ["deadline_passed"]
