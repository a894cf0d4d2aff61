"""Rolling update of a load-balanced service: batch by batch, servers leave the balancers, are updated, and rejoin."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from airflow.sdk import Context

from gantry import errors, names
from gantry.agent import fan_out, jobs, ssh
from gantry.credentials import connections
from gantry.inventory import Server
from gantry.operators import stoppable
from gantry.reconcile import rolling_update_plan, rolling_update_work, step_run, step_work, update_batches
from gantry.runtime import server_notes, task_log, xcom

_NOTHING = fan_out.Questions()


class RolloutStoppedError(fan_out.StepFailedError):
    """The update of a batch failed; no servers of later batches were touched."""

    def __init__(
        self,
        service: names.ServiceName,
        failures: Sequence[errors.Failure],
        standing: Sequence[str],
        *,
        rolled_back: bool = False,
    ) -> None:
        self.service = service
        self.standing = tuple(standing)
        first, *others = failures
        also = ", and its batch was rolled back to the previous version" if rolled_back else ""
        stopped = f"service {service}: the update was stopped{also}. {first.headline}"
        where = errors.Failure(
            "What runs where:",
            "\n".join(standing),
            "Fix the cause and launch again, or clear this task: servers with the new version are not changed.",
            transient=all(each.transient for each in failures),
        )
        super().__init__([dataclasses.replace(first, headline=stopped), *others, where])


class UpdateOperator(stoppable.StoppableOperator):
    """Updates the servers that already run a balanced service, a few at a time; the others keep serving.

    This is a single task in the worker. All its work on servers is done by jobs, so a cleared or retried task resumes
    where it stopped.
    """

    _crew: _Crew | None = None

    def perform(self, context: Context, run: step_run.StepRun) -> xcom.Result:
        """Ask every server what has to be done, and do it batch by batch."""
        self._crew = crew = _Crew(
            run, task_log.printer(self.log, several=True), server_notes.ServerNotes(context, run, self.log)
        )
        found = rolling_update_plan.of(run)
        if not self.follow(lambda: self._roll(found, crew)):
            raise stoppable.StoppedError
        return xcom.result(context, [node.name for node in found.nodes])

    async def end(self, unconfirmed: set[names.ServerName]) -> None:
        """Kill the remote processes."""
        if self._crew is not None:
            await self._crew.kill(unconfirmed)

    async def _roll(self, found: rolling_update_plan.Rollout, crew: _Crew) -> None:
        nodes = await crew.ask(found.nodes, step_work.questions(found.run))
        if not found.outdated(nodes):
            self.log.info("nothing to do: no running server has anything to update")
            return
        order = found.order(nodes, await crew.ask(found.balancers))
        if order.stray:
            self.log.info("back into the load balancers: %s", ", ".join(order.stray))
            await self._join(found, crew, order.stray, nodes)
        for number, batch in enumerate(order.batches, start=1):
            self.log.info("batch %d of %d: %s", number, len(order.batches), ", ".join(batch))
            await self._one(found, crew, batch, nodes)
            if number < len(order.batches):
                await self._watch(found, crew, batch)

    async def _one(
        self,
        found: rolling_update_plan.Rollout,
        crew: _Crew,
        batch: update_batches.Batch,
        nodes: rolling_update_plan.Said,
    ) -> None:
        """Update a batch while it is out of the load balancers."""
        left = await crew.work(found.balancers, lambda target, _: found.leave(target.name, batch))
        fan_out.verdict(left)
        servers = [node for node in found.nodes if node.name in batch]
        done = await crew.work(servers, found.decide, step_work.questions(found.run))
        failures = fan_out.failures(done)
        failed = [each for each in done if each.failure is not None]
        unchanged = await self._unchanged(found, crew, failed, nodes) if failed else ()
        good = (*(each.target.name for each in done if each.failure is None), *unchanged)
        rolled_back = False
        if (
            failures
            and found.settings.on_failure == "roll_back"
            and not all(each.transient for each in failures)
        ):
            replaced = {each.target.name for each in done if rolling_update_work.replaces(each.jobs)} - {
                *unchanged
            }
            back = await crew.work(
                [node for node in servers if node.name in replaced],
                found.roll_back,
                # The result of the step changes here: a retry starts over on these servers.
                key=dataclasses.replace(found.run.key, epoch=f"{found.run.key.epoch}.back"),
                ends_with_run=False,
            )
            rolled_back = bool(back) and all(each.jobs and each.failure is None for each in back)
            failures += [
                dataclasses.replace(each, headline=f"rolling back: {each.headline}")
                for each in fan_out.failures(back)
            ]
            unmoved = tuple(name for name in good if name not in replaced)
            good = (*unmoved, *(each.target.name for each in back if each.jobs and each.failure is None))
        if good:
            await self._join(found, crew, good, nodes)
        if failures:
            standing = await self._standing(found, crew)
            raise RolloutStoppedError(found.run.service, failures, standing, rolled_back=rolled_back)

    async def _unchanged(
        self,
        found: rolling_update_plan.Rollout,
        crew: _Crew,
        failed: Sequence[jobs.ServerProgress],
        nodes: rolling_update_plan.Said,
    ) -> update_batches.Batch:
        """Return the servers that the failure left unchanged: they continue to serve with their old version."""
        failing = {each.target.name for each in failed}
        servers = [node for node in found.nodes if node.name in failing]
        now = await crew.ask(servers, step_work.questions(found.run), strict=False)
        unchanged = found.unchanged(failed, nodes, now)
        if unchanged:
            self.log.info("nothing was changed on %s: back into the load balancers", ", ".join(unchanged))
        return unchanged

    async def _watch(
        self, found: rolling_update_plan.Rollout, crew: _Crew, batch: update_batches.Batch
    ) -> None:
        """Let a batch serve for a while; it must still be healthy before the next batch leaves."""
        pause = found.settings.pause.total_seconds()
        self.log.info("%s are healthy again; the next batch begins in %g s", ", ".join(batch), pause)
        await asyncio.sleep(pause)
        servers = [node for node in found.nodes if node.name in batch]
        said = await crew.ask(servers, step_work.questions(found.run))
        failures = [
            errors.Failure(f"{name}: its check said OK, but no longer does after {pause:g} s", server=name)
            for name, applied in said.items()
            if not applied.healthy
        ]
        if failures:
            raise RolloutStoppedError(found.run.service, failures, await self._standing(found, crew))

    async def _join(
        self,
        found: rolling_update_plan.Rollout,
        crew: _Crew,
        batch: update_batches.Batch,
        nodes: rolling_update_plan.Said,
    ) -> None:
        joined = await crew.work(
            found.balancers, lambda target, _: found.join(target.name, batch, nodes), ends_with_run=False
        )
        fan_out.verdict(joined)

    async def _standing(self, found: rolling_update_plan.Rollout, crew: _Crew) -> list[str]:
        """Describe which version runs where, as far as servers report it; never hides the error that it is added to."""
        try:
            nodes = await crew.ask(found.nodes, step_work.questions(found.run), strict=False)
            balancers = await crew.ask(found.balancers, strict=False)
        except errors.GantryError as error:
            return [f"  not known: {error}"]
        return [
            f"  {node.name}: {_shown(found, node, nodes[node.name], balancers)}"
            if node.name in nodes
            else f"  {node.name}: it does not answer"
            for node in found.nodes
        ]


def _shown(
    found: rolling_update_plan.Rollout,
    node: Server,
    said: fan_out.Applied,
    balancers: rolling_update_plan.Said,
) -> str:
    key = f"{found.run.definition.services[found.run.service].id}/archive"
    health = "healthy" if said.healthy else "not healthy"
    where = "in" if balancers and found.is_joined(node, said, balancers) else "out of"
    return f"archive version {said.marks.get(key, 'unknown')}, {health}, {where} the load balancers"


class _Crew:
    """The servers of several tiers, each reached with its tier's login, and the jobs running on them."""

    def __init__(self, run: step_run.StepRun, output: jobs.Output, notes: server_notes.ServerNotes) -> None:
        self._run = run
        self._output = output
        self._notes = notes
        self._driven: list[tuple[Sequence[jobs.ServerProgress], ssh.Access, jobs.StepKey]] = []

    async def ask(
        self,
        servers: Sequence[Server],
        questions: fan_out.Questions = _NOTHING,
        *,
        strict: bool = True,
    ) -> Mapping[names.ServerName, fan_out.Applied]:
        """Return the servers' own reports. Raises StepFailedError if one does not answer and `strict` is set."""
        said: dict[names.ServerName, fan_out.Applied] = {}

        def listen(target: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
            said[target.name] = applied
            return fan_out.Work()

        asked = await self.work(servers, listen, questions)
        if strict:
            fan_out.verdict(asked)
        return said

    async def work(
        self,
        servers: Sequence[Server],
        decide: fan_out.Decide,
        questions: fan_out.Questions = _NOTHING,
        *,
        key: jobs.StepKey | None = None,
        ends_with_run: bool = True,
    ) -> Sequence[jobs.ServerProgress]:
        """Decide for every server and execute, all servers in parallel; return the progress of each.

        With `ends_with_run` false, jobs that repair something run even if the run's time is up.
        """
        self._driven = []
        for tier in dict.fromkeys(server.tier for server in servers):
            wanted = [server.name for server in servers if server.tier == tier]
            access = connections.access(self._run.definition.launch_configuration_of(tier).ssh)
            until = self._run.until if ends_with_run else 0.0
            everything = fan_out.begin(step_run.targets(self._run.inventory, wanted), until)
            self._driven.append((everything, access, key or self._run.key))

        async def one(
            everything: Sequence[jobs.ServerProgress], access: ssh.Access, step: jobs.StepKey
        ) -> None:
            async with fan_out.Lines() as kept:
                witness = self._notes.witness
                await fan_out.prepare(everything, access, decide, self._output, questions, witness, kept)
                self._notes.keep_facts()
                await fan_out.carry_out(
                    everything, access, step, self._output, links=self._run.links, kept=kept
                )

        await asyncio.gather(*(one(*each) for each in self._driven))
        done = [progress for everything, _, _ in self._driven for progress in everything]
        self._notes.keep_versions(done)
        return done

    async def kill(self, unconfirmed: set[names.ServerName]) -> None:
        """Kill all running jobs on every server."""
        await asyncio.gather(*(fan_out.kill(*each, unconfirmed) for each in self._driven))
