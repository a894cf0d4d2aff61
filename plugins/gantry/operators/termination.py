"""Termination of a deployment: each step does what it can, reports what it skipped, and lets the next one continue."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Context

from gantry import errors, inventory, names, requests
from gantry.agent import fan_out, ssh
from gantry.cloud import eventual_listing
from gantry.cloud.servers import LostServerError
from gantry.definition import drills
from gantry.operators import base, configuration_management
from gantry.plan import StepKind
from gantry.reconcile import deployment_instances, step_run, step_work
from gantry.runtime import lock_holder, lost_server_report, run_history, server_notes, task_log, xcom
from gantry.state import filled_slots

if TYPE_CHECKING:
    from airflow.sdk.types import Logger

_PAUSE, _LONGEST_PAUSE = 1.0, 5.0
"""Seconds between two checks whether instances are gone, increasing each time."""
_GROWS = 1.2
_PATIENCE = 20.0
"""Seconds that a server has to answer. It will be terminated anyway; what fails is reported and skipped."""


class SilentServersError(errors.GantryError):
    """Servers run on which nothing can be stopped, because they do not answer."""

    def __init__(self, silent: Mapping[names.ServerName, str]) -> None:
        self.silent = dict(silent)
        told = "\n".join(f"  {_one_line(why)}" for why in silent.values())
        super().__init__(
            f"not every server answers, so nothing was stopped or terminated:\n{told}\n"
            f"Fix these servers (gantry logs NAME --server SERVER shows whether they are reached), or terminate "
            f"their instances in the cloud; then trigger the termination again. With force it skips them: they are "
            f"terminated without their services being stopped."
        )


class NotStoppedError(errors.GantryError):
    """Something did not stop cleanly."""

    def __init__(self, step: str, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        told = "\n".join(messages)
        super().__init__(
            f"{step}: not stopped cleanly, so no server was terminated\n{told}\n"
            f"Fix the cause and clear this task, or trigger the termination again with force, which skips what "
            f"does not stop."
        )


class StillThereError(errors.GantryError):
    """Instances were not terminated in time."""

    transient = True

    def __init__(self, tier: names.TierName | None, left: tuple[str, ...], seconds: float) -> None:
        self.tier = tier
        self.instances = left
        where = "the deployment" if tier is None else f"tier {tier}"
        super().__init__(
            f"{where}: not terminated after {seconds:.0f} s: {', '.join(left)}\n"
            f"Their termination was requested; check these instances in the cloud, then clear this task."
        )


class ConfirmOperator(base.StepOperator):
    """Checks before a termination that the deployment's name was typed in."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Compare the typed name."""
        run.asked(requests.TerminateRequest).require_confirmation(run.definition.deployment)
        found = run.cloud.everything()
        for server in found.everything:
            self.log.info("%s: instance %s, %s", server.name, server.instance_id, server.state)
        for line in deployment_instances.strange(run.definition, found):
            self.log.warning("%s", line)
        self.log.info("%d servers will be terminated", len(found.everything))
        return xcom.result(context, [])


class AskServersOperator(base.StepOperator):
    """Checks that every running server answers before anything is stopped, or that the silent ones may be skipped."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Check all servers. Nothing has to be stopped on one that does not run or never completed its handshake."""
        there = run.cloud.everything()
        everything = there.everything
        called = deployment_instances.labels(everything)
        found = [
            _ask(run.at(dataclasses.replace(run.step, tier=tier)), servers, self.log)
            for tier in run.definition.tiers
            if (servers := [each for each in everything if each.tier == tier])
        ]
        silent = {
            called[each.instance_id]: f"{called[each.instance_id]}: {why}"
            for each in everything
            if (why := deployment_instances.beyond_reach(run.definition, each)) is not None
        }
        silent |= {name: why for each in found for name, why in each.failures.items()}
        if silent and not run.asked(requests.TerminateRequest).force:
            raise SilentServersError(silent)
        skipped = [_one_line(each) for each in silent.values()]
        # These are terminated all the same, so their names are reported.
        skipped += deployment_instances.strange(run.definition, there)
        for line in (*skipped, *(excuse for each in found for excuse in each.excused)):
            self.log.warning("skipped: %s", line)
        return xcom.result(context, list(dict.fromkeys(each.name for each in everything)), skipped=skipped)


class StopOperator(base.StepOperator):
    """Runs stopping jobs on the tier's reachable servers."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Stop what runs; record failures. After a failure, continue only if that was requested."""
        found = stop(run, _of_tier(run), self.log)
        if found.failures and not run.asked(requests.TerminateRequest).force:
            raise NotStoppedError(run.step.id, list(found.failures.values()))
        for line in found.skipped:
            self.log.warning("skipped: %s", line)
        return xcom.result(context, [*found.asked], skipped=found.skipped)


class StopProxyOperator(StopOperator):
    """Removes all nodes of a service from a load balancer."""


class StopServiceOperator(StopOperator):
    """Stops a service on all its servers."""


class TerminateServersOperator(base.StepOperator):
    """Terminates a tier's servers and waits until they are gone."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Request the termination once, then poll until no instance is left."""
        going = _of_tier(run)
        if not going:
            self.log.info("tier %s has no servers", run.tier)
        run.cloud.terminate(going)
        await_end(run, run.tier)
        memory = lost_server_report.memory(run)
        holders = memory.holders(run.tier)
        skipped = [
            f"instance {each} holds data of service {holders[each]} and is not tagged as one of the deployment's: it "
            f"was not terminated"
            for each in run.cloud.living(holders.keys())
        ]
        for line in skipped:
            self.log.warning("skipped: %s", line)
        # Recorded now and not at the end: if the termination of another tier fails, the record must not claim that the
        # data still exists.
        memory.forget_tier(run.tier)
        server_notes.forget_versions(run, [server.name for server in going])
        return xcom.result(context, list(dict.fromkeys(server.name for server in going)), skipped=skipped)


class FinishTerminationOperator(base.StepOperator):
    """Terminates what the tiers' steps did not find, verifies that nothing is left, and reports what was skipped."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Remove leftovers of drills, and everything else of the deployment in the cloud."""
        remove_drill_servers(context, run, self)
        stray, said_late = self._left(run)
        for server in stray:
            self.log.warning(
                "%s: instance %s, %s: terminated by its id", server.name, server.instance_id, server.state
            )
        run.cloud.terminate(stray)
        await_end(run, None)
        said = (
            line
            for step in run.plan
            for report in xcom.reports(context, step.id)
            for line in report.get("skipped", ())
        )
        skipped = list(dict.fromkeys([*said, *said_late]))
        self.log.info(
            "deployment %s is STOPPED; nothing of it is left in the cloud", run.definition.deployment
        )
        self.log.info("skipped: %s", "; ".join(skipped) if skipped else "nothing")
        gone = [
            name
            for step in run.plan
            if step.kind is StepKind.ASK_SERVERS
            for report in xcom.reports(context, step.id)
            for name in report["servers"]
        ]
        gone = list(dict.fromkeys([*gone, *(server.name for server in stray)]))
        server_notes.forget_versions(run, gone)
        run_history.close_record(
            context, run, ended=gone, objects=run_history.made(context, run), skipped=skipped
        )
        # The next launch starts from the dumps, with as many servers as the definition says, from any bundle.
        lost_server_report.memory(run).forget_all()
        kept = lock_holder.store(run.definition.deployment)
        kept.delete(filled_slots.KEY)
        kept.operated_from("")
        return xcom.result(context, [], skipped=skipped)

    def _left(self, run: step_run.StepRun) -> tuple[tuple[inventory.Server, ...], list[str]]:
        """Return what the cloud still has of the deployment, and what the user should know about it."""
        try:
            return run.cloud.everything(run.started()).everything, []
        except eventual_listing.NotListedYetError as error:
            # Its tags may be gone; that must not make the termination fail.
            line = f"{', '.join(error.instances)}: started recently, and not listed as the deployment's; check it there"
            self.log.warning("skipped: %s", line)
            return run.cloud.everything().everything, [line]


@dataclasses.dataclass(frozen=True)
class Stopped:
    """The result of stopping services on servers.

    Attributes:
        asked: the servers on which something was tried.
        excused: lines about servers that do not run or never completed their handshake.
        failures: the error, by server.
    """

    asked: tuple[names.ServerName, ...]
    excused: tuple[str, ...]
    failures: Mapping[names.ServerName, str]

    @property
    def skipped(self) -> list[str]:
        """Return everything that was not stopped, one line each."""
        return [*self.excused, *map(_one_line, self.failures.values())]


def stop(run: step_run.StepRun, servers: Sequence[inventory.Server], log: Logger) -> Stopped:
    """Run the step's jobs on servers that will be terminated anyway."""
    return _visit(run, servers, step_work.decide(run), log)


def _ask(run: step_run.StepRun, servers: Sequence[inventory.Server], log: Logger) -> Stopped:
    """Check whether servers answer."""
    return _visit(run, servers, lambda _, __: fan_out.Work(), log)


def _visit(
    run: step_run.StepRun, servers: Sequence[inventory.Server], decide: fan_out.Decide, log: Logger
) -> Stopped:
    excused: list[str] = []
    failures: dict[names.ServerName, str] = {}
    found: list[ssh.Target] = []
    called = deployment_instances.labels(servers)
    for server in servers:
        if deployment_instances.beyond_reach(run.definition, server) is not None:
            # Already reported when all servers were checked.
            continue
        name = called[server.instance_id]
        try:
            found.append(step_run.target(dataclasses.replace(server, name=name), name))
        except LostServerError as error:
            excused.append(_one_line(str(error)))
        except errors.GantryError as error:
            failures[name] = str(error)
    if not found:
        return Stopped((), tuple(excused), failures)
    try:
        access = dataclasses.replace(run.access(), patience=_PATIENCE)
    except errors.GantryError as error:
        # The login is gone, so none of them can be reached.
        unreached = {each.name: f"{each.name}: {error}" for each in found}
        return Stopped((), tuple(excused), failures | unreached)
    output = task_log.printer(log, several=len(found) > 1)

    async def work() -> None:
        everything = fan_out.begin(found)
        async with fan_out.Lines() as kept:
            await fan_out.prepare(everything, access, decide, output, kept=kept)
            await fan_out.carry_out(everything, access, run.key, output, kept=kept)
        failures.update(
            {each.target.name: str(each.failure) for each in everything if each.failure is not None}
        )

    asyncio.run(work())
    return Stopped(tuple(each.name for each in found), tuple(excused), failures)


def _of_tier(run: step_run.StepRun) -> list[inventory.Server]:
    """Return all instances of the step's tier, regardless of their other tags."""
    return [each for each in run.cloud.everything().everything if each.tier == run.tier]


def _one_line(message: str) -> str:
    return message.partition("\n")[0]


def remove_drill_servers(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> list[str]:
    """Terminate the servers of the deployment's drills, and wait until they are gone; return their names.

    Args:
        context: the context of the task's try.
        run: a drill's run, or one of another operation of the deployment.
        operator: the calling task; actions are written to its log.

    Raises:
        StillThereError: an instance was not terminated in time.
        CloudError: the cloud refused.
    """
    if run.definition.deployment == run.deployment:
        run = dataclasses.replace(run, definition=drills.of_drills(run.definition))
    found = run.cloud.everything().everything
    skipped: list[str] = []
    for tier in dict.fromkeys(server.tier for server in found):
        chef = run.definition.launch_configuration_of(tier).chef if tier in run.definition.tiers else None
        if chef is not None:
            # Do this first: after a crash following the termination, the next try would no longer find them.
            there = [server.name for server in found if server.tier == tier]
            skipped += configuration_management.forget(operator, context, chef, there)
    for line in skipped:
        operator.log.warning("skipped: %s", line)
    for server in found:
        operator.log.info(
            "%s: instance %s, %s: terminated, it is a drill's", server.name, server.instance_id, server.state
        )
    run.cloud.terminate(found)
    # Includes instances whose termination an earlier try has requested.
    await_end(run, None)
    return list(dict.fromkeys(server.name for server in found))


def await_end(run: step_run.StepRun, tier: names.TierName | None, ids: frozenset[str] | None = None) -> None:
    """Wait until instances of a tier, or of the whole deployment, are gone; by default all of them.

    Raises:
        StillThereError: they were not terminated in time.
        CloudError: the cloud refused.
    """
    started = time.monotonic()
    patience, pause = run.definition.timeouts.scale_up.total_seconds(), _PAUSE
    while left := tuple(each for each in run.cloud.ending(tier) if ids is None or each in ids):
        if time.monotonic() - started > patience:
            raise StillThereError(tier, left, patience)
        time.sleep(pause)
        pause = min(pause * _GROWS, _LONGEST_PAUSE)
