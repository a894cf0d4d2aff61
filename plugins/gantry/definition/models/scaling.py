"""Scaling by the clock: at which times a tier has how many servers."""

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
"""Airflow's word for it, which croniter does not know."""


class ScalingTime(Model):
    """How many servers tiers have from some time on."""

    schedule: str = Field(
        description="Cron expression (five fields) or `@daily` and the like, in the file's `timezone`.",
        examples=["0 8 * * 1-5"],
    )
    servers: Annotated[
        dict[TierName, Annotated[int, Field(strict=True, ge=1, le=MOST_SERVERS)]], Field(min_length=1)
    ] = Field(
        description="How many servers, by tier. Tiers that are not named stay as they are.",
        examples=[{"web": 4}],
    )

    @pydantic.field_validator("schedule")
    @classmethod
    def _cron(cls, value: str) -> str:
        return runs.schedule(value) or value

    def last(self, moment: datetime.datetime) -> datetime.datetime:
        """When its time last came, as a wall clock shows it. `moment` is such a time too, and counts."""
        cron = croniter.croniter(
            _QUARTERLY.get(self.schedule, self.schedule), moment + datetime.timedelta(seconds=1)
        )
        found: datetime.datetime = cron.get_prev(datetime.datetime)
        return found


def at(entries: Iterable[ScalingTime], moment: datetime.datetime) -> dict[names.TierName, int]:
    """What the clock says at a moment: the entries whose time came last, the later ones of the file over the earlier.

    Not only those whose time it is to the minute: an hour that summer time skips has passed all the same.
    """
    came = [(entry, entry.last(moment)) for entry in entries]
    latest = max((last for _, last in came), default=moment)
    found: dict[names.TierName, int] = {}
    for entry, last in came:
        if last == latest:
            found |= entry.servers
    return found
