"""Plan of a rolling update of one balanced service: the order of its servers, and the work on its balancers.

Decides only: the step executes it, and `gantry plan` shows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from gantry import names
from gantry.agent import fan_out, jobs, server_facts, ssh
from gantry.definition import models
from gantry.inventory import Server
from gantry.reconcile import rolling_update_work, step_run, step_work, update_batches

Said = Mapping[names.ServerName, fan_out.Applied]
"""Reports of servers about themselves."""


@dataclasses.dataclass(frozen=True)
class UpdateOrder:
    """The work to do, in this order.

    Attributes:
        stray: servers that run properly and that a balancer does not know (an update was interrupted in between): they
            rejoin before others leave.
        batches: the servers that are updated together.
    """

    stray: update_batches.Batch
    batches: tuple[update_batches.Batch, ...]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """Inputs of the rollout of a run's service. `decide` returns the work that is left on a server."""

    run: step_run.StepRun
    settings: models.Update
    known: server_facts.Facts = dataclasses.field(repr=False)
    decide: fan_out.Decide = dataclasses.field(repr=False)

    @property
    def nodes(self) -> tuple[Server, ...]:
        """Return the servers of the service, in the order in which they are updated."""
        servers = self.run.inventory.of_tier(self.run.tier)
        return servers[::-1] if self.settings.order == "reverse" else servers

    @property
    def balancers(self) -> tuple[Server, ...]:
        """Return the servers of all its load balancers."""
        before = self.run.definition.balancers_before(self.run.service)
        tiers = dict.fromkeys(each.tier for each in before.values())
        return tuple(server for tier in tiers for server in self.run.inventory.of_tier(tier))

    def outdated(self, said: Said) -> tuple[Server, ...]:
        """Return the servers with work to do, among those that have reported."""
        return tuple(
            node
            for node in self.nodes
            if node.name in said and self.decide(target(node), said[node.name]).jobs
        )

    def order(self, nodes: Said, balancers: Said) -> UpdateOrder:
        """Return the work to do. Raises TooFewHealthyError."""
        outdated = {each.name for each in self.outdated(nodes)}
        found, stray = [], []
        for node in self.nodes:
            if node.name not in nodes or not self._ran_before(nodes[node.name]):
                continue
            # A stray server is serving by the time it is its turn.
            joined = self.is_joined(node, nodes[node.name], balancers)
            if not joined and node.name not in outdated:
                stray.append(node.name)
            serves = nodes[node.name].healthy and (joined or node.name not in outdated)
            found.append(update_batches.Node(node.name, serves, node.name in outdated))
        size, healthy = self.settings.batch_of(len(found)), self.settings.healthy_of(len(found))
        return UpdateOrder(
            tuple(stray), update_batches.batches(self.run.service, found, size, healthy) if found else ()
        )

    def is_joined(self, node: Server, applied: fan_out.Applied, balancers: Said) -> bool:
        """Return whether every balancer that has reported sends traffic to a node."""
        return all(
            rolling_update_work.is_joined(
                self.run.definition,
                self.run.service,
                self.run.server(name),
                said.marks,
                node,
                applied.marks,
            )
            for name, said in balancers.items()
        )

    def leave(self, balancer: names.ServerName, batch: Sequence[names.ServerName]) -> fan_out.Work:
        """Return a balancer's work before a batch is updated."""
        nodes = [self.run.server(name) for name in batch]
        return rolling_update_work.leave(
            self.run.definition, self.run.service, self.run.server(balancer), nodes, self.run.key.attempt
        )

    def join(
        self, balancer: names.ServerName, batch: Sequence[names.ServerName], nodes: Said
    ) -> fan_out.Work:
        """Return a balancer's work after a batch was updated. `nodes` has the servers' reports from before."""
        marks = {name: nodes[name].marks for name in batch}
        return rolling_update_work.join(
            self.known, self.run.service, self.run.server(balancer), marks, self.run.key.attempt
        )

    def unchanged(
        self, failed: Sequence[jobs.ServerProgress], before: Said, now: Said
    ) -> update_batches.Batch:
        """Return the servers whose update failed and that still run their previous version properly."""
        service = self.run.definition.services[self.run.service]
        return tuple(
            each.target.name
            for each in failed
            if (said := now.get(each.target.name)) is not None
            and rolling_update_work.has_changed_nothing(service, each, before[each.target.name].marks, said)
        )

    def roll_back(self, _: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
        """Return the work that restores a server's saved version."""
        return rolling_update_work.roll_back(self.known, self.run.service, applied.marks)

    def _ran_before(self, applied: fan_out.Applied) -> bool:
        return rolling_update_work.ran_before(self.run.definition.services[self.run.service], applied.marks)


def of(run: step_run.StepRun) -> Rollout:
    """Return the rollout of a run's step. Raises as `step_work.decide`."""
    settings = run.definition.update_of(run.service)
    if settings is None:
        raise LookupError(f"{run.step.id}: service {run.service} is behind no load balancer")
    return Rollout(run, settings, run.facts(run.service), step_work.decide(run))


def target(server: Server) -> ssh.Target:
    """Wrap a server for decisions, by its name only. Nothing connects to it."""
    return ssh.Target(server.name, server.instance_id, server.private_address or "", server.host_key or "")
