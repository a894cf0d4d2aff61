"""Plan + task instances + inventory → the states of a deployment, its tiers, agents and services."""

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
    """The states at the moment that the tasks and the inventory were read.

    Args:
        plan: of the run, a launch or a termination.
        tasks: the run's task instances. Those that are no steps of the plan are ignored.
        inventory: what the cloud says, or None when it was not asked; then the tasks alone speak.
        run_ended: Airflow has finished the run. What is not done by then has failed.
        before: what the deployment was when the run began. Where it ran, a launch is a redeploy (MAINTENANCE), and
            what the run has not touched yet is RUNNING.
        slots: those that were filled when the last launch had arrived: they tell how many servers are wanted where
            the cloud does not.
        greeted: the servers that earlier runs have left running: they are counted where the cloud is not asked.
    """
    scene = StateEvidence(plan, Steps(plan, tasks), inventory, run_ended, before, slots, greeted)
    is_termination = any(step.kind is StepKind.FINISH_TERMINATION for step in plan)
    return termination_states.status(scene) if is_termination else launch_states.status(scene)
