"""Servers that leave: let go of by the balancers, and taken away when nobody needs them any more.

A scale in has chosen them, or they are lost.
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

from airflow.sdk import Context

from gantry import inventory
from gantry.agent import drive, jobs, ssh
from gantry.operators import (
    base,
    chosen,
    configuration_management,
    decisions,
    ledger,
    printing,
    second_look,
    termination,
)
from gantry.operators import run as runs
from gantry.plan import release_steps, retire_step

if TYPE_CHECKING:
    from airflow.sdk.types import Logger


def release(run: runs.Run, log: Logger) -> None:
    """Have the balancers let go of the leaving servers of the step's tier, and finish what is under way there.

    For a launch that finds servers which are lost, or which a scaling that died has chosen.
    """
    if not run.inventory.leaving_of_tier(run.tier):
        return
    log.info("servers of tier %s that will be removed are taken out of the load balancers first", run.tier)
    for step in release_steps(run.definition, run.tier):
        at = run.at(step)
        everything = drive.begin(balancers(at))
        output = printing.printer(log, several=len(everything) > 1)
        asyncio.run(_work(at, everything, output))
        drive.verdict(everything)


async def _work(run: runs.Run, everything: list[jobs.Progress], output: jobs.Output) -> None:
    access = run.access()
    async with drive.Lines() as kept:
        await drive.prepare(everything, access, decisions.decide(run), output, kept=kept)
        await drive.carry_out(everything, access, run.key, output, kept=kept)


@dataclasses.dataclass(frozen=True)
class Retired:
    """Servers that were taken away, and what was skipped on the way."""

    ended: tuple[str, ...]
    skipped: tuple[str, ...]


def retire_all(context: Context, run: runs.Run, operator: base.StepOperator) -> list[str]:
    """Take the leaving servers of all tiers away, for a launch that finds some; which ones."""
    return [
        server
        for tier in dict.fromkeys(each.tier for each in run.inventory.leaving)
        if tier in run.definition.tiers
        for server in retire(context, run.at(retire_step(tier)), operator).ended
    ]


def retire(context: Context, run: runs.Run, operator: base.StepOperator) -> Retired:
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
    second_look.before_terminating(run, leaving, chosen.memory(run))
    skipped = termination.stop(run, leaving, operator.log).skipped
    chef = run.definition.launch_configuration_of(run.tier).chef
    # A slot may have been filled anew under the same name, which is then not theirs any more.
    gone = {each.name for each in leaving} - {each.name for each in run.inventory}
    if chef is not None and gone:
        skipped += configuration_management.forget(operator, context, chef, sorted(gone))
    for line in skipped:
        operator.log.warning("skipped: %s", line)
    ledger.forget_versions(run, [each.name for each in leaving])
    run.cloud.terminate(leaving)
    # Those too that an earlier try has asked to go.
    termination.await_end(run, run.tier, frozenset(run.cloud.ending(run.tier, only_leaving=True)))
    return Retired(tuple(each.name for each in leaving), tuple(skipped))


def _called(server: inventory.Server) -> str:
    why = "" if server.lost is None else f", lost: {server.lost}"
    return f"{server.name} ({server.instance_id}{why})"


def remember(run: runs.Run) -> None:
    """Have new servers remember what their tier was scaled to, as those do that were there when it was."""
    for tier in run.definition.tiers:
        found = run.inventory.of_tier(tier)
        wanted = run.inventory.scaled_to(tier)
        new = [each for each in found if each.wanted is None]
        if wanted is not None and new:
            run.cloud.remember_wanted(new, wanted)


def balancers(run: runs.Run) -> list[ssh.Target]:
    """The servers of a release step's balancer that can know of the nodes which leave; none if no node leaves.

    Raises:
        NoAddressError: one of them runs, and cannot be reached.
    """
    tier = run.definition.services[run.service].tier
    if not run.inventory.leaving_of_tier(tier):
        return []
    # A new one knows nobody yet; one that is stopped lets go when `start_proxy` has its turn there.
    return runs.targets(
        run.inventory,
        [
            each.name
            for each in run.inventory.of_tier(run.tier)
            if each.state is inventory.InstanceState.RUNNING and each.host_key is not None
        ],
    )
