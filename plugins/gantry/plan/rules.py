"""Whether a tier becomes larger or smaller by its rule: pure functions of what looks have found.

A look gives one sample: the mean over the servers that have said a number. A breach begins with the first sample beyond
a threshold, and lasts for as long as every later one is beyond the same threshold. A sample that is missing ends it.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Sequence

from gantry.definition import models


class Direction(enum.StrEnum):
    """Which threshold a sample is beyond, and so where the tier goes."""

    OUT = "out"
    IN = "in"


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a look has found of a tier.

    Attributes:
        value: the mean, or None where no server has said a number.
        measured: servers that have said one.
        servers: all servers of the tier.
    """

    value: float | None
    measured: int
    servers: int


@dataclasses.dataclass(frozen=True)
class Breach:
    """Samples in a row that are beyond one threshold: the time of the first of them."""

    direction: Direction
    since: datetime.datetime


class Verdict(enum.StrEnum):
    """What a rule says."""

    UNKNOWN = "nothing is measured (of the CPU two looks in a row say how busy it was)"
    STEADY = "within the thresholds"
    YOUNG = "the breach has not lasted for the breach period"
    COOLING = "it cools down"
    LIMIT = "the tier has as many servers as it may have, or as few"
    INCOMPLETE = "servers leave only where all of them have said a number"
    SCALE = "the tier is scaled"


@dataclasses.dataclass(frozen=True)
class ScalingDecision:
    """What a rule says, and how many servers it wants, where it says `SCALE`."""

    verdict: Verdict
    wanted: int | None = None


def sample(numbers: Sequence[float | None]) -> Sample:
    """The sample that the numbers of all servers of a tier make; None of one that has said none."""
    said = [each for each in numbers if each is not None]
    return Sample(sum(said) / len(said) if said else None, len(said), len(numbers))


def beyond(rule: models.Rule, value: float) -> Direction | None:
    """The threshold that a mean is beyond, if any."""
    if value > rule.above:
        return Direction.OUT
    return Direction.IN if value < rule.below else None


def breach(before: Breach | None, rule: models.Rule, found: Sample, now: datetime.datetime) -> Breach | None:
    """The breach after one more sample.

    Args:
        before: the breach after the sample before, or None; also where that is missing or too long ago.
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
    """What follows from the newest sample.

    Args:
        rule: the tier's rule.
        limits: the fewest and the most servers.
        found: the newest sample.
        lasting: the breach that it belongs to.
        base: how many servers the tier has, or is wanted to have.
        changed: when the tier's servers have changed last, or were asked to; None: never.
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
