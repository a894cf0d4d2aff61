"""The trigger of an earlier Gantry: Airflow's database has its path for runs that waited by then."""

from __future__ import annotations

from gantry.triggers.turn import TurnTrigger

__all__ = ["TurnTrigger"]
