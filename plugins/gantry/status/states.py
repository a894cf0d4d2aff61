"""States of a deployment, its tiers, agents and services, derived from plan, task instances and inventory."""

from __future__ import annotations

import types
from collections.abc import Iterable

from gantry import inventory as inventories
from gantry.plan import DeploymentState, Plan, StepKind
from gantry.state import filled_slots
from gantry.status import launch_states, termination_states
from gantry.status.deployment import DeploymentStatus, Greeted, StateEvidence
from gantry.status.tasks import Steps, TaskView


def deployment_status(
    plan: Plan,
    tasks: Iterable[TaskView],
    inventory: inventories.Inventory | None,
    *,
    run_ended: bool,
    before: DeploymentState = DeploymentState.STOPPED,
    slots: filled_slots.Slots = types.MappingProxyType({}),
    greeted: Greeted = types.MappingProxyType({}),
) -> DeploymentStatus:
    """Return the states at the time when the tasks and the inventory were read.

    Args:
        plan: the plan of the run, a launch or a termination.
        tasks: the run's task instances. Those that are not steps of the plan are ignored.
        inventory: the cloud's answer, or None if it was not asked; then only the tasks count.
        run_ended: whether Airflow has finished the run. Unfinished steps have then failed.
        before: the deployment's state when the run began. If it was running, a launch is a redeploy (MAINTENANCE), and
            parts that the run has not changed yet are RUNNING.
        slots: the slots that were filled at the end of the last launch: they show how many servers are wanted, if the
            cloud was not asked.
        greeted: the servers that earlier runs have left running: they are counted if the cloud was not asked.
    """
    scene = StateEvidence(plan, Steps(plan, tasks), inventory, run_ended, before, slots, greeted)
    is_termination = any(step.kind is StepKind.FINISH_TERMINATION for step in plan)
    return termination_states.status(scene) if is_termination else launch_states.status(scene)
