"""Definition → the plan that replaces servers that are lost: a launch between a farewell and a funeral.

The launch's own first step, `find_lost`, chooses them here too; a person may name them.
"""

from __future__ import annotations

from gantry.definition import models
from gantry.plan.launch import find_lost_step, launch_plan
from gantry.plan.scaling import with_farewell
from gantry.plan.steps import Plan


def recover_plan(definition: models.Definition) -> Plan:
    """What replacing lost servers has to do: any tier may have lost some."""
    return with_farewell(definition, launch_plan(definition), tuple(definition.tiers), find_lost_step().id)
