"""Triggers of an older Gantry: Airflow's database holds their paths for tasks that were deferred back then."""

from __future__ import annotations

from gantry.triggers.server_work import HandshakeTrigger, JobsTrigger

__all__ = ["HandshakeTrigger", "JobsTrigger"]
