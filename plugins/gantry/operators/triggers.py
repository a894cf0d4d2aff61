"""Triggers of an earlier Gantry: Airflow's database has their paths for tasks that were deferred by then."""

from __future__ import annotations

from gantry.triggers.server_work import HandshakeTrigger, JobsTrigger

__all__ = ["HandshakeTrigger", "JobsTrigger"]
