"""Scale-up and handshake: start as many servers as requested, and wait until their agents answer."""

from __future__ import annotations

import asyncio
import datetime
import functools
import itertools
import time
from collections.abc import Sequence
from typing import Any

from airflow.sdk import Context

from gantry import errors, names
from gantry.agent import fan_out as drive
from gantry.cloud import instance_start, pace
from gantry.inventory import InstanceState
from gantry.operators import base, server_retirement
from gantry.plan import Group, GroupKind, StepKind
from gantry.plan.steps import step_id
from gantry.reconcile import step_run, tier_size
from gantry.runtime import (
    lost_server_report,
    recent_starts,
    server_bootstrap,
    task_log,
    xcom,
)
from gantry.status import labels
from gantry.triggers import server_work


class ServersChangedError(errors.GantryError):
    """A server of the tier is gone, or another one has come, since the run has asked all."""

    def __init__(self, tier: names.TierName) -> None:
        self.tier = tier
        super().__init__(
            f"the servers of tier {tier} are not those that were asked when this run began, and the steps that prepare "
            f"new ones are skipped: nothing was started\n"
            f"Clear {lost_server_report.FIND_LOST} together with its downstream tasks."
        )


class ScaleUpOperator(base.StepOperator):
    """Starts a tier's missing servers. Its XCom distributes the servers over the mapped task instances that follow."""

    def perform(self, context: Context, run: step_run.StepRun) -> list[list[str]]:
        """Start the missing servers; return batches of server names, `fan_out` at most."""
        if not _releases(run):
            server_retirement.release(run, self.log)
        wanted = tier_size.wanted_servers(run.definition, run.tier, run.wanted[run.tier])
        wanted = tier_size.or_remembered(run.definition, run.tier, wanted, run.inventory)
        login = run.access().login
        lost = lost_server_report.slots(context, run.tier)
        refuse_if_changed(context, run, wanted)
        order = instance_start.StartOrder(
            run=run.digest,
            generation=run.key.epoch,
            before=run.started(),
            tell=functools.partial(recent_starts.note, run),
            full=recent_starts.full(run),
            tell_full=functools.partial(recent_starts.note_full, run),
        )
        scaling = run.cloud.scale_up(run.tier, wanted, login.authorized_key(), login.user, order, lost)
        for server in scaling.kept:
            self.log.info("server %s is kept: instance %s, %s", server.name, server.instance_id, server.state)
        self.log.info(
            "scaling event: tier %s, before %d, wanted %d, after %d",
            scaling.tier, scaling.before, scaling.wanted, scaling.after,
        )  # fmt: skip
        names_ = [server.name for server in scaling.servers]
        context["ti"].xcom_push(key="report", value=xcom.result(context, list(names_)))
        return deal(names_, run.definition.fan_out)


def refuse_if_changed(context: Context, run: step_run.StepRun, wanted: int) -> None:
    """Start nothing if the steps that would prepare a new server are skipped. Raises ServersChangedError."""
    there = run.inventory.of_tier(run.tier)
    if len(there) >= wanted and not any(
        each.is_new or each.state is not InstanceState.RUNNING for each in there
    ):
        return
    handshake = step_id(Group(GroupKind.TIER, run.tier), StepKind.HANDSHAKE)
    if handshake in lost_server_report.needless(context):
        raise ServersChangedError(run.tier)


def _releases(run: step_run.StepRun) -> bool:
    """Return whether separate steps remove the tier's leaving servers from the load balancers."""
    services = run.definition.services
    return any(
        step.kind is StepKind.RELEASE_NODES
        and step.service is not None
        and services[step.service].tier == run.tier
        for step in run.plan
    )


class HandshakeOperator(base.StepOperator):
    """Waits until servers answer, and installs the agent: their agents change from STARTING to RUNNING."""

    template_fields: Sequence[str] = ("servers",)

    def __init__(self, *, servers: Any, **kwargs: Any) -> None:  # noqa: ANN401 - a list, or Airflow's stand-in for one
        super().__init__(**kwargs)
        self.servers = servers

    @property
    def servers_label(self) -> str:
        """Return the task instance's label in the UI."""
        return labels.label(list(self.servers))

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Try for the attend time; defer to the triggerer what takes longer."""
        guests = server_bootstrap.everyone(self.servers)
        limit = server_bootstrap.Limit.of(run.definition.timeouts.handshake.total_seconds(), run.until)
        output = task_log.printer(self.log, several=len(guests) > 1)
        greeter = server_bootstrap.Bootstrapper(run.cloud, run.access(), output, run.started())
        attend = run.definition.attend_time.total_seconds()
        with pace.shared(hands(run)):
            is_done = asyncio.run(greeter.greet(guests, limit, attend))
        if not is_done:
            # One limit for all: the latest.
            self._hand_over(context, run, limit.later(max(each.waited for each in guests if not each.done)))
        failures = server_bootstrap.failures(guests)
        if failures:
            raise drive.StepFailedError(failures)
        return xcom.result(context, list(self.servers))

    def _hand_over(self, context: Context, run: step_run.StepRun, limit: server_bootstrap.Limit) -> None:
        self.log.info(
            "not all servers answered within %s; the triggerer continues to wait", run.definition.attend_time
        )
        self.defer(
            trigger=server_work.HandshakeTrigger(
                definition=run.definition.model_copy(update={"deployment": run.deployment}).model_dump(
                    mode="json"
                ),
                deployment=run.definition.deployment,
                login=run.ssh_settings.model_dump(mode="json"),
                wanted=list(self.servers),
                deadline=limit.deadline,
                asked=limit.asked,
                limit=limit.key,
                report=xcom.result(context, list(self.servers)),
            ),
            method_name="resume",
            timeout=datetime.timedelta(seconds=max(limit.deadline - time.time(), 0) + 120),
        )


def hands(run: step_run.StepRun) -> int:
    """Return how many task instances wait for servers in parallel, each in a process of its own."""
    fan_out = run.definition.fan_out
    return sum(min(fan_out, run.wanted.get(tier, 0)) for tier in run.definition.tiers)


def deal(servers: Sequence[str], hands: int) -> list[list[str]]:
    """Split servers into at most that many batches of neighbours, with sizes as even as possible.

    Five servers in two batches make three and two; one server makes one batch.
    """
    count = min(hands, len(servers))
    edges = [len(servers) * number // count for number in range(count + 1)] if count else [0]
    return [list(servers[start:end]) for start, end in itertools.pairwise(edges)]
