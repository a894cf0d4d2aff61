"""What steps are called where there is little room."""

from __future__ import annotations

from gantry import plan

_NAMED = (plan.GroupKind.SERVICE, plan.GroupKind.LOAD_BALANCER, plan.GroupKind.BACKUP)


def short(step: plan.Step) -> str:
    """What a step does, beside a tier or a server that is named: `install`, `app: configure`."""
    words = step.facts.short or step.kind.value.replace("_", " ")
    return f"{step.group.name}: {words}" if step.group.kind in _NAMED else words


def whole(step: plan.Step) -> str:
    """What a step does and to whom, where nothing else says so: `tier app: handshake`, `service app: configure`."""
    if step.group.kind is plan.GroupKind.DEPLOYMENT:
        return short(step)
    kind = step.group.kind.value.replace("_", " ")
    return f"{kind} {step.group.name}: {step.kind.value.replace('_', ' ')}"
