"""What has to happen: pure functions from a definition to steps and edges."""

from __future__ import annotations

from gantry.plan.backups import backup_plan, restore_plan
from gantry.plan.launch import launch_plan
from gantry.plan.phases import AgentState, DeploymentState, Phase, ServiceState
from gantry.plan.steps import Group, GroupKind, Plan, Step, StepKind, group_id
from gantry.plan.termination import termination_plan

__all__ = [
    "AgentState",
    "DeploymentState",
    "Group",
    "GroupKind",
    "Phase",
    "Plan",
    "ServiceState",
    "Step",
    "StepKind",
    "backup_plan",
    "group_id",
    "launch_plan",
    "restore_plan",
    "termination_plan",
]
