"""Where an earlier Gantry had the deadline's callback: a run that it has begun names it by this path, in Airflow's database."""

from __future__ import annotations

from gantry.runtime.notifiers import deadline_passed

__all__ = ["deadline_passed"]
