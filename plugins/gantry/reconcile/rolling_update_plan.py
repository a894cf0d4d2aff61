"""The update of one balanced service: which servers in which order, and what its balancers do meanwhile.

Nothing is done here: the step carries it out, and `gantry plan` tells it.
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
"""What servers say of themselves."""


@dataclasses.dataclass(frozen=True)
class UpdateOrder:
    """What is to be done, in this order.

    Attributes:
        stray: servers that run as they should and that a balancer does not know (somebody was stopped between the
            two): they are back in before others leave.
        batches: those that are updated together.
    """

    stray: update_batches.Batch
    batches: tuple[update_batches.Batch, ...]


@dataclasses.dataclass(frozen=True)
class Rollout:
    """What the rollout of a run's service goes by. `decide` is what is left to do on each of its servers."""

    run: step_run.StepRun
    settings: models.Update
    known: server_facts.Facts = dataclasses.field(repr=False)
    decide: fan_out.Decide = dataclasses.field(repr=False)

    @property
    def nodes(self) -> tuple[Server, ...]:
        """The servers of the service, in the order in which they are updated."""
        servers = self.run.inventory.of_tier(self.run.tier)
        return servers[::-1] if self.settings.order == "reverse" else servers

    @property
    def balancers(self) -> tuple[Server, ...]:
        """The servers of all its load balancers."""
        before = self.run.definition.balancers_before(self.run.service)
        tiers = dict.fromkeys(each.tier for each in before.values())
        return tuple(server for tier in tiers for server in self.run.inventory.of_tier(tier))

    def outdated(self, said: Said) -> tuple[Server, ...]:
        """The servers on which something is to be done, of those that have said something."""
        return tuple(
            node
            for node in self.nodes
            if node.name in said and self.decide(target(node), said[node.name]).jobs
        )

    def order(self, nodes: Said, balancers: Said) -> UpdateOrder:
        """What is to be done. Raises TooFewHealthyError."""
        outdated = {each.name for each in self.outdated(nodes)}
        found, stray = [], []
        for node in self.nodes:
            if node.name not in nodes or not self._ran_before(nodes[node.name]):
                continue
            # A stray one serves when its turn comes.
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
        """Whether every balancer sends traffic to a node, of those that have said something."""
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
        """What a balancer does before a batch is updated."""
        nodes = [self.run.server(name) for name in batch]
        return rolling_update_work.leave(
            self.run.definition, self.run.service, self.run.server(balancer), nodes, self.run.key.attempt
        )

    def join(
        self, balancer: names.ServerName, batch: Sequence[names.ServerName], nodes: Said
    ) -> fan_out.Work:
        """What a balancer does after a batch was updated. `nodes` is what the servers have said before."""
        marks = {name: nodes[name].marks for name in batch}
        return rolling_update_work.join(
            self.known, self.run.service, self.run.server(balancer), marks, self.run.key.attempt
        )

    def unchanged(
        self, failed: Sequence[jobs.ServerProgress], before: Said, now: Said
    ) -> update_batches.Batch:
        """Those of the servers on which the update has failed that run well what they ran before it."""
        service = self.run.definition.services[self.run.service]
        return tuple(
            each.target.name
            for each in failed
            if (said := now.get(each.target.name)) is not None
            and rolling_update_work.has_changed_nothing(service, each, before[each.target.name].marks, said)
        )

    def roll_back(self, _: ssh.Target, applied: fan_out.Applied) -> fan_out.Work:
        """What puts the version back on a server that was kept there."""
        return rolling_update_work.roll_back(self.known, self.run.service, applied.marks)

    def _ran_before(self, applied: fan_out.Applied) -> bool:
        return rolling_update_work.ran_before(self.run.definition.services[self.run.service], applied.marks)


def of(run: step_run.StepRun) -> Rollout:
    """The rollout that a run's step is about. Raises as `decisions.decide`."""
    settings = run.definition.update_of(run.service)
    if settings is None:
        raise LookupError(f"{run.step.id}: service {run.service} is behind no load balancer")
    return Rollout(run, settings, run.facts(run.service), step_work.decide(run))


def target(server: Server) -> ssh.Target:
    """A server as decisions know it: by its name. Nobody connects to it."""
    return ssh.Target(server.name, server.instance_id, server.private_address or "", server.host_key or "")
