"""Plans of backups and restores. Neither has a launch's phases."""

from __future__ import annotations

from gantry import names
from gantry.definition import models
from gantry.names import StepKind
from gantry.plan.launch import CONFIGURE_SCRIPTS, tier_servers
from gantry.plan.steps import DEPLOYMENT, Group, GroupKind, Plan, Step, in_order, step_id
from gantry.plan.turn import behind_turn


def backup_plan(definition: models.Definition) -> Plan:
    """Return the plan of a backup run: each backup is created and uploaded, then recorded and the oldest removed.

    Backups are independent: the failure of one does not block others.
    """
    steps = backup_steps(definition)
    kept = [step.id for step in steps if step.kind is StepKind.KEEP_BACKUP]
    return _plan(definition, [*steps, _record(kept)])


def backup_steps(definition: models.Definition, after: tuple[str, ...] = ()) -> list[Step]:
    """Return all backups of a definition, each after the steps `after`."""
    steps = []
    for name, part in _parts(definition):
        made = _step(
            definition,
            name,
            StepKind.BACK_UP,
            "backupDataSource" if part.datasource else "backupService",
            "uploadBackup",
            after=after,
        )
        steps += [made, _step(definition, name, StepKind.KEEP_BACKUP, after=(made.id,))]
    return steps


def restore_plan(definition: models.Definition) -> Plan:
    """Return the plan of a restore: the confirmation and choice of the backup, then one of the restores."""
    confirm = Step(
        id=step_id(DEPLOYMENT, StepKind.CONFIRM_RESTORE),
        kind=StepKind.CONFIRM_RESTORE,
        group=DEPLOYMENT,
    )
    restores = [restore_step(definition, name, (confirm.id,)) for name, _ in _parts(definition)]
    return _plan(definition, [confirm, *restores, _record([step.id for step in restores])])


def _plan(definition: models.Definition, steps: list[Step]) -> Plan:
    return Plan(definition.deployment, in_order(behind_turn(steps)), tier_servers(definition))


def _record(upstream: list[str]) -> Step:
    """Return the step that records what was done; a single step, since runs of several are stored in one place."""
    return Step(
        id=step_id(DEPLOYMENT, StepKind.KEEP_RECORD),
        kind=StepKind.KEEP_RECORD,
        group=DEPLOYMENT,
        upstream=tuple(upstream),
        after_left_out=True,
    )


def restore_step(definition: models.Definition, name: names.BackupName, after: tuple[str, ...]) -> Step:
    """Return the step that restores a backup once it is chosen."""
    is_datasource = dict(_parts(definition))[name].datasource is not None
    scripts = _DATASOURCE_SCRIPTS if is_datasource else _SERVICE_SCRIPTS
    return _step(definition, name, StepKind.RESTORE, *scripts, after=after)


_DATASOURCE_SCRIPTS = ("withDownload", "installDataSource", "awaitService")
_SERVICE_SCRIPTS = ("withDownload", "restoreService", *CONFIGURE_SCRIPTS)


def _parts(definition: models.Definition) -> tuple[tuple[names.BackupName, models.Dependency], ...]:
    return () if definition.backups is None else tuple(definition.backups.of.items())


def _step(
    definition: models.Definition,
    name: names.BackupName,
    kind: StepKind,
    *scripts: str,
    after: tuple[str, ...] = (),
) -> Step:
    group = Group(GroupKind.BACKUP, name)
    service = dict(_parts(definition))[name].service
    return Step(
        id=step_id(group, kind),
        kind=kind,
        group=group,
        tier=definition.services[service].tier,
        service=service,
        backup=name,
        scripts=scripts,
        upstream=after,
    )
