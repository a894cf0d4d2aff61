"""Watching: how often a deployment's servers are looked at."""

from __future__ import annotations

import datetime

import pydantic
from pydantic import Field

from gantry.definition.fields import Duration, Model

SHORTEST_PAUSE = datetime.timedelta(seconds=10)


class Watch(Model):
    """How a deployment that runs is watched."""

    every: Duration = Field(
        default=datetime.timedelta(minutes=1),
        description="The time from one look to the next, 10 seconds at least.",
        examples=["1m"],
    )

    @pydantic.field_validator("every")
    @classmethod
    def _not_too_often(cls, value: datetime.timedelta) -> datetime.timedelta:
        if value < SHORTEST_PAUSE:
            raise ValueError(f"the shortest time between two looks is {SHORTEST_PAUSE.total_seconds():g}s")
        return value
