"""Plan of a termination, against the direction of dependencies."""

from __future__ import annotations

from collections.abc import Iterator

from gantry import names
from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.backups import backup_steps
from gantry.plan.launch import tier_servers
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Plan, Step, in_order, last_of, step_id
from gantry.plan.turn import behind_turn


def termination_plan(definition: models.Definition) -> Plan:
    """Return the plan of a termination.

    A service is stopped after its balancers have stopped sending traffic and after all its dependents have stopped.
    Servers are terminated when everything has stopped: a failure to stop something blocks all of this, while it can
    still be fixed. Before anything is stopped, every server is checked for an answer, and the final backups are
    created.
    """
    confirm = Step(
        id=step_id(DEPLOYMENT, StepKind.CONFIRM),
        kind=StepKind.CONFIRM,
        group=DEPLOYMENT,
    )
    ask = Step(
        id=step_id(DEPLOYMENT, StepKind.ASK_SERVERS),
        kind=StepKind.ASK_SERVERS,
        group=DEPLOYMENT,
        upstream=(confirm.id,),
    )
    backups = backup_steps(definition, after=(ask.id,))
    first = last_of(backups) or (ask.id,)
    stops = [
        *(_stop_proxy(definition, name, first) for name in definition.load_balancers),
        *(_stop_service(definition, name, first) for name in definition.services),
    ]
    stopped = last_of(stops) or first
    work = [
        confirm,
        ask,
        *backups,
        *stops,
        *(_terminate_servers(name, stopped) for name in definition.tiers),
        *(
            _clean_up(name)
            for name in definition.tiers
            # Of the supported kinds, only a Chef server keeps records of terminated servers.
            if definition.launch_configuration_of(name).chef is not None
        ),
    ]
    steps = behind_turn(work)
    finish = Step(
        id=step_id(DEPLOYMENT, StepKind.FINISH_TERMINATION),
        kind=StepKind.FINISH_TERMINATION,
        group=DEPLOYMENT,
        upstream=last_of(steps),
    )
    return Plan(definition.deployment, in_order([*steps, finish]), tier_servers(definition))


def _stop_proxy(definition: models.Definition, name: names.BalancerName, first: tuple[str, ...]) -> Step:
    balancer = definition.load_balancers[name]
    group = Group(GroupKind.LOAD_BALANCER, name)
    return Step(
        id=step_id(group, StepKind.STOP_PROXY),
        kind=StepKind.STOP_PROXY,
        group=group,
        tier=balancer.tier,
        service=balancer.service,
        balancer=name,
        scripts=("stopProxy",),
        upstream=first,
        after_left_out=True,
    )


def _stop_service(definition: models.Definition, name: names.ServiceName, first: tuple[str, ...]) -> Step:
    group = Group(GroupKind.SERVICE, name)
    dependents = tuple(
        step_id(Group(GroupKind.SERVICE, other), StepKind.STOP_SERVICE)
        for other, service in definition.services.items()
        if any(each.service == name for each in service.depends_on)
    )
    return Step(
        id=step_id(group, StepKind.STOP_SERVICE),
        kind=StepKind.STOP_SERVICE,
        group=group,
        tier=definition.services[name].tier,
        service=name,
        scripts=("stopService",),
        upstream=(*_stopped_proxies(definition, name), *dependents) or first,
        after_left_out=True,
    )


def _terminate_servers(name: names.TierName, stopped: tuple[str, ...]) -> Step:
    group = Group(GroupKind.TIER, name)
    return Step(
        id=step_id(group, StepKind.TERMINATE_SERVERS),
        kind=StepKind.TERMINATE_SERVERS,
        group=group,
        tier=name,
        upstream=stopped,
        after_left_out=True,
    )


def _clean_up(name: names.TierName) -> Step:
    """Return the step that removes terminated servers from their configuration management."""
    group = Group(GroupKind.TIER, name)
    return Step(
        id=step_id(group, StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT),
        kind=StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT,
        group=group,
        tier=name,
        upstream=(step_id(group, StepKind.TERMINATE_SERVERS),),
    )


def _stopped_proxies(definition: models.Definition, service: names.ServiceName) -> Iterator[str]:
    for name, balancer in definition.load_balancers.items():
        if balancer.service == service:
            yield step_id(Group(GroupKind.LOAD_BALANCER, name), StepKind.STOP_PROXY)
