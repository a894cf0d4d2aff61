"""Current states and times: pure functions of a plan, its task instances and an inventory."""

from __future__ import annotations

from gantry.status.deployment import ApprovalState, DeploymentStatus, Greeted, TierStatus, wanted
from gantry.status.history import UNTOUCHED, Before, RunKind, RunView, SettledState, greeted, standing
from gantry.status.states import deployment_status
from gantry.status.tasks import Progress, TaskState, TaskView, progress
from gantry.status.timeline import CriticalStep, PhaseTime, Span, StepTime, Timeline, timeline

__all__ = [
    "UNTOUCHED",
    "ApprovalState",
    "Before",
    "CriticalStep",
    "DeploymentStatus",
    "Greeted",
    "PhaseTime",
    "Progress",
    "RunKind",
    "RunView",
    "SettledState",
    "Span",
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
