"""What has to happen: pure functions from a definition to steps and edges."""

from __future__ import annotations

from gantry import names
from gantry.definition import models
from gantry.plan.backups import backup_plan, restore_plan
from gantry.plan.drill import drill_plan
from gantry.plan.launch import launch_plan
from gantry.plan.phases import AgentState, DeploymentState, Phase, ServiceState
from gantry.plan.recovery import recover_plan
from gantry.plan.scaling import release_steps, retire_step, scalable, scale_plan
from gantry.plan.steps import TRIGGERED, Group, GroupKind, Plan, Step, StepKind, TierServers, group_id
from gantry.plan.termination import termination_plan
from gantry.plan.watch import watch_plan

__all__ = [
    "TRIGGERED",
    "AgentState",
    "DeploymentState",
    "Group",
    "GroupKind",
    "Phase",
    "Plan",
    "ServiceState",
    "Step",
    "StepKind",
    "TierServers",
    "backup_plan",
    "drill_plan",
    "group_id",
    "launch_plan",
    "plan_of",
    "recover_plan",
    "release_steps",
    "restore_plan",
    "retire_step",
    "scalable",
    "scale_plan",
    "termination_plan",
    "watch_plan",
]

_PLANS = {
    names.Operation.LAUNCH: launch_plan,
    names.Operation.SCALE: scale_plan,
    names.Operation.RECOVER: recover_plan,
    names.Operation.TERMINATE: termination_plan,
    names.Operation.BACKUP: backup_plan,
    names.Operation.RESTORE: restore_plan,
    names.Operation.WATCH: watch_plan,
    names.Operation.DRILL: drill_plan,
}


def plan_of(definition: models.Definition, dag: str) -> Plan:
    """The plan that a DAG of the deployment carries out; a launch's where the DAG is none of them."""
    plans = {names.dag_id(definition.deployment, each): build for each, build in _PLANS.items()}
    return plans.get(dag, launch_plan)(definition)
