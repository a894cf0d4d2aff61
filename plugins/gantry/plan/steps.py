"""Steps: what has to happen, where, and after what. Neutral: nothing here knows Airflow or a network."""

from __future__ import annotations

import dataclasses
import enum
import functools
import graphlib
from collections.abc import Iterable, Iterator

from gantry import names
from gantry.plan.phases import Phase


class StepKind(enum.StrEnum):
    """What a step does. The value names its task."""

    APPROVE = "approve"
    TURN = "turn"
    SCALE_UP = "scale_up"
    HANDSHAKE = "handshake"
    PREPARE_CONFIGURATION_MANAGEMENT = "prepare_configuration_management"
    EXECUTE_CONFIGURATION_MANAGEMENT = "execute_configuration_management"
    INSTALL_SERVICES = "install_services"
    INSTALL_DATASOURCES = "install_datasources"
    UPDATE = "update"
    CONFIGURE = "configure"
    RESTART = "restart"
    CONFIGURE_REPLICANTS = "configure_replicants"
    GRANT_ACCESS = "grant_access"
    START_PROXY = "start_proxy"
    FINISH_LAUNCH = "finish_launch"
    REMOVE_NEW_SERVERS = "remove_new_servers"
    CHOOSE_SERVERS = "choose_servers"
    RELEASE_NODES = "release_nodes"
    RETIRE_SERVERS = "retire_servers"
    CONFIRM = "confirm"
    ASK_SERVERS = "ask_servers"
    STOP_PROXY = "stop_proxy"
    STOP_SERVICE = "stop_service"
    TERMINATE_SERVERS = "terminate_servers"
    CLEAN_UP_CONFIGURATION_MANAGEMENT = "clean_up_configuration_management"
    FINISH_TERMINATION = "finish_termination"
    BACK_UP = "back_up"
    KEEP_BACKUP = "keep_backup"
    CONFIRM_RESTORE = "confirm_restore"
    RESTORE = "restore"
    KEEP_RECORD = "keep_record"


PER_SERVER = frozenset(
    {
        StepKind.HANDSHAKE,
        StepKind.PREPARE_CONFIGURATION_MANAGEMENT,
        StepKind.EXECUTE_CONFIGURATION_MANAGEMENT,
        StepKind.INSTALL_SERVICES,
        StepKind.INSTALL_DATASOURCES,
        StepKind.CONFIGURE,
        StepKind.RESTART,
        StepKind.CONFIGURE_REPLICANTS,
        StepKind.GRANT_ACCESS,
        StepKind.START_PROXY,
    }
)
"""Kinds whose work is dealt to the servers of the step's tier, several task instances side by side."""

AFTER_EVERY_SERVER = frozenset({StepKind.CONFIGURE_REPLICANTS})
"""Kinds that wait until the step before them is done on every server of the tier, and not only on their own."""

BEFORE_ANY_SERVER = frozenset({StepKind.GRANT_ACCESS})
"""Kinds that have to be done on every server of the tier before what comes after them begins on any."""


class GroupKind(enum.StrEnum):
    """What a group of steps belongs to."""

    TIER = "tier"
    SERVICE = "service"
    LOAD_BALANCER = "load_balancer"
    BACKUP = "backup"
    DEPLOYMENT = "deployment"


@dataclasses.dataclass(frozen=True, order=True)
class Group:
    """The part of the deployment that a step belongs to. `name` is empty for the deployment itself."""

    kind: GroupKind
    name: str = ""


DEPLOYMENT = Group(GroupKind.DEPLOYMENT)

_PREFIXES = {
    GroupKind.TIER: "tier-",
    GroupKind.SERVICE: "service-",
    GroupKind.LOAD_BALANCER: "balancer-",
    GroupKind.BACKUP: "backup-",
    GroupKind.DEPLOYMENT: "",
}


def group_id(group: Group) -> str:
    """The id of a group's Airflow task group; empty for the deployment, whose steps stand in no group.

    A tier and a service may share a name, so the kind leads.
    """
    return f"{_PREFIXES[group.kind]}{group.name}"


def step_id(group: Group, name: str) -> str:
    """The id of a step, from its group and its own name."""
    return str(name) if group == DEPLOYMENT else f"{group_id(group)}.{name}"


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that has to happen.

    Attributes:
        id: unique in its plan, e.g. `tier-database.handshake`; also the id of its Airflow task.
        tier: the tier whose servers it works on, or None.
        service: the service it is about, or None.
        peer: the other service (grants: the dependent one), or None.
        backup: the backup it makes or restores, or None.
        scripts: the agent scripts it runs on each server, in their order.
        upstream: ids of the steps that must have succeeded before.
        skipped: why the step has nothing to do, or None. It keeps its place in the plan.
        after_left_out: whether it is done also where a step before it was not asked for.
    """

    id: str
    kind: StepKind
    phase: Phase
    group: Group
    tier: names.TierName | None = None
    service: names.ServiceName | None = None
    peer: names.ServiceName | None = None
    balancer: names.BalancerName | None = None
    backup: names.BackupName | None = None
    scripts: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    skipped: str | None = None
    after_left_out: bool = False

    @property
    def per_server(self) -> bool:
        """Whether the step's work is dealt to servers."""
        return self.kind in PER_SERVER


@dataclasses.dataclass(frozen=True)
class TierServers:
    """The servers that a plan counts on for one tier: the fewest that the definition allows."""

    tier: names.TierName
    fewest: int
    most: int
    names: tuple[names.ServerName, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a launch (or a termination) has to do, in an order that respects every edge.

    Attributes:
        aftermath: what is done when a step has failed and no other is at work any more, or None. It is no part of
            what the plan is for, and so none of `steps`.
    """

    deployment: names.DeploymentName
    steps: tuple[Step, ...]
    tiers: tuple[TierServers, ...]
    aftermath: Step | None = None

    @functools.cached_property
    def by_id(self) -> dict[str, Step]:
        """The steps by their ids, the aftermath too."""
        aftermath = () if self.aftermath is None else (self.aftermath,)
        return {step.id: step for step in (*self.steps, *aftermath)}

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def servers_of(self, step: Step) -> tuple[names.ServerName, ...]:
        """The servers that a step works on, as far as the definition alone can tell."""
        return next((each.names for each in self.tiers if each.tier == step.tier), ())

    @functools.cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs (before, after)."""
        return tuple((before, step.id) for step in self.steps for before in step.upstream)


def in_order(steps: list[Step]) -> tuple[Step, ...]:
    """Sort steps so that each comes after its upstream; equals keep the order they came in.

    Raises:
        graphlib.CycleError: the steps wait for each other. A checked definition has no such plan.
    """
    by_id = {step.id: step for step in steps}
    place = {step.id: number for number, step in enumerate(steps)}
    sorter = graphlib.TopologicalSorter({step.id: step.upstream for step in steps})
    sorter.prepare()
    ordered: list[Step] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        ordered.extend(by_id[each] for each in ready)
        sorter.done(*ready)
    return tuple(ordered)


def last_of(steps: Iterable[Step]) -> tuple[str, ...]:
    """The ids of the steps that no other step waits for."""
    every = tuple(steps)
    waited_for = {before for step in every for before in step.upstream}
    return tuple(step.id for step in every if step.id not in waited_for)
