"""When a rule scales: the decision against what its words say, for any history of samples."""

from __future__ import annotations

import datetime
from typing import NamedTuple

import hypothesis
import pytest
from hypothesis import strategies as st

from gantry.definition import models
from gantry.plan import rules
from gantry.plan.rules import Direction, Verdict

EVERY = datetime.timedelta(minutes=1)
BEGIN = datetime.datetime(2026, 11, 27, 10, 0, tzinfo=datetime.UTC)
RULE = models.Rule(
    scale_out_above=80,
    scale_in_below=20,
    breach_period=datetime.timedelta(minutes=3),
    cooldown=datetime.timedelta(minutes=5),
    increment=2,
)
LIMITS = models.ServerCount(min=2, max=6)


def sample(value: float | None, measured: int = 3, servers: int = 3) -> rules.Sample:
    return rules.Sample(value, 0 if value is None else measured, servers)


class Step(NamedTuple):
    """What one look made of the tier."""

    now: datetime.datetime
    found: rules.Sample
    lasting: rules.Breach | None
    changed: datetime.datetime | None
    base: int
    decision: rules.ScalingDecision


def play(
    samples: list[rules.Sample],
    *,
    rule: models.Rule = RULE,
    base: int = 3,
    changed: datetime.datetime | None = None,
) -> list[Step]:
    """Look after look; what is wanted comes at once."""
    steps, lasting = [], None
    for number, found in enumerate(samples):
        now = BEGIN + number * EVERY
        lasting = rules.breach(lasting, rule, found, now)
        decision = rules.decide(rule, LIMITS, found, lasting, base=base, changed=changed, now=now)
        steps.append(Step(now, found, lasting, changed, base, decision))
        if decision.wanted is not None:
            base, changed, lasting = decision.wanted, now, None
    return steps


def verdicts(*values: float | None, **facts: datetime.datetime | int) -> list[Verdict]:
    return [each.decision.verdict for each in play([sample(each) for each in values], **facts)]  # type: ignore[arg-type]


def test_a_breach_scales_only_when_it_has_lasted() -> None:
    assert verdicts(90, 90, 90, 90) == [Verdict.YOUNG] * 3 + [Verdict.SCALE]
    assert verdicts(90, 90, 50, 90, 90) == [Verdict.YOUNG] * 2 + [Verdict.STEADY] + [Verdict.YOUNG] * 2


def test_a_missing_sample_is_none_of_a_breach() -> None:
    assert verdicts(90, 90, None, 90)[2:] == [Verdict.UNKNOWN, Verdict.YOUNG]


def test_the_other_threshold_begins_another_breach() -> None:
    assert verdicts(90, 90, 90, 5, 5, 5)[3:] == [Verdict.YOUNG] * 3


def test_a_threshold_itself_is_no_breach() -> None:
    assert verdicts(80, 20) == [Verdict.STEADY] * 2


def test_the_cooldown_holds_what_would_be_scaled() -> None:
    begun = BEGIN - datetime.timedelta(minutes=1)
    found = verdicts(90, 90, 90, 90, 90, changed=begun)
    assert found == [Verdict.YOUNG] * 3 + [Verdict.COOLING, Verdict.SCALE]


@pytest.mark.parametrize(
    ("value", "base", "wanted"),
    [(90, 3, 5), (90, 5, 6), (90, 6, None), (5, 5, 3), (5, 3, 2), (5, 2, None), (5, 9, 6)],
)
def test_it_goes_by_the_increment_and_never_out_of_the_range(
    value: float, base: int, wanted: int | None
) -> None:
    last = play([sample(value)] * 4, base=base)[-1].decision
    assert last.wanted == wanted
    assert last.verdict is (Verdict.LIMIT if wanted is None else Verdict.SCALE)


def test_servers_leave_only_where_all_have_said_a_number_but_may_always_come() -> None:
    assert play([sample(5, measured=2)] * 4)[-1].decision.verdict is Verdict.INCOMPLETE
    assert play([sample(90, measured=1)] * 4)[-1].decision.wanted == 5


def test_the_mean_is_of_those_that_have_said_a_number() -> None:
    assert rules.sample([90.0, None, 70.0]) == rules.Sample(80.0, 2, 3)
    assert rules.sample([None, None]) == rules.Sample(None, 0, 2)


STEADILY = hypothesis.settings(deadline=None, derandomize=True, max_examples=100, database=None)
"""The same examples each time, however slow the machine."""

values = st.one_of(st.none(), st.floats(0, 100), st.sampled_from([5.0, 19.0, 20.0, 50.0, 80.0, 81.0, 95.0]))
tiers = st.integers(1, 4).flatmap(lambda servers: st.tuples(st.integers(1, servers), st.just(servers)))
samples_of_one = st.builds(lambda value, sizes: sample(value, *sizes), values, tiers)
# Loads stay for a while, or no breach would ever last.
histories = st.lists(st.tuples(samples_of_one, st.integers(1, 9)), max_size=8).map(
    lambda parts: [each for each, times in parts for _ in range(times)]
)


@STEADILY
@hypothesis.given(
    histories,
    st.integers(2, 6),
    st.one_of(st.none(), st.integers(0, 20)),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_whatever_happens_the_words_of_the_rule_hold(
    samples: list[rules.Sample], base: int, ago: int | None, increment: int, period: int, cooldown: int
) -> None:
    rule = RULE.model_copy(
        update={
            "increment": increment,
            "breach_period": period * EVERY,
            "cooldown": cooldown * EVERY,
        }
    )
    changed = None if ago is None else BEGIN - ago * EVERY
    steps = play(samples, rule=rule, base=base, changed=changed)
    last: datetime.datetime | None = changed
    for number, step in enumerate(steps):
        wanted = step.decision.wanted
        if wanted is None:
            continue
        # Every sample of the breach period was beyond the same threshold, and none was missing.
        assert number >= period
        window = samples[number - period : number + 1]
        grows = wanted > step.base
        assert all(
            each.value is not None and (each.value > 80 if grows else each.value < 20) for each in window
        )
        # The cooldown was over, within the range, by the increment at most.
        assert last is None or step.now - last >= rule.cooldown
        assert LIMITS.min <= wanted <= LIMITS.max
        assert 0 < abs(wanted - step.base) <= increment
        assert grows or step.found.measured == step.found.servers
        last = step.now


@STEADILY
@hypothesis.given(histories, st.integers(2, 6))
def test_nothing_is_left_undone_that_the_rule_calls_for(samples: list[rules.Sample], base: int) -> None:
    for number, step in enumerate(play(samples, base=base)):
        window = samples[max(0, number - 3) : number + 1]
        full = len(window) == 4 and all(each.value is not None and each.value > 80 for each in window)
        is_cool = step.changed is None or step.now - step.changed >= RULE.cooldown
        # After a scaling a breach starts over.
        lasts = step.changed is None or step.now - step.changed > RULE.breach_period
        if full and is_cool and lasts and step.base < LIMITS.max:
            assert step.decision.verdict is Verdict.SCALE


@STEADILY
@hypothesis.given(histories)
def test_what_flaps_does_nothing(samples: list[rules.Sample]) -> None:
    calm = [each for found in samples for each in (found, sample(50))]
    assert all(each.decision.wanted is None for each in play(calm))


def test_a_rule_of_one_threshold_knows_the_other_way_not() -> None:
    only_out = RULE.model_copy(update={"scale_in_below": None})
    assert rules.beyond(only_out, 0) is None
    assert rules.beyond(only_out, 81) is Direction.OUT
    only_in = RULE.model_copy(update={"scale_out_above": None})
    assert rules.beyond(only_in, 1e9) is None
    assert rules.beyond(only_in, 1) is Direction.IN
