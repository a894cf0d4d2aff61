"""Scaling rules: pure functions that decide from measurements whether a tier grows or shrinks.

Each check gives one sample: the mean over the servers that have reported a number. A breach begins with the first
sample beyond a threshold, and lasts while every later one is beyond the same threshold. A missing sample ends it.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Sequence

from gantry.definition import models


class Direction(enum.StrEnum):
    """The threshold that a sample is beyond, and thus the direction of scaling."""

    OUT = "out"
    IN = "in"


@dataclasses.dataclass(frozen=True)
class Sample:
    """The measurement of a tier in one check.

    Attributes:
        value: the mean, or None if no server has reported a number.
        measured: the number of servers that have reported one.
        servers: the number of all servers of the tier.
    """

    value: float | None
    measured: int
    servers: int


@dataclasses.dataclass(frozen=True)
class Breach:
    """Consecutive samples beyond one threshold: the time of the first of them."""

    direction: Direction
    since: datetime.datetime


class Verdict(enum.StrEnum):
    """The result of a rule."""

    UNKNOWN = "nothing is measured (the CPU's load is known after two consecutive checks)"
    STEADY = "within the thresholds"
    YOUNG = "the breach has not lasted for the breach period"
    COOLING = "it cools down"
    LIMIT = "the tier has as many servers as it may have, or as few"
    INCOMPLETE = "servers leave only where all of them have said a number"
    SCALE = "the tier is scaled"


@dataclasses.dataclass(frozen=True)
class ScalingDecision:
    """The result of a rule, and the number of servers that it wants if it is `SCALE`."""

    verdict: Verdict
    wanted: int | None = None


def sample(numbers: Sequence[float | None]) -> Sample:
    """Return the sample of the numbers of a tier's servers; None for a server that has reported none."""
    said = [each for each in numbers if each is not None]
    return Sample(sum(said) / len(said) if said else None, len(said), len(numbers))


def beyond(rule: models.Rule, value: float) -> Direction | None:
    """Return the threshold that a mean is beyond, if any."""
    if value > rule.above:
        return Direction.OUT
    return Direction.IN if value < rule.below else None


def breach(before: Breach | None, rule: models.Rule, found: Sample, now: datetime.datetime) -> Breach | None:
    """Return the breach after one more sample.

    Args:
        before: the breach after the previous sample, or None; also None if that is missing or too long ago.
        rule: the tier's rule.
        found: the sample.
        now: its time.
    """
    direction = None if found.value is None else beyond(rule, found.value)
    if direction is None:
        return None
    return before if before is not None and before.direction is direction else Breach(direction, now)


def decide(
    rule: models.Rule,
    limits: models.ServerCount,
    found: Sample,
    lasting: Breach | None,
    *,
    base: int,
    changed: datetime.datetime | None,
    now: datetime.datetime,
) -> ScalingDecision:
    """Return the decision after the newest sample.

    Args:
        rule: the tier's rule.
        limits: the minimum and the maximum number of servers.
        found: the newest sample.
        lasting: the breach that it belongs to.
        base: the number of servers that the tier has, or is wanted to have.
        changed: when the tier's servers last changed, or were requested to; None: never.
        now: the sample's time.
    """
    if found.value is None:
        return ScalingDecision(Verdict.UNKNOWN)
    if lasting is None:
        return ScalingDecision(Verdict.STEADY)
    if now - lasting.since < rule.breach_period:
        return ScalingDecision(Verdict.YOUNG)
    if changed is not None and now < changed + rule.cooldown:
        return ScalingDecision(Verdict.COOLING)
    return _beyond_waiting(rule, limits, found, lasting.direction, base)


def _beyond_waiting(
    rule: models.Rule, limits: models.ServerCount, found: Sample, direction: Direction, base: int
) -> ScalingDecision:
    if direction is Direction.OUT:
        wanted = min(max(base + rule.increment, limits.min), limits.max)
        return ScalingDecision(Verdict.SCALE, wanted) if wanted > base else ScalingDecision(Verdict.LIMIT)
    wanted = max(base - rule.increment, limits.min)
    if wanted >= base:
        return ScalingDecision(Verdict.LIMIT)
    if found.measured < found.servers:
        return ScalingDecision(Verdict.INCOMPLETE)
    return ScalingDecision(Verdict.SCALE, min(wanted, limits.max))
