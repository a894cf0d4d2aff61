"""Plan of a drill: launch temporary servers, restore backups on them, and terminate them in any case."""

from __future__ import annotations

import dataclasses

from gantry import names
from gantry.definition import drills, models
from gantry.names import StepKind
from gantry.plan.backups import restore_step
from gantry.plan.launch import launching_plan, tier_servers
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Plan, Step, in_order, last_of, step_id


def drill_plan(definition: models.Definition) -> Plan:
    """Return the plan of a drill, for the definition that `drills.throw_away` returns.

    Backups are restored in parallel after the launch; those of a service after those of its dependencies. The servers
    are terminated as soon as no step is working on them, regardless of failures. The last step comes after that, and
    only if all succeeded: a run that ended with the removal would count as a success.
    """
    copy = drills.throw_away(definition)
    launch = launching_plan(copy)
    turn = tuple(step for step in launch if step.kind is StepKind.TURN)
    choose = _step(StepKind.CHOOSE_BACKUPS, *(step.id for step in turn))
    launched = [
        dataclasses.replace(step, upstream=(choose.id,)) if step.kind is StepKind.SCALE_UP else step
        for step in launch
        # The approval, the lost server check and the summary of a launch are not part of a drill.
        if step.group != DEPLOYMENT
    ]
    work = [*turn, choose, *launched, *_restores(copy, last_of(launched))]
    remove = _step(StepKind.REMOVE_DRILL_SERVERS, *(step.id for step in work), always=True)
    finish = _step(StepKind.FINISH_DRILL, *last_of(work), remove.id)
    return Plan(copy.deployment, in_order([*work, remove, finish]), tier_servers(copy))


def _step(kind: StepKind, *upstream: str, always: bool = False) -> Step:
    return Step(
        id=step_id(DEPLOYMENT, kind),
        kind=kind,
        group=DEPLOYMENT,
        upstream=upstream,
        always=always,
    )


def _restores(copy: models.Definition, ready: tuple[str, ...]) -> list[Step]:
    """Return each backup's restore with its check, in the order of their services."""
    backups = copy.backups
    if backups is None or backups.drill is None:
        raise LookupError(f"{copy.deployment} has no drills")
    steps: list[Step] = []
    last: dict[names.BackupName, str] = {}
    for name, part in backups.of.items():
        relatives = drills.needed(copy, [part.service])
        before = tuple(step for other, step in last.items() if backups.of[other].service in relatives)
        steps.append(restore_step(copy, name, (*ready, *before)))
        if name in backups.drill.check:
            steps.append(_check(copy, name, part, steps[-1].id))
        last[name] = steps[-1].id
    return steps


def _check(copy: models.Definition, name: names.BackupName, part: models.Dependency, after: str) -> Step:
    group = Group(GroupKind.BACKUP, name)
    return Step(
        id=step_id(group, StepKind.CHECK_BACKUP),
        kind=StepKind.CHECK_BACKUP,
        group=group,
        tier=copy.services[part.service].tier,
        service=part.service,
        backup=name,
        scripts=("checkBackup",),
        upstream=(after,),
    )
