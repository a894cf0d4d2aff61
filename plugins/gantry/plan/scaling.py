"""Definition → the plan that makes tiers larger or smaller: a launch with another wanted count.

What leaves is let go of first and taken away last; what a launch does in between makes everybody else know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gantry import names
from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.launch import aftermath, launch_plan
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Plan, Step, in_order, last_of, step_id


def scalable(definition: models.Definition) -> tuple[names.TierName, ...]:
    """The tiers whose number of servers can change."""
    return tuple(name for name, tier in definition.tiers.items() if tier.servers.min < tier.servers.max)


def scale_plan(definition: models.Definition) -> Plan:
    """What a scaling of the deployment has to do."""
    launch = launch_plan(definition)
    choose = Step(
        id=step_id(DEPLOYMENT, StepKind.CHOOSE_SERVERS),
        kind=StepKind.CHOOSE_SERVERS,
        group=DEPLOYMENT,
        upstream=tuple(step.id for step in launch if step.kind is StepKind.FIND_LOST),
    )
    chosen = dataclasses.replace(launch, steps=in_order([*launch.steps, choose]))
    return with_farewell(definition, chosen, scalable(definition), choose.id)


def with_farewell(
    definition: models.Definition, launch: Plan, tiers: Sequence[names.TierName], chosen: str
) -> Plan:
    """A launch around which servers of some tiers leave, once the step `chosen` has said which.

    Nothing of a launch begins before the balancers have let go of the servers that leave: grants that are taken back
    from them must not meet their visitors. They go when everybody else has been told.
    """
    releases = [
        dataclasses.replace(step, upstream=(chosen,))
        for tier in tiers
        for step in release_steps(definition, tier)
    ]
    first = tuple(step.id for step in releases) or (chosen,)
    launched = [
        dataclasses.replace(step, upstream=first) if step.kind is StepKind.SCALE_UP else step
        for step in launch
        if step.kind is not StepKind.FINISH_LAUNCH
    ]
    told = last_of([*releases, *launched])
    retires = [dataclasses.replace(retire_step(tier), upstream=told) for tier in tiers]
    finish = [
        dataclasses.replace(step, upstream=tuple(each.id for each in retires) or told)
        for step in launch
        if step.kind is StepKind.FINISH_LAUNCH
    ]
    steps = in_order([*releases, *launched, *retires, *finish])
    return Plan(
        definition.deployment,
        steps,
        launch.tiers,
        aftermath=aftermath(definition, [step for step in steps if step.kind is not StepKind.FINISH_LAUNCH]),
    )


def release_steps(definition: models.Definition, tier: names.TierName) -> tuple[Step, ...]:
    """The balancers that stand in front of a tier's services let go of the servers that leave."""
    return tuple(
        Step(
            id=step_id(Group(GroupKind.LOAD_BALANCER, name), StepKind.RELEASE_NODES),
            kind=StepKind.RELEASE_NODES,
            group=Group(GroupKind.LOAD_BALANCER, name),
            tier=balancer.tier,
            service=balancer.service,
            balancer=name,
            scripts=("stopProxy", "awaitDrained"),
        )
        for name, balancer in definition.load_balancers.items()
        if definition.services[balancer.service].tier == tier
    )


def retire_step(tier: names.TierName) -> Step:
    """A tier's servers that leave are stopped, forgotten by their configuration management, and terminated."""
    group = Group(GroupKind.TIER, tier)
    return Step(
        id=step_id(group, StepKind.RETIRE_SERVERS),
        kind=StepKind.RETIRE_SERVERS,
        group=group,
        tier=tier,
        scripts=("stopService",),
    )
