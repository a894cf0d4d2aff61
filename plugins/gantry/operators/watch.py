"""Watch task: checks a deployment's servers once, and decides which operation that calls for."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pydantic
from airflow.sdk import Context
from airflow.sdk.bases.skipmixin import SkipMixin

from gantry import errors, inventory, names
from gantry.agent import metrics
from gantry.agent.reachability import Contact
from gantry.credentials import connections
from gantry.operators import base
from gantry.plan import TRIGGERED, StepKind
from gantry.plan.steps import DEPLOYMENT, step_id
from gantry.reconcile import step_run
from gantry.reconcile.watch_report import ServerObservation, WatchReport
from gantry.runtime import auto_recovery, autoscaling, lock_holder, xcom
from gantry.runtime.trigger_request import TriggerRequest

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


Decider = Callable[[step_run.StepRun, WatchReport, "Logger"], TriggerRequest | None]
"""Decides whether a check calls for an operation, and logs why or why not."""

DECIDERS: dict[StepKind, Decider] = {
    StepKind.TRIGGER_RECOVER: auto_recovery.decide,
    StepKind.TRIGGER_SCALE: autoscaling.decide,
}
"""The decider of each operation that can be triggered. At most one operation follows from a check, the first of
`TRIGGERED`: the servers will have changed once it is done."""


@dataclasses.dataclass(frozen=True)
class _Kept:
    """State that one check leaves for the next: its time, and since when instances are silent. Times in ISO 8601."""

    looked: str
    silent: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def when(self) -> datetime.datetime:
        """Return the time of the check."""
        return datetime.datetime.fromisoformat(self.looked)


_KEPT = pydantic.TypeAdapter(_Kept)
_KEY = "watch"
"""The key in the state of the deployment's asset."""

_SLACK = datetime.timedelta(seconds=30)
"""Tolerance: a check that waits for a silent server takes about this long, which delays the next one."""


class WatchOperator(base.StepOperator, SkipMixin):
    """Checks the servers, and lets at most one of the downstream trigger tasks run."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Check the servers unless another operation is running; skip the operations that are not called for."""
        order = self._order(context, run)
        follows = None
        if order is not None:
            follows = step_id(DEPLOYMENT, order[0])
            context["ti"].xcom_push(key=follows, value=order[1].as_json())
        report = xcom.result(context, [])
        # Must come before the skipping, which ends this task.
        context["ti"].xcom_push(key="return_value", value=report)
        # Skipped here directly: no process has to be started for a task that would do nothing.
        self.skip(context["ti"], [each for each in self.downstream_list if each.task_id != follows])
        return report

    def _order(self, context: Context, run: step_run.StepRun) -> tuple[StepKind, TriggerRequest] | None:
        store = lock_holder.store(run.definition.deployment)
        if busy := lock_holder.at_work(context, run):
            self.log.info(
                "nothing is measured or decided: %s",
                lock_holder.told(run.definition.deployment, busy),
            )
            # Observations from before an operation do not describe the servers after it.
            store.delete(_KEY)
            return None
        look = self._look(run, store.get(_KEY))
        store.set(_KEY, _KEPT.dump_python(_kept(look), mode="json"))
        if any(each.seen.unmeasured for each in look.sights):
            # A script may have printed anything instead of a number.
            connections.mask(connections.with_secrets(run.definition))
        tell(look, self.log)
        look = auto_recovery.remember(run, look)
        for kind in TRIGGERED:
            if not any(step.kind is kind for step in run.plan):
                continue
            dag = names.dag_id(run.definition.deployment, TRIGGERED[kind])
            if context["ti"].get_dr_count(dag, states=["queued", "running"]):
                self.log.info("no decision: a run of %s is waiting, or has just begun", dag)
                return None
            order = DECIDERS[kind](run, look, self.log)
            if order is not None:
                return kind, order
        return None

    def _look(self, run: step_run.StepRun, kept: object) -> WatchReport:
        now = datetime.datetime.now(tz=datetime.UTC)
        earlier = load(kept)
        last = before(earlier, now, run)
        silent = earlier.silent if earlier is not None and last is not None else {}
        seen = asyncio.run(_everybody(run))
        return WatchReport(
            now,
            last,
            tuple(
                ServerObservation(server, each, _silent_since(each, silent, now))
                for server, each in zip(run.inventory, seen, strict=True)
            ),
        )


_TOLD = {
    Contact.SILENT: "%s (%s) has not answered since %s: %s",
    Contact.REFUSES: "%s (%s) refuses the login since %s: %s",
    Contact.STRANGER: "%s (%s) has had a different host key since %s: %s",
    Contact.BUSY: "%s (%s) has been busy since %s: %s",
    Contact.UNREACHED: "%s (%s) has not been reached since %s: %s",
}


def tell(look: WatchReport, log: Logger) -> None:
    """Log which servers answer, and since when others do not."""
    answering = [each for each in look.sights if each.silent_since is None]
    log.info("%d of %d servers answer", len(answering), len(look.sights))
    for each in look.sights:
        if each.silent_since is not None:
            log.warning(
                _TOLD[each.seen.answer],
                each.server.name, each.server.instance_id, f"{each.silent_since:%Y-%m-%d %H:%M:%S} UTC",
                each.seen.why,
            )  # fmt: skip


async def _everybody(run: step_run.StepRun) -> list[metrics.MetricsResult]:
    """Query all servers that are not leaving, in the inventory's order."""
    logins = {
        tier: connections.access(run.definition.launch_configuration_of(tier).ssh)
        for tier in dict.fromkeys(each.tier for each in run.inventory)
        if tier in run.definition.tiers
    }
    found: dict[names.ServerName, metrics.MetricsResult] = {}
    visits = []
    for server in run.inventory:
        try:
            target = step_run.target(server, server.name)
            visits.append(
                metrics.MetricsRequest(
                    target, logins[server.tier], autoscaling.question(run.definition, server.tier)
                )
            )
        except KeyError:
            why = f"tier {server.tier} is no longer in the definition"
            found[server.name] = metrics.MetricsResult(server.name, server.instance_id, Contact.SILENT, why)
        except errors.GantryError as error:
            found[server.name] = metrics.MetricsResult(
                server.name, server.instance_id, Contact.SILENT, _why(server, error)
            )
    found |= {each.server: each for each in await metrics.look(visits)}
    return [found[server.name] for server in run.inventory]


def _why(server: inventory.Server, error: errors.GantryError) -> str:
    if server.state is not inventory.InstanceState.RUNNING:
        return f"its instance is {server.state}"
    if server.host_key is None:
        return "no handshake with it has succeeded"
    return error.failure.headline


def _silent_since(
    seen: metrics.MetricsResult, silent: Mapping[str, str], now: datetime.datetime
) -> datetime.datetime | None:
    if seen.answer is Contact.ANSWERS:
        return None
    since = silent.get(seen.instance_id)
    return now if since is None else datetime.datetime.fromisoformat(since)


def _kept(look: WatchReport) -> _Kept:
    return _Kept(
        looked=look.now.isoformat(),
        silent={
            each.server.instance_id: each.silent_since.isoformat()
            for each in look.sights
            if each.silent_since is not None
        },
    )


def load(kept: object) -> _Kept | None:
    """Load the state of the previous check; None if unreadable, for example written by another Gantry version."""
    try:
        return None if kept is None else _KEPT.validate_python(kept)
    except pydantic.ValidationError:
        return None


def before(earlier: _Kept | None, now: datetime.datetime, run: step_run.StepRun) -> datetime.datetime | None:
    """Return the time of the previous check, unless another check should have happened in between."""
    watch = run.definition.watch
    if earlier is None or watch is None:
        return None
    is_next = datetime.timedelta(0) <= now - earlier.when <= 2 * watch.every + _SLACK
    return earlier.when if is_next else None
