"""Short titles of steps."""

from __future__ import annotations

from gantry import plan

_NAMED = (plan.GroupKind.SERVICE, plan.GroupKind.LOAD_BALANCER, plan.GroupKind.BACKUP)


def short(step: plan.Step) -> str:
    """Return what a step does, for use beside the name of a tier or a server: `install`, `app: configure`."""
    words = step.facts.short or step.kind.value.replace("_", " ")
    return f"{step.group.name}: {words}" if step.group.kind in _NAMED else words


def whole(step: plan.Step) -> str:
    """Return what a step does and to what, for use on its own: `tier app: handshake`, `service app: configure`."""
    if step.group.kind is plan.GroupKind.DEPLOYMENT:
        return short(step)
    kind = step.group.kind.value.replace("_", " ")
    return f"{kind} {step.group.name}: {step.kind.value.replace('_', ' ')}"
