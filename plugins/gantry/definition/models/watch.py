"""Watch settings: how often a deployment's servers are checked, and the scaling rules of tiers."""

from __future__ import annotations

import datetime
import math
from typing import Annotated

import pydantic
from pydantic import Field

from gantry.definition.fields import Duration, Flag, Model, ServiceName

SHORTEST_PAUSE = datetime.timedelta(seconds=10)
MOST_PERCENT = 100

# Strict: otherwise `true` would be a threshold of 1.
Threshold = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Watch(Model):
    """How a deployment that runs is watched."""

    every: Duration = Field(
        default=datetime.timedelta(minutes=1),
        description="The time from one check of the servers to the next, at least 10 seconds.",
        examples=["1m"],
    )

    replace: Flag = Field(
        default=False,
        description="`true`: `NAME.recover` is triggered as soon as servers are lost.",
        examples=[True],
    )

    @pydantic.field_validator("every")
    @classmethod
    def _not_too_often(cls, value: datetime.timedelta) -> datetime.timedelta:
        if value < SHORTEST_PAUSE:
            raise ValueError(f"the shortest time between two looks is {SHORTEST_PAUSE.total_seconds():g}s")
        return value


class Rule(Model):
    """When a tier is scaled automatically: when its servers' mean stays beyond a threshold."""

    check: ServiceName | None = Field(
        default=None,
        description=(
            "A service of the tier: its `enstratus-measure` prints the number. Left out: it is the CPU, in percent."
        ),
        examples=["app"],
    )
    scale_out_above: Threshold | None = Field(
        default=None, description="More servers above that. Left out: never more.", examples=[80]
    )
    scale_in_below: Threshold | None = Field(
        default=None, description="Fewer servers below that. Left out: never fewer.", examples=[20]
    )
    breach_period: Duration = Field(
        default=datetime.timedelta(minutes=5),
        description="How long every check has to find the mean beyond the threshold.",
        examples=["5m"],
    )
    cooldown: Duration = Field(
        default=datetime.timedelta(minutes=10),
        description="How long the rule waits after the tier's servers have changed, for whatever reason.",
        examples=["10m"],
    )
    increment: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(
        default=1, description="How many servers are added or removed at a time.", examples=[1]
    )

    @pydantic.model_validator(mode="after")
    def _in_below_out(self) -> Rule:
        above, below = self.scale_out_above, self.scale_in_below
        if above is None and below is None:
            raise ValueError("a rule needs scale_out_above, scale_in_below, or both")
        if above is not None and below is not None and below >= above:
            raise ValueError(f"scale_in_below ({below:g}) has to be less than scale_out_above ({above:g})")
        if self.check is None:
            for key, value in (("scale_out_above", above), ("scale_in_below", below)):
                if value is not None and not 0 < value < MOST_PERCENT:
                    raise ValueError(
                        f"{key} ({value:g}): the CPU is measured in percent, and never beyond that"
                    )
        return self

    @property
    def above(self) -> float:
        """Return the upper threshold, or infinity."""
        return math.inf if self.scale_out_above is None else self.scale_out_above

    @property
    def below(self) -> float:
        """Return the lower threshold, or minus infinity."""
        return -math.inf if self.scale_in_below is None else self.scale_in_below
