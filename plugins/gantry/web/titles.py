"""What steps are called where there is little room."""

from __future__ import annotations

from collections.abc import Mapping

from gantry import plan

_SHORT: Mapping[plan.StepKind, str] = {
    plan.StepKind.PREPARE_CONFIGURATION_MANAGEMENT: "prepare",
    plan.StepKind.EXECUTE_CONFIGURATION_MANAGEMENT: "execute",
    plan.StepKind.INSTALL_SERVICES: "install",
    plan.StepKind.INSTALL_DATASOURCES: "datasources",
    plan.StepKind.CONFIGURE_REPLICANTS: "replicants",
    plan.StepKind.CLEAN_UP_CONFIGURATION_MANAGEMENT: "clean up",
    plan.StepKind.FINISH_LAUNCH: "finish",
    plan.StepKind.FINISH_TERMINATION: "finish",
}
_NAMED = (plan.GroupKind.SERVICE, plan.GroupKind.LOAD_BALANCER, plan.GroupKind.BACKUP)


def short(step: plan.Step) -> str:
    """What a step does, beside a tier or a server that is named: `install`, `app: configure`."""
    words = _SHORT.get(step.kind, step.kind.value.replace("_", " "))
    return f"{step.group.name}: {words}" if step.group.kind in _NAMED else words


def whole(step: plan.Step) -> str:
    """What a step does and to whom, where nothing else says so: `tier app: handshake`, `service app: configure`."""
    if step.group.kind is plan.GroupKind.DEPLOYMENT:
        return short(step)
    kind = step.group.kind.value.replace("_", " ")
    return f"{kind} {step.group.name}: {step.kind.value.replace('_', ' ')}"
