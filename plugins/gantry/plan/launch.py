"""Plan of a launch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from gantry import names
from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.phases import Phase
from gantry.plan.step_kinds import BEFORE_WORK
from gantry.plan.steps import (
    DEPLOYMENT,
    Group,
    GroupKind,
    Plan,
    Step,
    TierServers,
    in_order,
    last_of,
    step_id,
)
from gantry.plan.turn import behind_turn

INSTALL_SCRIPTS = ("downloadFile", "installService")
DATASOURCE_SCRIPTS = ("downloadFile", "installDataSource")
CONFIGURATION_MANAGEMENT_SCRIPTS: dict[type[models.Chef | models.Script], tuple[str, ...]] = {
    models.Chef: ("runConfigurationManagement-CHEF",),
    models.Script: ("downloadFile", "runConfigurationManagement-SCRIPT"),
}
CONFIGURE_SCRIPTS = ("configureService", "stopService", "startService", "awaitService")
GRANT_SCRIPT = "grantDatabaseAccess"
UPDATE_SCRIPTS = (
    "stopProxy", "awaitDrained", "keepService", *INSTALL_SCRIPTS, *CONFIGURE_SCRIPTS, "startProxy",
)  # fmt: skip


def launch_plan(definition: models.Definition) -> Plan:
    """Return the plan of a deployment's launch. Its `find_lost` may skip steps that have nothing to do.

    See `launching_plan` for the order.
    """
    found = launching_plan(definition)
    runs_always = {*BEFORE_WORK, StepKind.FIND_LOST, StepKind.SCALE_UP, StepKind.FINISH_LAUNCH}
    steps = (
        step if step.kind in runs_always else dataclasses.replace(step, after_left_out=True) for step in found
    )
    return dataclasses.replace(found, steps=tuple(steps))


def launching_plan(definition: models.Definition) -> Plan:
    """Return the steps of a launch, for operations that launch among other things.

    The order of services follows the dependencies alone. Archives are unpacked as soon as their servers are ready; a
    service is not set up (datasource, configuration, start) before its dependencies are satisfied: datasource loaded,
    and check successful.
    """
    needed = depended_on(definition)
    work = [
        *_approve_step(definition),
        find_lost_step(),
        *(step for tier in definition.tiers for step in _tier_steps(definition, tier)),
        *(
            step
            for service in definition.services
            for step in _service_steps(
                definition,
                service,
                # Also the grants of a service in the middle of a chain: they come before its configuration.
                Phase.CONFIGURE_DEPENDENCIES if service in needed else Phase.CONFIGURE_DEPENDENTS,
            )
        ),
        *(_proxy_step(definition, balancer) for balancer in definition.load_balancers),
    ]
    steps = behind_turn(work)
    finish = Step(
        id=step_id(DEPLOYMENT, StepKind.FINISH_LAUNCH),
        kind=StepKind.FINISH_LAUNCH,
        group=DEPLOYMENT,
        # `find_lost` may skip all that comes between.
        upstream=(find_lost_step().id, *last_of(steps)),
    )
    return Plan(
        definition.deployment,
        in_order([*steps, finish]),
        tier_servers(definition),
        cleanup=cleanup(definition, steps),
    )


def cleanup(definition: models.Definition, steps: Sequence[Step]) -> Step | None:
    """Return the step that terminates the servers of a failed launch, if the definition wants that.

    It waits for every single step: some may still work on servers when others have failed.
    """
    if definition.on_failure == "keep":
        return None
    return Step(
        id=step_id(DEPLOYMENT, StepKind.REMOVE_NEW_SERVERS),
        kind=StepKind.REMOVE_NEW_SERVERS,
        group=DEPLOYMENT,
        upstream=tuple(step.id for step in steps),
    )


def find_lost_step() -> Step:
    """Return the step that frees the slots of lost servers, before any slots are filled."""
    kind = StepKind.FIND_LOST
    return Step(id=step_id(DEPLOYMENT, kind), kind=kind, group=DEPLOYMENT)


def tier_servers(definition: models.Definition) -> tuple[TierServers, ...]:
    """Return the minimum servers of every launch of the deployment."""
    return tuple(
        TierServers(
            tier=name,
            minimum=tier.servers.min,
            maximum=tier.servers.max,
            names=definition.names_of(name)[: tier.servers.min],
        )
        for name, tier in definition.tiers.items()
    )


def depended_on(definition: models.Definition) -> frozenset[names.ServiceName]:
    """Return the services that at least one other service waits for."""
    return frozenset(
        dependency.service for service in definition.services.values() for dependency in service.depends_on
    )


def _approve_step(definition: models.Definition) -> tuple[Step, ...]:
    """Return the approval step, if the definition requires one."""
    if definition.approval is None:
        return ()
    kind = StepKind.APPROVE
    return (Step(id=step_id(DEPLOYMENT, kind), kind=kind, group=DEPLOYMENT),)


def _tier_steps(definition: models.Definition, tier: names.TierName) -> Iterator[Step]:
    """Yield scale-up, handshake, configuration management, download and install."""
    group = Group(GroupKind.TIER, tier)
    configuration = definition.tiers[tier].launch_configuration
    management = definition.launch_configurations[configuration].configuration_management
    skipped = None
    if management is None:
        skipped = f"launch configuration {configuration!r} names no configuration management"
    before: tuple[str, ...] = (find_lost_step().id,)
    for kind, scripts, reason in (
        (StepKind.SCALE_UP, (), None),
        (StepKind.HANDSHAKE, (), None),
        (StepKind.PREPARE_CONFIGURATION_MANAGEMENT, (), skipped),
        (
            StepKind.EXECUTE_CONFIGURATION_MANAGEMENT,
            () if management is None else CONFIGURATION_MANAGEMENT_SCRIPTS[type(management)],
            skipped,
        ),
        (StepKind.INSTALL_SERVICES, INSTALL_SCRIPTS, None),
    ):
        if kind is StepKind.INSTALL_SERVICES and not definition.services_of(tier):
            return
        step = Step(
            id=step_id(group, kind),
            kind=kind,
            group=group,
            tier=tier,
            scripts=scripts,
            upstream=before,
            skipped=reason,
        )
        before = (step.id,)
        yield step


def _service_steps(definition: models.Definition, name: names.ServiceName, phase: Phase) -> Iterator[Step]:
    """Yield grants on its dependencies, datasources, configuration, start, check."""
    service = definition.services[name]
    group = Group(GroupKind.SERVICE, name)
    before = [_tier_ready(definition, service.tier)]
    for target in dict.fromkeys(each.service for each in service.depends_on):
        before.append(_service_ready(definition, target))
        if any(each.service == target and each.datasource for each in service.depends_on):
            grant = _grant_step(definition, group, target, phase)
            before.append(grant.id)
            yield grant
    if definition.update_of(name) is not None:
        update = _update_step(definition, group, phase, before)
        before = [update.id]
        yield update
    upstream = tuple(before)
    for kind, scripts in _service_work(service):
        step = Step(
            id=step_id(group, kind),
            kind=kind,
            service_phase=phase,
            group=group,
            tier=service.tier,
            service=name,
            scripts=scripts,
            upstream=upstream,
        )
        upstream = (step.id,)
        yield step


def _service_work(service: models.Service) -> tuple[tuple[StepKind, tuple[str, ...]], ...]:
    """Return the steps that set a service up, in the order that its archive requires.

    For a replicated service, these are its master's; its replicants follow after the master's check has succeeded.
    """
    load = (StepKind.INSTALL_DATASOURCES, DATASOURCE_SCRIPTS)
    # A running master grants access to its replicants.
    opened = () if service.replication is None else (GRANT_SCRIPT,)
    replicants = () if service.replication is None else ((StepKind.CONFIGURE_REPLICANTS, CONFIGURE_SCRIPTS),)
    if not service.datasources:
        return ((StepKind.CONFIGURE, CONFIGURE_SCRIPTS),)
    if service.order == "datasource-first":
        return (load, (StepKind.CONFIGURE, (*CONFIGURE_SCRIPTS, *opened)), *replicants)
    return (
        (StepKind.CONFIGURE, CONFIGURE_SCRIPTS[:1]),
        load,
        (StepKind.RESTART, (*CONFIGURE_SCRIPTS[1:], *opened)),
        *replicants,
    )


def _update_step(definition: models.Definition, group: Group, phase: Phase, before: list[str]) -> Step:
    """Return the rolling update step: updates the serving servers, a few at a time; in a first launch there are none.

    The step before it installs on new servers only, and later steps find nothing left to do on the updated ones. It
    removes nodes from the balancers and adds them again, so their agents are required.
    """
    name = names.ServiceName(group.name)
    tiers = dict.fromkeys(each.tier for each in definition.balancers_before(name).values())
    return Step(
        id=step_id(group, StepKind.UPDATE),
        kind=StepKind.UPDATE,
        service_phase=phase,
        group=group,
        tier=definition.services[name].tier,
        service=name,
        scripts=UPDATE_SCRIPTS,
        upstream=(
            *before,
            # Not after their configuration management: a first launch need not wait for it here.
            *(step_id(Group(GroupKind.TIER, tier), StepKind.HANDSHAKE) for tier in tiers),
        ),
    )


def _grant_step(definition: models.Definition, group: Group, target: names.ServiceName, phase: Phase) -> Step:
    """Return the step that grants access to the dependent's addresses, on the database's servers.

    The addresses are known as soon as the dependent's tier has scaled up, long before its servers are ready.
    """
    dependent = names.ServiceName(group.name)
    return Step(
        id=step_id(group, f"{StepKind.GRANT_ACCESS}_on_{target}"),
        kind=StepKind.GRANT_ACCESS,
        service_phase=phase,
        group=group,
        tier=definition.services[target].tier,
        service=target,
        peer=dependent,
        scripts=(GRANT_SCRIPT,),
        upstream=(
            _service_ready(definition, target),
            step_id(Group(GroupKind.TIER, definition.services[dependent].tier), StepKind.SCALE_UP),
        ),
    )


def _proxy_step(definition: models.Definition, name: names.BalancerName) -> Step:
    """Return the step that configures the balancer's nodes, after the service's check has succeeded on all servers."""
    balancer = definition.load_balancers[name]
    group = Group(GroupKind.LOAD_BALANCER, name)
    # Balancers on the same port of a machine share a part of its configuration: sequentially, the faulty one is
    # evident.
    sharing = [
        step_id(Group(GroupKind.LOAD_BALANCER, other), StepKind.START_PROXY)
        for other, each in definition.load_balancers.items()
        if (each.tier, each.port) == (balancer.tier, balancer.port)
    ]
    before = sharing[: sharing.index(step_id(group, StepKind.START_PROXY))][-1:]
    return Step(
        id=step_id(group, StepKind.START_PROXY),
        kind=StepKind.START_PROXY,
        group=group,
        tier=balancer.tier,
        service=balancer.service,
        balancer=name,
        scripts=("startProxy",),
        upstream=(
            _tier_ready(definition, balancer.tier),
            _service_ready(definition, balancer.service),
            *before,
        ),
    )


def _tier_ready(definition: models.Definition, tier: names.TierName) -> str:
    """Return the step after which a tier's servers can be worked on."""
    has_services = bool(definition.services_of(tier))
    kind = StepKind.INSTALL_SERVICES if has_services else StepKind.EXECUTE_CONFIGURATION_MANAGEMENT
    return step_id(Group(GroupKind.TIER, tier), kind)


def _service_ready(definition: models.Definition, service: names.ServiceName) -> str:
    """Return the step after which a service's check has succeeded on every server."""
    kind, _ = _service_work(definition.services[service])[-1]
    return step_id(Group(GroupKind.SERVICE, service), kind)
