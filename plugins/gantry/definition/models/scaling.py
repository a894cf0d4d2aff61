"""Scheduled scaling: the number of servers of tiers at given times."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Annotated

import croniter
import pydantic
from pydantic import Field

from gantry import names
from gantry.definition.fields import Model, TierName
from gantry.definition.models import runs
from gantry.definition.models.servers import MOST_SERVERS

_QUARTERLY = {"@quarterly": "0 0 1 */3 *"}
"""A preset of Airflow that croniter does not know."""


class ScalingTime(Model):
    """How many servers tiers have from some time on."""

    schedule: str = Field(
        description="Cron expression (five fields) or `@daily` and the like, in the file's `timezone`.",
        examples=["0 8 * * 1-5"],
    )
    servers: Annotated[
        dict[TierName, Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)]], Field(min_length=1)
    ] = Field(
        description="Numbers of servers, by tier. Tiers that are not named stay as they are.",
        examples=[{"web": 4}],
    )

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        return runs.schedule(value) or value

    def last(self, moment: datetime.datetime) -> datetime.datetime:
        """Return when its time last occurred, in local time. `moment` is local time too, and inclusive."""
        cron = croniter.croniter(
            _QUARTERLY.get(self.schedule, self.schedule), moment + datetime.timedelta(seconds=1)
        )
        found: datetime.datetime = cron.get_prev(datetime.datetime)
        return found


def at(entries: Iterable[ScalingTime], moment: datetime.datetime) -> dict[names.TierName, int]:
    """Return the scheduled sizes at a time: of the entries that occurred last; for equal times, later entries win.

    Not only exact matches to the minute: an hour that daylight saving time skips counts as passed.
    """
    came = [(entry, entry.last(moment)) for entry in entries]
    latest = max((last for _, last in came), default=moment)
    found: dict[names.TierName, int] = {}
    for entry, last in came:
        if last == latest:
            found |= entry.servers
    return found
