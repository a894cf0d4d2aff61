"""What is going on: pure functions from a plan, its task instances and an inventory to states and times."""

from __future__ import annotations

from gantry.status.deployment import Approval, DeploymentStatus, Greeted, TierStatus, wanted
from gantry.status.history import UNTOUCHED, Before, RunKind, RunView, Standing, greeted, standing
from gantry.status.states import deployment_status
from gantry.status.tasks import Progress, TaskState, TaskView, progress
from gantry.status.timeline import Link, PhaseTime, Span, StepTime, Timeline, timeline

__all__ = [
    "UNTOUCHED",
    "Approval",
    "Before",
    "DeploymentStatus",
    "Greeted",
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
    "greeted",
    "progress",
    "standing",
    "timeline",
    "wanted",
]
