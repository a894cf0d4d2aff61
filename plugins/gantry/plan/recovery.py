"""Plan of a recovery, which replaces lost servers: a launch, preceded and followed by the removal of lost servers.

The launch's own first step, `find_lost`, chooses them here too; a person may name them.
"""

from __future__ import annotations

from gantry.definition import models
from gantry.plan.launch import find_lost_step, launching_plan
from gantry.plan.scaling import with_drain
from gantry.plan.steps import Plan


def recover_plan(definition: models.Definition) -> Plan:
    """Return the plan of a recovery: any tier may have lost servers."""
    return with_drain(definition, launching_plan(definition), tuple(definition.tiers), find_lost_step().id)
