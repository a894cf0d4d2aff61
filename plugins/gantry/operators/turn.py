"""Trigger of an older Gantry: Airflow's database holds its path for runs that were waiting back then."""

from __future__ import annotations

from gantry.triggers.turn import TurnTrigger

__all__ = ["TurnTrigger"]
