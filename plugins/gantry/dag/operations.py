"""Each operation's DAG: its schedule, its form and its page. Parts without Airflow are in `gantry.plan`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from airflow.sdk import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable

from gantry.dag import docs, forms
from gantry.definition import drills, models
from gantry.names import Operation
from gantry.plan import Plan, scalable

Timetable = CronTriggerTimetable | DeltaTriggerTimetable | MultipleCronTriggerTimetable


def _always(_: models.Definition) -> bool:
    return True


def _itself(definition: models.Definition) -> models.Definition:
    return definition


def _by_hand(_: models.Definition) -> None:
    return None


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The specifics of an operation's DAG.

    Attributes:
        form: returns the params of the trigger form.
        page: returns the DAG's documentation, in Markdown.
        schedule: returns its timetable.
        needed: returns whether a definition needs the operation.
        subject: returns the definition that its tasks work on.
    """

    form: Callable[[models.Definition], dict[str, Any]]
    page: Callable[[models.Definition, Plan], str]
    schedule: Callable[[models.Definition], Timetable | None] = _by_hand
    needed: Callable[[models.Definition], bool] = _always
    subject: Callable[[models.Definition], models.Definition] = _itself


def _cron(definition: models.Definition, schedule: str | None) -> CronTriggerTimetable | None:
    return None if schedule is None else CronTriggerTimetable(schedule, timezone=definition.timezone)


def _redeploys(definition: models.Definition) -> Timetable | None:
    return _cron(definition, definition.schedule)


def _clock(definition: models.Definition) -> Timetable | None:
    """Return the times of all entries; the run itself looks up which of them it is for."""
    times = dict.fromkeys(entry.schedule for entry in definition.scaling)
    return MultipleCronTriggerTimetable(*times, timezone=definition.timezone) if times else None


def _backups(definition: models.Definition) -> Timetable | None:
    return None if definition.backups is None else _cron(definition, definition.backups.schedule)


def _looks(definition: models.Definition) -> Timetable | None:
    """Return the interval of checks; missed ones are not made up for."""
    return None if definition.watch is None else DeltaTriggerTimetable(definition.watch.every)


def _watches(definition: models.Definition) -> bool:
    return definition.watch is not None


def _drills(definition: models.Definition) -> Timetable | None:
    drill = None if definition.backups is None else definition.backups.drill
    return None if drill is None else _cron(definition, drill.schedule)


def _is_drilled(definition: models.Definition) -> bool:
    return definition.backups is not None and definition.backups.drill is not None


def _keeps_state(definition: models.Definition) -> bool:
    return definition.backups is not None


def _scales(definition: models.Definition) -> bool:
    return bool(scalable(definition))


RECIPES = {
    Operation.LAUNCH: Recipe(form=forms.launch_params, page=docs.launch_page, schedule=_redeploys),
    Operation.SCALE: Recipe(
        form=forms.scale_params,
        page=docs.scale_page,
        schedule=_clock,
        needed=_scales,
    ),
    Operation.TERMINATE: Recipe(form=forms.termination_params, page=docs.termination_page),
    Operation.BACKUP: Recipe(
        form=forms.backup_params,
        page=docs.backup_page,
        schedule=_backups,
        needed=_keeps_state,
    ),
    Operation.RESTORE: Recipe(
        form=forms.restore_params,
        page=docs.restore_page,
        needed=_keeps_state,
    ),
    Operation.RECOVER: Recipe(form=forms.recover_params, page=docs.recover_page),
    Operation.WATCH: Recipe(
        form=forms.watch_params,
        page=docs.watch_page,
        schedule=_looks,
        needed=_watches,
    ),
    Operation.DRILL: Recipe(
        form=forms.drill_params,
        page=docs.drill_page,
        schedule=_drills,
        needed=_is_drilled,
        subject=drills.throw_away,
    ),
}
"""In the order of `names.Operation`."""
