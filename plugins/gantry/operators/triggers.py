"""Where an earlier Gantry had its triggers: a task that it has deferred names its class by this path, in Airflow's database."""

from __future__ import annotations

from gantry.triggers.server_work import HandshakeTrigger, JobsTrigger

__all__ = ["HandshakeTrigger", "JobsTrigger"]
