"""What a look makes of a tier: its sample, who has changed it, what is kept and what is said."""

from __future__ import annotations

import dataclasses
import datetime
import logging
from typing import Any, cast

import pydantic
import pytest

from gantry import definition, names
from gantry.agent import metrics
from gantry.agent.reachability import Contact
from gantry.definition import models
from gantry.plan.rules import Verdict
from gantry.reconcile import watch_report
from gantry.runtime import autoscaling
from tests.unit.agent.world import DEFINITION, World

WEB = names.TierName("application")
BEGIN = datetime.datetime(2026, 11, 27, 10, 0, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
CPU = "scale_out_above: 80, scale_in_below: 20, breach_period: 2m, cooldown: 5m"


def known(rule: str = CPU) -> models.Definition:
    text = DEFINITION.replace("{min: 2, max: 6}", f"{{min: 2, max: 6}}, rule: {{{rule}}}")
    return definition.loads(f"{text}\nwatch: {{every: 1m}}\n")


@dataclasses.dataclass
class Tier:
    """A tier over time: what its servers say, and what its rule has made of it."""

    rule: str = CPU
    slots: tuple[int, ...] = (1, 2)
    wanted: int | None = None
    minute: int = 0
    busy: dict[int, int] = dataclasses.field(default_factory=dict)
    kept: object = None

    def look(
        self,
        percent: float | None = None,
        *,
        silent: tuple[int, ...] = (),
        number: float | None = None,
        late: bool = False,
    ) -> autoscaling.Judged:
        self.minute += 1
        now = BEGIN + self.minute * MINUTE
        known_ = known(self.rule)
        tier = known_.tiers[WEB]
        assert tier.rule is not None
        sights = []
        for slot in self.slots:
            name = f"application-{slot}"
            server = dataclasses.replace(
                World(addresses={name: f"10.0.0.{20 + slot}"}).server(name), wanted=self.wanted
            )
            self.busy[slot] = self.busy.get(slot, 0) + int((percent or 0) * 600)
            seen = metrics.MetricsResult(server.name, server.instance_id, Contact.ANSWERS)
            if slot in silent:
                seen = dataclasses.replace(seen, answer=Contact.SILENT, why="no answer")
            elif number is not None:
                seen = dataclasses.replace(seen, number=number)
            elif percent is not None:
                counters = metrics.Counters(self.busy[slot], self.minute * 60_000)
                seen = dataclasses.replace(seen, cpu=counters)
            else:
                seen = dataclasses.replace(seen, unmeasured="its agent has no measureCpu yet")
            sights.append(watch_report.ServerObservation(server, seen))
        before = None if self.minute == 1 or late else now - MINUTE
        looked = watch_report.WatchReport(now, before, tuple(sights))
        judged = autoscaling.judge(WEB, tier, tier.rule, looked, sights, autoscaling.load(self.kept))
        # As JSON, as Airflow keeps it.
        self.kept = pydantic.TypeAdapter(object).validate_json(
            autoscaling._KEPT.dump_json(judged.kept, exclude_defaults=True)
        )
        return judged

    def looks(self, *percents: float) -> list[Verdict]:
        return [self.look(each).decision.verdict for each in percents]


def told(judged: autoscaling.Judged, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.INFO):
        judged.tell(cast("Any", logging.getLogger("told")))
    return "\n".join(caplog.messages)


def test_the_cpu_is_what_was_used_since_the_look_before() -> None:
    tier = Tier()
    assert tier.look(90).found.value is None
    assert tier.look(93).found.value == pytest.approx(93)
    assert tier.look(10).found.value == pytest.approx(10)


def test_what_came_in_between_makes_the_next_look_a_first_one() -> None:
    tier = Tier()
    tier.looks(90, 90, 90)
    assert tier.look(90, late=True).decision.verdict is Verdict.UNKNOWN
    assert tier.look(90).decision.verdict is Verdict.YOUNG


def test_a_look_that_did_not_judge_ends_a_breach_too() -> None:
    tier = Tier()
    tier.looks(90, 90, 90)
    tier.minute += 1
    assert tier.looks(90, 90) == [Verdict.UNKNOWN, Verdict.YOUNG]


def test_a_restarted_server_says_nothing_of_the_time_before() -> None:
    tier = Tier()
    tier.looks(90, 90)
    tier.busy[1] = 0
    judged = tier.look(30)
    assert (judged.found.measured, judged.found.servers) == (1, 2)


def test_servers_that_are_seen_first_are_as_new() -> None:
    # For five minutes, though the breach lasts for longer.
    assert Tier().looks(*[90] * 7) == [
        Verdict.UNKNOWN, *[Verdict.YOUNG] * 2, *[Verdict.COOLING] * 2, Verdict.SCALE, Verdict.COOLING,
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"slots": (1, 2, 3)}, {"wanted": 2}, {"slots": (1, 3)}])
def test_whoever_scales_the_tier_begins_a_cooldown_and_ends_the_breach(change: dict[str, Any]) -> None:
    tier = Tier()
    tier.looks(*[50] * 8)
    assert tier.looks(90, 90) == [Verdict.YOUNG] * 2
    for key, value in change.items():
        setattr(tier, key, value)
    assert tier.looks(90, 90, 90, 90, 90, 90) == [
        Verdict.YOUNG, Verdict.YOUNG, *[Verdict.COOLING] * 3, Verdict.SCALE,
    ]  # fmt: skip


def test_a_scaling_that_failed_is_asked_for_again_after_a_cooldown() -> None:
    tier = Tier()
    tier.looks(*[90] * 5)
    assert tier.looks(*[90] * 6) == [Verdict.SCALE, *[Verdict.COOLING] * 4, Verdict.SCALE]


def test_more_servers_are_counted_from_what_is_wanted_and_not_from_what_was_lost() -> None:
    tier = Tier(wanted=4)
    tier.looks(*[90] * 5)
    assert tier.look(90).decision.wanted == 5


def test_nobody_leaves_while_a_server_is_silent() -> None:
    tier = Tier(slots=(1, 2, 3))
    tier.looks(*[5] * 5)
    assert tier.look(5, silent=(2,)).decision.verdict is Verdict.INCOMPLETE
    # It has counted on; what it did meanwhile is not known.
    assert tier.look(5).decision.verdict is Verdict.INCOMPLETE
    assert tier.look(5).decision.wanted == 2


def test_a_services_own_number_counts_from_the_first_look_on() -> None:
    tier = Tier(rule="check: app, scale_out_above: 1000, cooldown: 1m, breach_period: 1m")
    assert tier.look(number=1200).decision.verdict is Verdict.YOUNG
    judged = tier.look(number=1400)
    assert judged.decision.wanted == 3
    assert judged.why == "application: app 1400 > 1000 for 1 min, 2 → 3 servers"


def test_the_log_says_measure_thresholds_breach_cooldown_and_what_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tier = Tier()
    tier.looks(50, 50, 93)
    text = told(tier.look(93), caplog)
    assert "tier application: cpu 93 %, the mean of 2 of 2 servers; out above 80, in below 20" in text
    assert "tier application: cpu > 80 % since 10:03:00 UTC, for 1 min of 2 min" in text
    assert "tier application keeps its 2 servers: the breach has not lasted for the breach period" in text
    text = told(tier.look(93), caplog)
    assert "keeps its 2 servers: it cools down (the cooldown ends at 10:06:00 UTC)" in text
    judged = tier.look(93)
    assert "3 servers are wanted, and not 2" in told(judged, caplog)
    assert judged.why == "application: cpu 93 % > 80 % for 3 min, 2 → 3 servers"
    text = told(tier.look(), caplog)
    assert "application-1 is not measured: its agent has no measureCpu yet" in text
    assert "cpu unknown, the mean of 0 of 2 servers" in text


def test_what_another_gantry_has_kept_is_let_be() -> None:
    assert autoscaling.load({"servers": 3}) is None
    assert autoscaling.load(None) is None


def test_servers_are_asked_what_their_rule_needs() -> None:
    assert autoscaling.question(known(), WEB) == metrics.Question(None)
    by_check = known("check: app, scale_out_above: 5")
    assert autoscaling.question(by_check, WEB) == metrics.Question(names.ServiceId("a1002"))
    assert autoscaling.question(by_check, names.TierName("proxy")) is None
    assert autoscaling.question(by_check, names.TierName("gone")) is None
