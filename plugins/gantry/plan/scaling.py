"""Plan of a scaling, which makes tiers larger or smaller: a launch with another wanted count.

Leaving servers are removed from the balancers first and terminated last; the launch in between updates all others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gantry import names
from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.launch import cleanup, launching_plan
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Plan, Step, in_order, last_of, step_id


def scalable(definition: models.Definition) -> tuple[names.TierName, ...]:
    """Return the tiers whose number of servers can change."""
    return tuple(name for name, tier in definition.tiers.items() if tier.servers.min < tier.servers.max)


def scale_plan(definition: models.Definition) -> Plan:
    """Return the plan of a deployment's scaling."""
    launch = launching_plan(definition)
    choose = Step(
        id=step_id(DEPLOYMENT, StepKind.CHOOSE_SERVERS),
        kind=StepKind.CHOOSE_SERVERS,
        group=DEPLOYMENT,
        upstream=tuple(step.id for step in launch if step.kind is StepKind.FIND_LOST),
    )
    chosen = dataclasses.replace(launch, steps=in_order([*launch.steps, choose]))
    return with_drain(definition, chosen, scalable(definition), choose.id)


def with_drain(
    definition: models.Definition, launch: Plan, tiers: Sequence[names.TierName], chosen: str
) -> Plan:
    """Return a launch during which servers of some tiers leave, once the step `chosen` has chosen them.

    No step of the launch begins before the balancers have removed the leaving servers: revoking their grants must not
    affect visitors. They are terminated when all other servers have been updated.
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
        cleanup=cleanup(definition, [step for step in steps if step.kind is not StepKind.FINISH_LAUNCH]),
    )


def release_steps(definition: models.Definition, tier: names.TierName) -> tuple[Step, ...]:
    """Return the steps in which the balancers of a tier's services remove the leaving servers."""
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
    """Return the step that stops a tier's leaving servers, removes them from Chef, and terminates them."""
    group = Group(GroupKind.TIER, tier)
    return Step(
        id=step_id(group, StepKind.RETIRE_SERVERS),
        kind=StepKind.RETIRE_SERVERS,
        group=group,
        tier=tier,
        scripts=("stopService",),
    )
