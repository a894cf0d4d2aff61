"""Taking a deployment down: every step does what it can, says what it skipped, and lets the next one go on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Context

from gantry import errors, inventory, names
from gantry.agent import drive, ssh
from gantry.definition import drills
from gantry.operators import base, configuration_management, decisions, history, printing
from gantry.operators import run as runs
from gantry.plan import StepKind

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_PAUSE = 1.0
_PATIENCE = 20.0
"""Seconds that a server has to answer. It is going away anyway; what it does not do is said and skipped."""


class NotConfirmedError(errors.GantryError):
    """A termination or a restore without the deployment's name typed in."""

    def __init__(
        self, deployment: names.DeploymentName, typed: str, nothing: str = "nothing was terminated"
    ) -> None:
        self.deployment = deployment
        self.typed = typed
        super().__init__(
            f"the confirmation reads {typed!r}, not {deployment!r}: {nothing}\n"
            f"Trigger the run again and type the deployment's name into the field confirm."
        )


class StillThereError(errors.GantryError):
    """Instances that did not go in time."""

    passing = True

    def __init__(self, tier: names.TierName, instances: tuple[str, ...], seconds: float) -> None:
        self.tier = tier
        self.instances = instances
        super().__init__(
            f"tier {tier}: not terminated after {seconds:.0f} s: {', '.join(instances)}\n"
            f"Termination was asked for; look at these instances in the cloud, then clear this task."
        )


class ConfirmOperator(base.StepOperator):
    """Nothing goes before somebody has typed the deployment's name."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Compare what was typed."""
        typed = str(context["params"].get("confirm") or "")
        if typed != run.definition.deployment:
            raise NotConfirmedError(run.definition.deployment, typed)
        for server in run.inventory.everything:
            self.log.info("%s: instance %s, %s", server.name, server.instance_id, server.state)
        self.log.info("%d servers will be terminated", len(run.inventory.everything))
        return base.result(context, [])


class StopOperator(base.StepOperator):
    """Runs stopping jobs on the tier's servers that can still be worked with."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Stop what answers; note what does not."""
        everything = (*run.inventory.of_tier(run.tier), *run.inventory.leaving_of_tier(run.tier))
        found, skipped = stop(run, everything, self.log)
        for line in skipped:
            self.log.warning("skipped: %s", line)
        return base.result(context, [*found], skipped=skipped)


class StopProxyOperator(StopOperator):
    """Takes all nodes of a service out of a load balancer."""


class StopServiceOperator(StopOperator):
    """Stops a service on all its servers."""


class TerminateServersOperator(base.StepOperator):
    """Terminates a tier's servers and waits until they are gone."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Ask for the termination once, then look until nothing is left."""
        going = (*run.inventory.of_tier(run.tier), *run.inventory.leaving_of_tier(run.tier))
        if not going:
            self.log.info("tier %s has no servers", run.tier)
        run.cloud.terminate(going)
        await_end(run, run.tier)
        return base.result(context, [server.name for server in going])


class FinishTerminationOperator(base.StepOperator):
    """Looks once more that nothing is left, and says what was skipped on the way."""

    def perform(self, context: Context, run: runs.Run) -> base.Result:
        """Take away what drills have left, and list what the cloud still has."""
        remove_drill_servers(context, run, self)
        left = run.cloud.find()
        for server in left.everything:
            self.log.error("still there: %s, instance %s, %s", server.name, server.instance_id, server.state)
        if left.everything:
            raise StillThereError(left.everything[0].tier, _ids(left), 0)
        skipped = [
            line
            for step in run.plan
            for report in base.reports(context, step.id)
            for line in report.get("skipped", ())
        ]
        self.log.info(
            "deployment %s is STOPPED; nothing of it is left in the cloud", run.definition.deployment
        )
        self.log.info("skipped: %s", "; ".join(skipped) if skipped else "nothing")
        gone = [
            name
            for step in run.plan
            if step.kind is StepKind.TERMINATE_SERVERS
            for report in base.reports(context, step.id)
            for name in report["servers"]
        ]
        history.close_record(context, run, ended=gone)
        return base.result(context, [], skipped=skipped)


def stop(
    run: runs.Run, servers: Sequence[inventory.Server], log: Logger
) -> tuple[list[names.ServerName], list[str]]:
    """Run the step's jobs on servers that are going away anyway: who was asked, and what was skipped."""
    skipped: list[str] = []
    found: list[ssh.Target] = []
    for server in servers:
        try:
            found.append(runs.target(server, server.name))
        except errors.GantryError as error:
            skipped.append(str(error).partition("\n")[0])
    if not found:
        return [], skipped
    access = dataclasses.replace(run.access(), patience=_PATIENCE)
    output = printing.printer(log, several=len(found) > 1)

    async def work() -> list[str]:
        everything = drive.begin(found)
        await drive.prepare(everything, access, decisions.decide(run), output)
        await drive.carry_out(everything, access, run.key, output)
        return [each.error.partition("\n")[0] for each in everything if each.error]

    return [each.name for each in found], skipped + asyncio.run(work())


def remove_drill_servers(context: Context, run: runs.Run, operator: base.StepOperator) -> list[str]:
    """Terminate what the deployment's drills have in the cloud, and wait until it is gone; the servers' names.

    Args:
        context: the task's try.
        run: a drill's, or one of another operation of the deployment.
        operator: the task that asks; what it does goes to its log.

    Raises:
        StillThereError: something did not go in time.
        CloudError: the cloud refused.
    """
    if run.definition.deployment == run.deployment:
        run = dataclasses.replace(run, definition=drills.of_drills(run.definition))
    found = run.cloud.find().everything
    for server in found:
        operator.log.info(
            "%s: instance %s, %s: terminated, it is a drill's", server.name, server.instance_id, server.state
        )
    run.cloud.terminate(found)
    # Those too that an earlier try has asked to go.
    for tier in dict.fromkeys([*run.definition.tiers, *(server.tier for server in found)]):
        await_end(run, tier)
        chef = run.definition.launch_configuration_of(tier).chef if tier in run.definition.tiers else None
        gone = [server.name for server in found if server.tier == tier]
        if chef is not None and gone:
            for line in configuration_management.forget(operator, context, chef, gone):
                operator.log.warning("skipped: %s", line)
    left = run.cloud.find().everything
    if left:
        raise StillThereError(left[0].tier, tuple(each.instance_id for each in left), 0)
    return [server.name for server in found]


def await_end(run: runs.Run, tier: names.TierName, instances: frozenset[str] | None = None) -> None:
    """Wait until instances of a tier are gone, by default all. Raises StillThereError, CloudError."""
    started = time.monotonic()
    patience = run.definition.timeouts.scale_up.total_seconds()
    while left := tuple(each for each in run.cloud.ending(tier) if instances is None or each in instances):
        if time.monotonic() - started > patience:
            raise StillThereError(tier, left, patience)
        time.sleep(_PAUSE)


def _ids(found: inventory.Inventory) -> tuple[str, ...]:
    return tuple(server.instance_id for server in found.everything)
