"""Taking a deployment down: every step does what it can, says what it skipped, and lets the next one go on."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow.sdk import Context

from gantry import errors, inventory, names
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
"""Seconds between two looks whether instances are gone: somewhat more each time."""
_GROWS = 1.2
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


class SilentServersError(errors.GantryError):
    """Servers that run, and that nobody can stop anything on."""

    def __init__(self, silent: Mapping[names.ServerName, str]) -> None:
        self.silent = dict(silent)
        told = "\n".join(f"  {_one_line(why)}" for why in silent.values())
        super().__init__(
            f"not every server answers, so nothing was stopped or terminated:\n{told}\n"
            f"Mend these servers (gantry logs NAME --server SERVER shows whether they are reached), or terminate "
            f"their instances in the cloud; then trigger the termination again. With force it skips them: they are "
            f"terminated without their services being stopped."
        )


class NotStoppedError(errors.GantryError):
    """Something that did not stop cleanly."""

    def __init__(self, step: str, messages: Sequence[str]) -> None:
        self.messages = tuple(messages)
        told = "\n".join(messages)
        super().__init__(
            f"{step}: not stopped cleanly, so no server was terminated\n{told}\n"
            f"Mend the cause and clear this task, or trigger the termination again with force, which skips what "
            f"does not stop."
        )


class StillThereError(errors.GantryError):
    """Instances that did not go in time."""

    transient = True

    def __init__(self, tier: names.TierName | None, left: tuple[str, ...], seconds: float) -> None:
        self.tier = tier
        self.instances = left
        where = "the deployment" if tier is None else f"tier {tier}"
        super().__init__(
            f"{where}: not terminated after {seconds:.0f} s: {', '.join(left)}\n"
            f"Termination was asked for; look at these instances in the cloud, then clear this task."
        )


class ConfirmOperator(base.StepOperator):
    """Nothing goes before somebody has typed the deployment's name."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Compare what was typed."""
        typed = str(context["params"].get("confirm") or "")
        if typed != run.definition.deployment:
            raise NotConfirmedError(run.definition.deployment, typed)
        found = run.cloud.everything()
        for server in found.everything:
            self.log.info("%s: instance %s, %s", server.name, server.instance_id, server.state)
        for line in deployment_instances.strange(run.definition, found):
            self.log.warning("%s", line)
        self.log.info("%d servers will be terminated", len(found.everything))
        return xcom.result(context, [])


class AskServersOperator(base.StepOperator):
    """Every server that runs has to answer before anything is stopped; or it is known which ones are skipped."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Ask them all. What does not run, or has never shaken hands, has nothing that could be stopped."""
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
        if silent and not run.force:
            raise SilentServersError(silent)
        skipped = [_one_line(each) for each in silent.values()]
        # These are terminated all the same, and somebody may miss them.
        skipped += deployment_instances.strange(run.definition, there)
        for line in (*skipped, *(excuse for each in found for excuse in each.excused)):
            self.log.warning("skipped: %s", line)
        return xcom.result(context, list(dict.fromkeys(each.name for each in everything)), skipped=skipped)


class StopOperator(base.StepOperator):
    """Runs stopping jobs on the tier's servers that can still be worked with."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Stop what runs; note what does not. Where something does not stop, go on only if that was asked for."""
        found = stop(run, _of_tier(run), self.log)
        if found.failures and not run.force:
            raise NotStoppedError(run.step.id, list(found.failures.values()))
        for line in found.skipped:
            self.log.warning("skipped: %s", line)
        return xcom.result(context, [*found.asked], skipped=found.skipped)


class StopProxyOperator(StopOperator):
    """Takes all nodes of a service out of a load balancer."""


class StopServiceOperator(StopOperator):
    """Stops a service on all its servers."""


class TerminateServersOperator(base.StepOperator):
    """Terminates a tier's servers and waits until they are gone."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Ask for the termination once, then look until nothing is left."""
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
        # Now, and not only when all is over: a termination that fails in another tier must leave no claim that data
        # still lives here.
        memory.forget_tier(run.tier)
        server_notes.forget_versions(run, [server.name for server in going])
        return xcom.result(context, list(dict.fromkeys(server.name for server in going)), skipped=skipped)


class FinishTerminationOperator(base.StepOperator):
    """Takes what the tiers' steps have not found, looks that nothing is left, and says what was skipped."""

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Take away what drills have left, and whatever else the cloud still has of the deployment."""
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
        # A launch that comes begins from the dumps, with as many servers as the definition says.
        lost_server_report.memory(run).forget_all()
        lock_holder.store(run.definition.deployment).delete(filled_slots.KEY)
        return xcom.result(context, [], skipped=skipped)

    def _left(self, run: step_run.StepRun) -> tuple[tuple[inventory.Server, ...], list[str]]:
        """What the cloud still has, and what a person should know of it."""
        try:
            return run.cloud.everything(run.started()).everything, []
        except eventual_listing.NotListedYetError as error:
            # Its tags may be gone; and nothing of that may keep a termination from its end.
            line = f"{', '.join(error.instances)}: started lately, and not listed as the deployment's; look there"
            self.log.warning("skipped: %s", line)
            return run.cloud.everything().everything, [line]


@dataclasses.dataclass(frozen=True)
class Stopped:
    """What came of it.

    Attributes:
        asked: the servers that something was tried on.
        excused: about servers that do not run, or have never shaken hands.
        failures: why it did not work, by server.
    """

    asked: tuple[names.ServerName, ...]
    excused: tuple[str, ...]
    failures: Mapping[names.ServerName, str]

    @property
    def skipped(self) -> list[str]:
        """All that was not stopped, a line each."""
        return [*self.excused, *map(_one_line, self.failures.values())]


def stop(run: step_run.StepRun, servers: Sequence[inventory.Server], log: Logger) -> Stopped:
    """Run the step's jobs on servers that are going away anyway."""
    return _visit(run, servers, step_work.decide(run), log)


def _ask(run: step_run.StepRun, servers: Sequence[inventory.Server], log: Logger) -> Stopped:
    """Ask servers whether they answer."""
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
            # That was said when all were asked.
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
        # The login is gone: then none of them can be reached.
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
    """All instances of the step's tier, whatever else their tags say."""
    return [each for each in run.cloud.everything().everything if each.tier == run.tier]


def _one_line(message: str) -> str:
    return message.partition("\n")[0]


def remove_drill_servers(context: Context, run: step_run.StepRun, operator: base.StepOperator) -> list[str]:
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
    found = run.cloud.everything().everything
    skipped: list[str] = []
    for tier in dict.fromkeys(server.tier for server in found):
        chef = run.definition.launch_configuration_of(tier).chef if tier in run.definition.tiers else None
        if chef is not None:
            # First: a try that is lost after their end would find none of them any more.
            there = [server.name for server in found if server.tier == tier]
            skipped += configuration_management.forget(operator, context, chef, there)
    for line in skipped:
        operator.log.warning("skipped: %s", line)
    for server in found:
        operator.log.info(
            "%s: instance %s, %s: terminated, it is a drill's", server.name, server.instance_id, server.state
        )
    run.cloud.terminate(found)
    # Those too that an earlier try has asked to go.
    await_end(run, None)
    return list(dict.fromkeys(server.name for server in found))


def await_end(run: step_run.StepRun, tier: names.TierName | None, ids: frozenset[str] | None = None) -> None:
    """Wait until instances of a tier, or of the whole deployment, are gone, by default all.

    Raises:
        StillThereError: they did not go in time.
        CloudError: the cloud refused.
    """
    started = time.monotonic()
    patience, pause = run.definition.timeouts.scale_up.total_seconds(), _PAUSE
    while left := tuple(each for each in run.cloud.ending(tier) if ids is None or each in ids):
        if time.monotonic() - started > patience:
            raise StillThereError(tier, left, patience)
        time.sleep(pause)
        pause = min(pause * _GROWS, _LONGEST_PAUSE)
