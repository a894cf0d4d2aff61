"""Plans: pure functions from a definition to steps and edges."""

from __future__ import annotations

from gantry.names import StepKind
from gantry.plan.backups import backup_plan, restore_plan
from gantry.plan.drill import drill_plan
from gantry.plan.launch import launch_plan
from gantry.plan.operations import (
    ISOLATED,
    KEEPS_STATE,
    LAUNCHING,
    OPERATIONS,
    READ_ONLY,
    UnknownOperationError,
    operation_of,
    plan_of,
)
from gantry.plan.phases import AgentState, DeploymentState, Phase, ServiceState
from gantry.plan.recovery import recover_plan
from gantry.plan.scaling import release_steps, retire_step, scalable, scale_plan
from gantry.plan.step_kinds import (
    BEFORE_WORK,
    STEP_KINDS,
    TRIGGERED,
    UNTOUCHING,
    Effect,
    KindFacts,
    Requirement,
    with_effect,
)
from gantry.plan.steps import Group, GroupKind, Plan, Step, TierServers, group_id
from gantry.plan.termination import termination_plan
from gantry.plan.watch import watch_plan

__all__ = [
    "BEFORE_WORK",
    "ISOLATED",
    "KEEPS_STATE",
    "LAUNCHING",
    "OPERATIONS",
    "READ_ONLY",
    "STEP_KINDS",
    "TRIGGERED",
    "UNTOUCHING",
    "AgentState",
    "DeploymentState",
    "Effect",
    "Group",
    "GroupKind",
    "KindFacts",
    "Phase",
    "Plan",
    "Requirement",
    "ServiceState",
    "Step",
    "StepKind",
    "TierServers",
    "UnknownOperationError",
    "backup_plan",
    "drill_plan",
    "group_id",
    "launch_plan",
    "operation_of",
    "plan_of",
    "recover_plan",
    "release_steps",
    "restore_plan",
    "retire_step",
    "scalable",
    "scale_plan",
    "termination_plan",
    "watch_plan",
    "with_effect",
]
