"""Where an earlier Gantry had the wait for the turn: a run that waits names its trigger by this path, in Airflow's database."""

from __future__ import annotations

from gantry.triggers.turn import TurnTrigger

__all__ = ["TurnTrigger"]
