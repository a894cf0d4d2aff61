"""Rule-based scaling: evaluates a watch's measurements of tiers with rules, and decides whether to scale."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pydantic

from gantry import durations, inventory, names, requests
from gantry.agent import metrics
from gantry.definition import models
from gantry.plan import rules
from gantry.reconcile import step_run
from gantry.reconcile.watch_report import ServerObservation, WatchReport
from gantry.runtime import lock_holder
from gantry.runtime.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


@dataclasses.dataclass(frozen=True)
class _Kept:
    """State of a tier between two checks; times in ISO 8601.

    Attributes:
        looked: time of the check. Not every check judges a tier: the next one must know whether this was the previous
            one.
        servers: digest of the servers and of their wanted number. A different one means that the tier was scaled by
            hand.
        changed: when that was first seen, or when a rule last requested a scaling.
        beyond, since: the breach, if there is one.
        cpu: the CPU counters of each instance.
    """

    looked: str
    servers: str
    changed: str
    beyond: rules.Direction | None = None
    since: str = ""
    cpu: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    @property
    def breach(self) -> rules.Breach | None:
        """Return the breach, if there is one."""
        if self.beyond is None:
            return None
        return rules.Breach(self.beyond, datetime.datetime.fromisoformat(self.since))


_KEPT = pydantic.TypeAdapter(_Kept)
_CPU = "cpu"
"""The measure's name in messages, for a rule without a check."""

_KEY = "watch:tier:{}"
"""A tier's key in the state of the deployment's asset."""


def decide(run: step_run.StepRun, look: WatchReport, log: Logger) -> TriggerRequest | None:
    """Judge every tier that has a rule, store what the next check needs, and return the wanted operation."""
    sizes: dict[str, int] = {}
    reasons = []
    store = lock_holder.store(run.definition.deployment)
    for name, tier in run.definition.tiers.items():
        if tier.rule is None:
            continue
        sights = tuple(each for each in look.sights if each.server.tier == name)
        if not sights:
            # After a launch, the state starts from scratch.
            store.delete(_KEY.format(name))
            continue
        judged = judge(name, tier, tier.rule, look, sights, load(store.get(_KEY.format(name))))
        store.set(_KEY.format(name), _KEPT.dump_python(judged.kept, mode="json", exclude_defaults=True))
        judged.tell(log)
        if judged.decision.wanted is not None:
            sizes[name] = judged.decision.wanted
            reasons.append(judged.why)
    return TriggerRequest(requests.ScaleRequest(servers=sizes).conf(), "; ".join(reasons)) if sizes else None


def question(definition: models.Definition, tier: names.TierName) -> metrics.Question | None:
    """Return the measurement to take on the servers of a tier at each check."""
    rule = definition.tiers[tier].rule if tier in definition.tiers else None
    if rule is None:
        return None
    return metrics.Question(None if rule.check is None else definition.services[rule.check].id)


@dataclasses.dataclass(frozen=True)
class Judged:
    """The judgment on one tier, and the state for the next check."""

    tier: names.TierName
    rule: models.Rule
    now: datetime.datetime
    sights: Sequence[ServerObservation]
    found: rules.Sample
    base: int
    decision: rules.ScalingDecision
    kept: _Kept

    @property
    def why(self) -> str:
        """Return why the tier is scaled, for the record."""
        breach = self.kept.breach
        since = self.now if breach is None else breach.since
        return (
            f"{self.tier}: {self._what} {self._threshold(breach)} for {durations.text(self.now - since, exact=False)}, "
            f"{self.base} → {self.decision.wanted} servers"
        )

    def tell(self, log: Logger) -> None:
        """Log what was measured, against which threshold, since when, and what follows."""
        for each in self.sights:
            if each.seen.unmeasured:
                log.warning("%s is not measured: %s", each.server.name, each.seen.unmeasured)
        log.info(
            "tier %s: %s, the mean of %d of %d servers; out above %s, in below %s",
            self.tier, self._what, self.found.measured, self.found.servers,
            _threshold(self.rule.scale_out_above), _threshold(self.rule.scale_in_below),
        )  # fmt: skip
        breach = self.kept.breach
        if breach is not None:
            log.info(
                "tier %s: %s %s since %s, for %s of %s",
                self.tier, self.rule.check or _CPU, self._threshold(breach), _clock(breach.since),
                durations.text(self.now - breach.since, exact=False),
                durations.text(self.rule.breach_period, exact=False),
            )  # fmt: skip
        if self.decision.verdict is rules.Verdict.SCALE:
            log.info("tier %s: %d servers are wanted, and not %d", self.tier, self.decision.wanted, self.base)
        else:
            log.info(
                "tier %s keeps its %d servers: %s%s",
                self.tier, self.base, self.decision.verdict, self._until,
            )  # fmt: skip

    @property
    def _what(self) -> str:
        unit = " %" if self.rule.check is None else ""
        value = "unknown" if self.found.value is None else f"{_number(self.found.value)}{unit}"
        return f"{self.rule.check or _CPU} {value}"

    def _threshold(self, breach: rules.Breach | None) -> str:
        unit = " %" if self.rule.check is None else ""
        if breach is not None and breach.direction is rules.Direction.IN:
            return f"< {self.rule.below:g}{unit}"
        return f"> {self.rule.above:g}{unit}"

    @property
    def _until(self) -> str:
        cool = datetime.datetime.fromisoformat(self.kept.changed) + self.rule.cooldown
        return f" (the cooldown ends at {_clock(cool)})" if self.now < cool else ""


def judge(
    name: names.TierName,
    tier: models.Tier,
    rule: models.Rule,
    look: WatchReport,
    sights: Sequence[ServerObservation],
    kept: _Kept | None,
) -> Judged:
    """Judge one tier. `kept` is the state of the previous check, if any."""
    last = kept if kept is not None and look.before == datetime.datetime.fromisoformat(kept.looked) else None
    found = rules.sample(numbers(rule, sights, {} if last is None else last.cpu))
    digest = _digest(sights)
    # How long the servers have been in this state is unknown, so it counts from now.
    is_other = kept is None or kept.servers != digest
    changed = look.now if kept is None or is_other else datetime.datetime.fromisoformat(kept.changed)
    before = None if last is None or is_other else last.breach
    breach = rules.breach(before, rule, found, look.now)
    remembered = inventory.scaled_to(each.server for each in sights) or 0
    base = max(len(sights), min(remembered, tier.servers.max), tier.servers.min)
    decision = rules.decide(rule, tier.servers, found, breach, base=base, changed=changed, now=look.now)
    # Counted from the request: a failed scaling is not requested again at each check.
    since = look.now if decision.verdict is rules.Verdict.SCALE else changed
    return Judged(
        tier=name,
        rule=rule,
        now=look.now,
        sights=sights,
        found=found,
        base=base,
        decision=decision,
        kept=_Kept(
            looked=look.now.isoformat(),
            servers=digest,
            changed=since.isoformat(),
            beyond=None if breach is None else breach.direction,
            since="" if breach is None else breach.since.isoformat(),
            cpu={
                each.server.instance_id: (each.seen.cpu.busy, each.seen.cpu.possible)
                for each in sights
                if each.seen.cpu is not None
            },
        ),
    )


def numbers(
    rule: models.Rule, sights: Sequence[ServerObservation], cpu: Mapping[str, tuple[int, int]]
) -> list[float | None]:
    """Return each server's measurement: its script's number, or its CPU counters compared with the previous check."""
    if rule.check is not None:
        return [each.seen.number for each in sights]
    found: list[float | None] = []
    for each in sights:
        before = cpu.get(each.server.instance_id)
        found.append(
            None
            if before is None or each.seen.cpu is None
            else each.seen.cpu.percent(metrics.Counters(*before))
        )
    return found


def load(kept: object) -> _Kept | None:
    """Load the state of the previous check; None if unreadable, for example written by another Gantry version."""
    try:
        return None if kept is None else _KEPT.validate_python(kept)
    except pydantic.ValidationError:
        return None


def _digest(sights: Sequence[ServerObservation]) -> str:
    facts = sorted(f"{each.server.instance_id} {each.server.wanted}" for each in sights)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _threshold(value: float | None) -> str:
    return "nothing" if value is None else f"{value:g}"


def _clock(moment: datetime.datetime) -> str:
    return f"{moment:%H:%M:%S} UTC"
