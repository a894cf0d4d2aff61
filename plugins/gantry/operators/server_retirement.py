"""Servers that leave: let go of by the balancers, and taken away when nobody needs them any more.

A scale in has chosen them, or they are lost.
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
    """Have the balancers let go of the leaving servers of the step's tier, and finish what is under way there.

    For a launch that finds servers which are lost, or which a scaling that died has chosen.
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
    """Servers that were taken away, and what was skipped on the way."""

    ended: tuple[str, ...]
    skipped: tuple[str, ...]


def retire_all(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> list[str]:
    """Take the leaving servers of all tiers away, for a launch that finds some; which ones."""
    return [
        server
        for tier in dict.fromkeys(each.tier for each in run.inventory.leaving)
        if tier in run.definition.tiers
        for server in retire(context, run.at(retire_step(tier)), operator).ended
    ]


def retire(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> Retired:
    """Take a tier's leaving servers away.

    They are terminated last: until then, a repeated call finds them.

    Raises:
        AnswersAgainError: one that was lost, and has data, has come back.
    """
    leaving = run.inventory.leaving_of_tier(run.tier)
    if not leaving:
        operator.log.info("no server of tier %s leaves", run.tier)
    else:
        operator.log.info("leaving: %s", ", ".join(map(_called, leaving)))
    data_loss_check.before_terminating(run, leaving, lost_server_report.memory(run))
    skipped = termination.stop(run, leaving, operator.log).skipped
    chef = run.definition.launch_configuration_of(run.tier).chef
    # A slot may have been filled again under the same name, which is then not theirs any more.
    gone = {each.name for each in leaving} - {each.name for each in run.inventory}
    if chef is not None and gone:
        skipped += configuration_management.forget(operator, context, chef, sorted(gone))
    for line in skipped:
        operator.log.warning("skipped: %s", line)
    server_notes.forget_versions(run, [each.name for each in leaving])
    run.cloud.terminate(leaving)
    # Those too that an earlier try has asked to go.
    termination.await_end(run, run.tier, frozenset(run.cloud.ending(run.tier, only_leaving=True)))
    return Retired(tuple(each.name for each in leaving), tuple(skipped))


def _called(server: inventory.Server) -> str:
    why = "" if server.lost is None else f", lost: {server.lost}"
    return f"{server.name} ({server.instance_id}{why})"


def remember(run: step_run.StepRun) -> None:
    """Have new servers remember what their tier was scaled to, as those do that were there when it was."""
    for tier in run.definition.tiers:
        found = run.inventory.of_tier(tier)
        wanted = run.inventory.scaled_to(tier)
        new = [each for each in found if each.wanted is None]
        if wanted is not None and new:
            run.cloud.remember_wanted(new, wanted)


def balancers(run: step_run.StepRun) -> list[ssh.Target]:
    """The servers of a release step's balancer that can know of the nodes which leave; none if no node leaves.

    Raises:
        NoAddressError: one of them runs, and cannot be reached.
    """
    tier = run.definition.services[run.service].tier
    if not run.inventory.leaving_of_tier(tier):
        return []
    # A new one knows nobody yet; one that is stopped lets go when `start_proxy` has its turn there.
    return step_run.targets(
        run.inventory,
        [
            each.name
            for each in run.inventory.of_tier(run.tier)
            if each.state is inventory.InstanceState.RUNNING and each.host_key is not None
        ],
    )
