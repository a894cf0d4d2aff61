"""State of a deployment at one point in time, as plain frozen data."""

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
"""Deployment states in which the servers run."""

Greeted = Mapping[names.TierName, frozenset[names.ServerName]]
"""By tier, the servers that completed a handshake and that no run has terminated since, according to the tasks."""


@dataclasses.dataclass(frozen=True)
class TierStatus:
    """The number of a tier's servers that run, and the minimum that a launch would want now.

    That is the definition's minimum, or more if the tier was scaled.
    """

    tier: names.TierName
    running: int
    wanted: int


class ApprovalState(enum.StrEnum):
    """The state of the approval before a launch."""

    AWAITED = "waiting for approval"
    GIVEN = "approved"
    REFUSED = "rejected"


@dataclasses.dataclass(frozen=True)
class DeploymentStatus:
    """The states of a deployment and its parts.

    Attributes:
        phase: the current phase, or None when nothing runs.
        failed: the phase that a failed run stopped at (while others may still work), or None. A failed launch is
            `LAUNCHING` (or `MAINTENANCE`), failed at this phase.
        agents: a server that was not requested yet, or that was terminated on purpose, is absent.
        services: by service and server. Empty before the launch.
        approval: None if no approval is required, not yet requested, or not given in time. While it is pending and
            after a refusal, the deployment is in the state from before the run.
        phases, steps: `NOT_APPLICABLE` if there is nothing to do, such as configuration management without
            configuration.
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
        """Return the phases in which this deployment has nothing to do."""
        return tuple(
            phase for phase, progress in self.phases.items() if progress is tasks.Progress.NOT_APPLICABLE
        )

    def service(self, name: names.ServiceName) -> ServiceState | None:
        """Return a service's state on all its servers together: the one that most needs attention.

        It is RUNNING, PAUSED or STOPPED only if that holds on all of them. None before the launch.
        """
        states = {state for (service, _), state in self.services.items() if service == name}
        if len(states) == 1:
            return states.pop()
        if ServiceState.IMPAIRED in states or ServiceState.STOPPED in states:
            return ServiceState.IMPAIRED
        return ServiceState.STARTING if states else None


@dataclasses.dataclass(frozen=True)
class StateEvidence:
    """The inputs that states are derived from.

    `inventory` is None if the cloud was not asked, or did not answer: then only the tasks count, `slots` are those
    that were filled at the end of the last run, and `greeted` the servers left by earlier runs.
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
        """Return whether the deployment ran before the run; a failed launch of a running one stops nothing."""
        return self.before_run in RAN

    def before(self) -> DeploymentState:
        """Return the deployment's state until the run changes it."""
        if self.previously_running or self.inventory is None:
            return self.before_run
        # The servers of a failed launch.
        return DeploymentState.LAUNCHING if self.inventory.servers else DeploymentState.STOPPED

    def servers(self, tier: names.TierName) -> tuple[names.ServerName, ...]:
        """Return every server of a tier that the plan, the cloud or a task knows, by slot."""
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
        """Return the server in a tier's first slot, which every launch has: the master of replicated services there."""
        return next(each.names[0] for each in self.plan.tiers if each.tier == tier)

    def instance(self, server: names.ServerName) -> inventories.Server | None:
        """Return a server according to the cloud."""
        return self.inventory.named(server) if self.inventory is not None else None

    def is_lost(self, server: names.ServerName) -> bool:
        """Return whether the server does not run according to the cloud: it is stopped, or does not exist."""
        if self.inventory is None:
            return False
        instance = self.instance(server)
        return instance is None or not is_up(instance)

    def running(self, tier: names.TierName, agents: Mapping[names.ServerName, AgentState]) -> int:
        """Return how many servers of a tier run; without the cloud's answer, how many agents do."""
        if self.inventory is None:
            return sum(agents.get(server) is AgentState.RUNNING for server in self.servers(tier))
        states = [server.state for server in self.inventory.of_tier(tier)]
        return states.count(inventories.InstanceState.RUNNING)

    def wanted(self, tier: TierServers) -> int:
        """Return the minimum number of a tier's servers that a launch would want now."""
        if self.inventory is None and self.previously_running and tier.tier not in self.slots:
            # The filled slots are not recorded: use those of the earlier servers.
            return max(tier.minimum, min(len(self.greeted.get(tier.tier, ())), tier.maximum))
        return wanted(tier, self.inventory, self.slots)


def wanted(tier: TierServers, inventory: inventories.Inventory | None, known: filled_slots.Slots) -> int:
    """Return the minimum number of a tier's servers that a launch would want now.

    Args:
        tier: the tier, with its limits.
        inventory: the cloud's answer, or None.
        known: the slots that were filled at the end of the last run.
    """
    scaled = None if inventory is None else inventory.scaled_to(tier.tier)
    before = len(known.get(tier.tier, ())) if scaled is None else scaled
    return max(tier.minimum, min(before, tier.maximum))


def is_up(server: inventories.Server) -> bool:
    """Return whether an instance runs, or is starting."""
    return server.state in (inventories.InstanceState.PENDING, inventories.InstanceState.RUNNING)
