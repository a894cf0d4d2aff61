"""Plan of a watch: one check of a deployment's servers, and the operations that it may trigger."""

from __future__ import annotations

from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.launch import tier_servers
from gantry.plan.steps import DEPLOYMENT, Plan, Step, step_id


def watch_plan(definition: models.Definition) -> Plan:
    """Return the plan of a check of all servers. Each operation that it may trigger can be skipped."""
    look = Step(id=step_id(DEPLOYMENT, StepKind.WATCH), kind=StepKind.WATCH, group=DEPLOYMENT)
    triggers = (
        Step(
            id=step_id(DEPLOYMENT, kind),
            kind=kind,
            group=DEPLOYMENT,
            upstream=(look.id,),
        )
        for kind in _wanted(definition)
    )
    return Plan(definition.deployment, (look, *triggers), tier_servers(definition))


def _wanted(definition: models.Definition) -> tuple[StepKind, ...]:
    """Return the triggers that a definition needs."""
    replaces = definition.watch is not None and definition.watch.replace
    has_rules = any(tier.rule is not None for tier in definition.tiers.values())
    return (
        *((StepKind.TRIGGER_RECOVER,) if replaces else ()),
        *((StepKind.TRIGGER_SCALE,) if has_rules else ()),
    )
