"""What is going on: pure functions from a plan, its task instances and an inventory to states and times."""

from __future__ import annotations

from gantry.status.deployment import Approval, DeploymentStatus, TierStatus, wanted
from gantry.status.history import UNTOUCHED, RunKind, RunView, Standing, standing, was_running
from gantry.status.states import deployment_status
from gantry.status.tasks import Progress, TaskState, TaskView, progress
from gantry.status.timeline import Link, PhaseTime, Span, StepTime, Timeline, timeline

__all__ = [
    "UNTOUCHED",
    "Approval",
    "DeploymentStatus",
    "Link",
    "PhaseTime",
    "Progress",
    "RunKind",
    "RunView",
    "Span",
    "Standing",
    "StepTime",
    "TaskState",
    "TaskView",
    "TierStatus",
    "Timeline",
    "deployment_status",
    "progress",
    "standing",
    "timeline",
    "wanted",
    "was_running",
]
