"""What is known about a deployment at one moment, as plain frozen facts."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from gantry import inventory as inventories
from gantry import names
from gantry.plan import AgentState, DeploymentState, Phase, Plan, ServiceState, TierServers
from gantry.state import filled_slots
from gantry.status import tasks

RAN = (DeploymentState.RUNNING, DeploymentState.MAINTENANCE)
"""States of a deployment whose servers run."""

Greeted = Mapping[names.TierName, frozenset[names.ServerName]]
"""By tier, the servers that have answered a handshake and that no run has taken away since, as far as tasks tell."""


@dataclasses.dataclass(frozen=True)
class TierStatus:
    """How many servers of a tier run, and how many a launch wants at least now.

    That is what the definition says, or more if the tier was scaled.
    """

    tier: names.TierName
    running: int
    wanted: int


class ApprovalState(enum.StrEnum):
    """What became of the question whether to launch."""

    AWAITED = "waiting for approval"
    GIVEN = "approved"
    REFUSED = "rejected"


@dataclasses.dataclass(frozen=True)
class DeploymentStatus:
    """The states of a deployment and its parts.

    Attributes:
        phase: the phase now running, or None when nothing runs.
        failed: the phase that a failed run stopped at (while others may still work), or None. A launch that
            failed is `LAUNCHING` (or `MAINTENANCE`), failed at this phase.
        agents: a server that nobody has asked for yet, or that is gone on purpose, is absent.
        services: by service and server. Empty before the launch.
        approval: None where nobody is asked, or not yet, or nobody answered in time. While it is awaited and after it
            was refused, the deployment is what it was before the run.
        phases, steps: `NOT_APPLICABLE` where there is nothing to do, such as configuration management that
            no launch configuration names.
    """

    state: DeploymentState
    phase: Phase | None
    failed: Phase | None
    tiers: tuple[TierStatus, ...]
    agents: Mapping[names.ServerName, AgentState]
    services: Mapping[tuple[names.ServiceName, names.ServerName], ServiceState]
    phases: Mapping[Phase, tasks.Progress]
    steps: Mapping[str, tasks.Progress]
    approval: ApprovalState | None = None

    @property
    def not_applicable(self) -> tuple[Phase, ...]:
        """The phases that this deployment has nothing to do in."""
        return tuple(
            phase for phase, progress in self.phases.items() if progress is tasks.Progress.NOT_APPLICABLE
        )

    def service(self, name: names.ServiceName) -> ServiceState | None:
        """A service's state on all its servers together: the one that a person has to look at first.

        It is RUNNING, PAUSED or STOPPED only if it is that everywhere. None before the launch.
        """
        states = {state for (service, _), state in self.services.items() if service == name}
        if len(states) == 1:
            return states.pop()
        if ServiceState.IMPAIRED in states or ServiceState.STOPPED in states:
            return ServiceState.IMPAIRED
        return ServiceState.STARTING if states else None


@dataclasses.dataclass(frozen=True)
class StateEvidence:
    """Everything that states are derived from.

    `inventory` is None when the cloud was not asked, or did not answer: then the tasks alone speak, `slots` are those
    that were filled at the last arrival, and `greeted` the servers that earlier runs have left.
    """

    plan: Plan
    steps: tasks.Steps
    inventory: inventories.Inventory | None
    run_ended: bool
    before_run: DeploymentState
    slots: filled_slots.Slots
    greeted: Greeted

    @property
    def previously_running(self) -> bool:
        """Whether the deployment ran before the run; a failed launch on what ran already takes nothing down."""
        return self.before_run in RAN

    def before(self) -> DeploymentState:
        """What the deployment is while the run has not touched it."""
        if self.previously_running or self.inventory is None:
            return self.before_run
        # Servers of a launch that failed.
        return DeploymentState.LAUNCHING if self.inventory.servers else DeploymentState.STOPPED

    def servers(self, tier: names.TierName) -> tuple[names.ServerName, ...]:
        """Every server of a tier that the plan, the cloud or a task knows, by slot."""
        known = {name for each in self.plan.tiers if each.tier == tier for name in each.names}
        if self.inventory is not None:
            known.update(server.name for server in self.inventory.of_tier(tier))
        else:
            known.update(self.greeted.get(tier, ()))
        for step in self.plan:
            if step.tier == tier:
                known.update(name for task in self.steps.tasks(step.id) for name in task.servers)
        # The names differ in the slot's number only.
        return tuple(sorted(known, key=lambda name: (len(name), name)))

    def first_of(self, tier: names.TierName) -> names.ServerName:
        """The server in a tier's first slot, which every launch has: the master of what is replicated there."""
        return next(each.names[0] for each in self.plan.tiers if each.tier == tier)

    def instance(self, server: names.ServerName) -> inventories.Server | None:
        """What the cloud says about a server."""
        return self.inventory.named(server) if self.inventory is not None else None

    def is_lost(self, server: names.ServerName) -> bool:
        """Whether the cloud says that the server does not run: it is stopped, or it is not there."""
        if self.inventory is None:
            return False
        instance = self.instance(server)
        return instance is None or not is_up(instance)

    def running(self, tier: names.TierName, agents: Mapping[names.ServerName, AgentState]) -> int:
        """How many servers of a tier run; without the cloud's word, how many agents do."""
        if self.inventory is None:
            return sum(agents.get(server) is AgentState.RUNNING for server in self.servers(tier))
        states = [server.state for server in self.inventory.of_tier(tier)]
        return states.count(inventories.InstanceState.RUNNING)

    def wanted(self, tier: TierServers) -> int:
        """How many servers of a tier a launch wants at least now."""
        if self.inventory is None and self.previously_running and tier.tier not in self.slots:
            # Nobody says which slots were filled: those of the servers that were there.
            return max(tier.fewest, min(len(self.greeted.get(tier.tier, ())), tier.most))
        return wanted(tier, self.inventory, self.slots)


def wanted(tier: TierServers, inventory: inventories.Inventory | None, known: filled_slots.Slots) -> int:
    """How many servers of a tier a launch wants at least now.

    Args:
        tier: with its limits.
        inventory: what the cloud says, or None.
        known: the slots that were filled at the last arrival.
    """
    scaled = None if inventory is None else inventory.scaled_to(tier.tier)
    before = len(known.get(tier.tier, ())) if scaled is None else scaled
    return max(tier.fewest, min(before, tier.most))


def is_up(server: inventories.Server) -> bool:
    """Whether an instance runs, or is about to."""
    return server.state in (inventories.InstanceState.PENDING, inventories.InstanceState.RUNNING)
