"""Each operation's DAG: its schedule and its page.

Its form is in `gantry.requests`; other parts without Airflow are in `gantry.plan`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from airflow.sdk import CronTriggerTimetable, DeltaTriggerTimetable, MultipleCronTriggerTimetable

from gantry.dag import docs
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
        page: returns the DAG's documentation, in Markdown.
        schedule: returns its timetable.
        needed: returns whether a definition needs the operation.
        subject: returns the definition that its tasks work on.
    """

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
    Operation.LAUNCH: Recipe(page=docs.launch_page, schedule=_redeploys),
    Operation.SCALE: Recipe(
        page=docs.scale_page,
        schedule=_clock,
        needed=_scales,
    ),
    Operation.TERMINATE: Recipe(page=docs.termination_page),
    Operation.BACKUP: Recipe(
        page=docs.backup_page,
        schedule=_backups,
        needed=_keeps_state,
    ),
    Operation.RESTORE: Recipe(
        page=docs.restore_page,
        needed=_keeps_state,
    ),
    Operation.RECOVER: Recipe(page=docs.recover_page),
    Operation.WATCH: Recipe(
        page=docs.watch_page,
        schedule=_looks,
        needed=_watches,
    ),
    Operation.DRILL: Recipe(
        page=docs.drill_page,
        schedule=_drills,
        needed=_is_drilled,
        subject=drills.throw_away,
    ),
}
"""In the order of `names.Operation`."""
