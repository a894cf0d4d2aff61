"""Automatic recovery: evaluates a watch's check for lost servers, and decides whether to trigger a recovery."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gantry import names
from gantry.agent import reachability
from gantry.plan import StepKind
from gantry.reconcile import replacement, server_health, step_run
from gantry.reconcile.watch_report import WatchReport
from gantry.runtime import lock_holder, lost_server_report
from gantry.runtime.trigger_request import TriggerRequest
from gantry.state import filled_slots

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_KEY = "watch:recover"
"""The key in the asset's state: what the last triggered recovery was for, and when."""

_AGAIN = datetime.timedelta(hours=1)
"""Time after which an unsuccessful recovery is triggered again. Its cause probably needs a person."""


def remember(run: step_run.StepRun, look: WatchReport) -> WatchReport:
    """Record what a check says about unhealthy or recovered servers; return the check including that.

    If the watch does not replace servers, this is free unless an earlier check (a launch's, say) has recorded
    something.
    """
    replaces = any(step.kind is StepKind.TRIGGER_RECOVER for step in run.plan)
    if not replaces and all(each.server.ailing is None for each in look.sights):
        return look
    findings = _findings(run, look)
    lost_server_report.remember(run, findings)
    return dataclasses.replace(look, findings=findings)


def decide(run: step_run.StepRun, look: WatchReport, log: Logger) -> TriggerRequest | None:
    """Request a recovery if servers are lost.

    The recovery is requested for all lost servers, not for these by name: it checks again when it holds the lock, and
    servers that answer by then are left alone.
    """
    store = lock_holder.store(run.definition.deployment)
    before = filled_slots.load(store.get(filled_slots.KEY))
    if not before:
        # Never launched, terminated, or in the middle of a launch: then it is for the launch to continue.
        return None
    findings = look.findings
    for line in lost_server_report.said(findings):
        log.warning("%s", line)
    try:
        choice = replacement.choose(run.definition, run.inventory, findings, None, before)
    except replacement.NoServerAnswersError as error:
        log.warning("%s", error)
        return None
    reasons = dict(_reasons(run, choice))
    if not reasons:
        store.delete(_KEY)
        return None
    digest = hashlib.sha256("\n".join(f"{name} {why}" for name, why in sorted(_who(run, reasons))).encode())
    asked = store.get(_KEY)
    if isinstance(asked, dict) and asked.get("what") == digest.hexdigest():
        since = datetime.datetime.fromisoformat(str(asked["when"]))
        if look.now - since < _AGAIN:
            log.error(
                "still lost: %s. A recovery was requested at %s; check why it did not help. It is requested again "
                "from %s on",
                ", ".join(reasons), server_health.told(since), server_health.told(since + _AGAIN),
            )  # fmt: skip
            return None
    store.set(_KEY, {"what": digest.hexdigest(), "when": look.now.isoformat()})
    return TriggerRequest({}, "; ".join(f"{name}: {why}" for name, why in reasons.items()))


def _findings(run: step_run.StepRun, look: WatchReport) -> server_health.HealthReport:
    """Return the servers' health from what the check has seen; queries services' checks where they count."""
    running = server_health.running_of(run.definition, (each.server for each in look.sights))
    answers = {
        each.server.name: reachability.ServerAnswer(each.seen.answer, each.seen.why) for each in look.sights
    }
    # A server that was never greeted may have published its key on its console since, and one without an address does
    # not count as silent.
    again = [
        each
        for each in running
        if each.host_key is None
        or each.ssh_address is None
        or (
            run.definition.tiers[each.tier].replace_impaired
            and answers[each.name].contact is reachability.Contact.ANSWERS
        )
    ]
    if again:
        answers |= server_health.meet(run.definition, again, run.cloud)
    impaired = run.health.impaired(running) if running else {}
    return server_health.judge(run.definition, running, answers, impaired, look.now)


def _reasons(run: step_run.StepRun, choice: replacement.Choice) -> Iterator[tuple[names.ServerName, str]]:
    """Yield why a recovery is called for, by server."""
    yield from choice.servers.items()
    staying = choice.staying(run.inventory)
    for each in replacement.resumed(run.definition, staying, run.wanted, choice.slots):
        yield each.name, f"its instance is {each.state}"
    for tier, slots in replacement.missing(run.definition, staying, run.wanted, choice.slots).items():
        for slot in slots:
            name = run.definition.name_of(tier, slot)
            if name not in choice.servers:
                yield name, "its instance is gone"


def _who(run: step_run.StepRun, reasons: dict[names.ServerName, str]) -> Iterator[tuple[str, str]]:
    """Yield the lost servers with their instances: a replacement that is lost too is a new loss."""
    for name in reasons:
        server = run.inventory.named(name)
        yield name, "" if server is None else server.instance_id
