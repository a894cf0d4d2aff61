"""Retirement of leaving servers: removed from the load balancers, and terminated when no longer needed.

They were chosen by a scale-in, or are lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from airflow.sdk import Context

from gantry import inventory
from gantry.agent import fan_out, jobs, ssh
from gantry.operators import base, configuration_management, termination
from gantry.plan import release_steps, retire_step
from gantry.reconcile import data_loss_check, step_run, step_work
from gantry.runtime import lost_server_report, server_notes, task_log

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


def release(run: step_run.StepRun, log: Logger) -> None:
    """Remove the leaving servers of the step's tier from the balancers, and wait until open requests are finished.

    For a launch that finds lost servers, or servers that an interrupted scaling has chosen.
    """
    if not run.inventory.leaving_of_tier(run.tier):
        return
    log.info("servers of tier %s that will be removed are taken out of the load balancers first", run.tier)
    for step in release_steps(run.definition, run.tier):
        at = run.at(step)
        everything = fan_out.begin(balancers(at))
        output = task_log.printer(log, several=len(everything) > 1)
        asyncio.run(_work(at, everything, output))
        fan_out.verdict(everything)


async def _work(run: step_run.StepRun, everything: list[jobs.ServerProgress], output: jobs.Output) -> None:
    access = run.access()
    async with fan_out.Lines() as kept:
        await fan_out.prepare(everything, access, step_work.decide(run), output, kept=kept)
        await fan_out.carry_out(everything, access, run.key, output, kept=kept)


@dataclasses.dataclass(frozen=True)
class Retired:
    """Servers that were terminated, and what was skipped meanwhile."""

    ended: tuple[str, ...]
    skipped: tuple[str, ...]


def retire_all(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> list[str]:
    """Terminate the leaving servers of all tiers, for a launch that finds some; return their names."""
    return [
        server
        for tier in dict.fromkeys(each.tier for each in run.inventory.leaving)
        if tier in run.definition.tiers
        for server in retire(context, run.at(retire_step(tier)), operator).ended
    ]


def retire(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> Retired:
    """Terminate a tier's leaving servers.

    The termination comes last: until then, a repeated call still finds them.

    Raises:
        ReturnedServersError: a server that was lost, and that has data, answers again.
    """
    leaving = run.inventory.leaving_of_tier(run.tier)
    if not leaving:
        operator.log.info("no server of tier %s is removed", run.tier)
    else:
        operator.log.info("leaving: %s", ", ".join(map(_called, leaving)))
    data_loss_check.before_terminating(run, leaving, lost_server_report.memory(run))
    skipped = termination.stop(run, leaving, operator.log).skipped
    chef = run.definition.launch_configuration_of(run.tier).chef
    # A slot may have been filled again under the same name, which then belongs to the new server.
    gone = {each.name for each in leaving} - {each.name for each in run.inventory}
    if chef is not None and gone:
        skipped += configuration_management.forget(operator, context, chef, sorted(gone))
    for line in skipped:
        operator.log.warning("skipped: %s", line)
    server_notes.forget_versions(run, [each.name for each in leaving])
    run.cloud.terminate(leaving)
    # Includes instances whose termination an earlier try has requested.
    termination.await_end(run, run.tier, frozenset(run.cloud.ending(run.tier, only_leaving=True)))
    return Retired(tuple(each.name for each in leaving), tuple(skipped))


def _called(server: inventory.Server) -> str:
    why = "" if server.lost is None else f", lost: {server.lost}"
    return f"{server.name} ({server.instance_id}{why})"


def remember(run: step_run.StepRun) -> None:
    """Record on new servers the number that their tier was scaled to, as it is recorded on the older ones."""
    for tier in run.definition.tiers:
        found = run.inventory.of_tier(tier)
        wanted = run.inventory.scaled_to(tier)
        new = [each for each in found if each.wanted is None]
        if wanted is not None and new:
            run.cloud.remember_wanted(new, wanted)


def balancers(run: step_run.StepRun) -> list[ssh.Target]:
    """Return the servers of a release step's balancer that may know the leaving nodes; empty if no node leaves.

    Raises:
        NoAddressError: one of them runs but cannot be reached.
    """
    tier = run.definition.services[run.service].tier
    if not run.inventory.leaving_of_tier(tier):
        return []
    # A new one has no nodes yet; a stopped one drops them when `start_proxy` runs there.
    return step_run.targets(
        run.inventory,
        [
            each.name
            for each in run.inventory.of_tier(run.tier)
            if each.state is inventory.InstanceState.RUNNING and each.host_key is not None
        ],
    )
