"""Steps: units of work with a place and predecessors. Independent of Airflow and of any network."""

from __future__ import annotations

import dataclasses
import enum
import functools
import graphlib
from collections.abc import Iterable, Iterator

from gantry import names
from gantry.names import StepKind
from gantry.plan.phases import Phase
from gantry.plan.step_kinds import STEP_KINDS, KindFacts


class GroupKind(enum.StrEnum):
    """The kind of a group of steps."""

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
    """Return the id of a group's Airflow task group; empty for the deployment, whose steps are in no group.

    A tier and a service may share a name, so the kind comes first.
    """
    return f"{_PREFIXES[group.kind]}{group.name}"


def step_id(group: Group, name: str) -> str:
    """Return the id of a step, from its group and its own name."""
    return str(name) if group == DEPLOYMENT else f"{group_id(group)}.{name}"


@dataclasses.dataclass(frozen=True)
class Step:
    """One unit of work.

    Attributes:
        id: unique in its plan, e.g. `tier-database.handshake`; also the id of its Airflow task.
        tier: the tier whose servers it works on, or None.
        service: the service it is about, or None.
        peer: the other service (grants: the dependent one), or None.
        backup: the backup it creates or restores, or None.
        scripts: the agent scripts it runs on each server, in order.
        upstream: ids of the steps that must have succeeded (or, for `always`, be over) before.
        skipped: why the step has nothing to do, or None. It keeps its place in the plan.
        after_left_out: whether it runs even if a step before it was not requested, or had nothing to do.
        always: whether it runs when those before it are over, even if they failed.
        service_phase: the phase in which its service is set up; used if the kind has no phase of its own.
    """

    id: str
    kind: StepKind
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
    always: bool = False
    service_phase: Phase = Phase.CONFIGURE_DEPENDENTS

    @property
    def facts(self) -> KindFacts:
        """Return the properties of its kind."""
        return STEP_KINDS[self.kind]

    @property
    def phase(self) -> Phase:
        """Return the phase of the launch that it belongs to."""
        own = self.facts.phase
        return self.service_phase if own is None else own

    @property
    def per_server(self) -> bool:
        """Return whether the step's work is distributed over servers."""
        return self.facts.per_server


@dataclasses.dataclass(frozen=True)
class TierServers:
    """The servers that a plan counts on for one tier: the minimum in the definition."""

    tier: names.TierName
    minimum: int
    maximum: int
    names: tuple[names.ServerName, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """All steps of an operation, in an order that respects every edge.

    Attributes:
        cleanup: the step that runs after a failure when no other is working any more, or None. It does not serve the
            plan's purpose, so it is not in `steps`.
    """

    deployment: names.DeploymentName
    steps: tuple[Step, ...]
    tiers: tuple[TierServers, ...]
    cleanup: Step | None = None

    @functools.cached_property
    def by_id(self) -> dict[str, Step]:
        """Return the steps by id, including the cleanup."""
        cleanup = () if self.cleanup is None else (self.cleanup,)
        return {step.id: step for step in (*self.steps, *cleanup)}

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def servers_of(self, step: Step) -> tuple[names.ServerName, ...]:
        """Return the servers that a step works on, as far as the definition alone determines them."""
        return next((each.names for each in self.tiers if each.tier == step.tier), ())

    @functools.cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Return pairs (before, after)."""
        return tuple((before, step.id) for step in self.steps for before in step.upstream)


def in_order(steps: list[Step]) -> tuple[Step, ...]:
    """Sort steps so that each comes after its upstream; the sort is stable.

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
    """Return the ids of the steps that no other step waits for."""
    every = tuple(steps)
    waited_for = {before for step in every for before in step.upstream}
    return tuple(step.id for step in every if step.id not in waited_for)
