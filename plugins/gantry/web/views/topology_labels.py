"""Labels and states of a deployment's tiers, servers and parts: the content of its picture, without positions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from gantry import inventory as inventories
from gantry import names, plan, status
from gantry.definition import models
from gantry.web.views import dependency_graph, formatting, state_badges

NOT_THERE = state_badges.Badge(state_badges.Tone.QUIET, state_badges.Shape.DASH, "not there")
"""A server that was never requested, or a service that was never installed."""

_VERSION = 8
"""Number of characters that identify a checksum."""


@dataclasses.dataclass(frozen=True)
class TopologyLinks:
    """Link targets of the picture's parts; None for parts without a link."""

    server: Callable[[names.ServerName], str | None] = lambda _: None
    service: Callable[[names.ServiceName], str | None] = lambda _: None


@dataclasses.dataclass(frozen=True)
class TopologyFacts:
    """The data that the picture is drawn from.

    Attributes:
        status: None if the deployment has never been launched.
        inventory: None if the cloud was not asked, or did not answer.
        versions: the versions of the services, if known.
    """

    definition: models.Definition
    plan: plan.Plan
    status: status.DeploymentStatus | None = None
    inventory: inventories.Inventory | None = None
    versions: Mapping[names.ServiceName, str] = dataclasses.field(default_factory=dict)
    links: TopologyLinks = dataclasses.field(default_factory=TopologyLinks)


@dataclasses.dataclass(frozen=True)
class LabelledServer:
    """A server. `label` is its full description, `short` is its number in its tier."""

    short: str
    label: str
    look: state_badges.Badge
    href: str | None


@dataclasses.dataclass(frozen=True)
class LabelledPart:
    """A service or a load balancer. `label` is its full description, `title` and `note` the essentials."""

    title: str
    note: str
    label: str
    look: state_badges.Badge
    href: str | None
    is_balancer: bool


def tier_note(facts: TopologyFacts, tier: names.TierName) -> str:
    """Return how many servers of a tier run, of how many."""
    found = next((each for each in facts.status.tiers if each.tier == tier), None) if facts.status else None
    if found is None:
        return formatting.count(facts.definition.tiers[tier].servers.min, "server")
    return f"{found.running}/{found.wanted} running"


def part(facts: TopologyFacts, of: dependency_graph.GraphPart) -> LabelledPart:
    """Return a service or a load balancer with its state."""
    if of.kind is dependency_graph.PartKind.BALANCER:
        return _balancer(facts, names.BalancerName(of.name))
    return _service(facts, names.ServiceName(of.name))


def servers(facts: TopologyFacts, tier: names.TierName) -> list[LabelledServer]:
    """Return a tier's servers by slot: those that the plan counts on, and all other existing ones."""
    slots = dict(
        zip(
            facts.definition.names_of(tier),
            range(1, facts.definition.tiers[tier].servers.max + 1),
            strict=True,
        )
    )
    instances = {each.name: each for each in facts.inventory.of_tier(tier)} if facts.inventory else {}
    numbers = {**slots, **{name: int(each.slot) for name, each in instances.items()}}
    known = dict.fromkeys(next((each.names for each in facts.plan.tiers if each.tier == tier), ()))
    known |= dict.fromkeys(instances)
    if facts.status is not None:
        known |= dict.fromkeys(name for name in facts.status.agents if name in numbers)
    return [
        _server(facts, name, numbers.get(name), instances.get(name))
        for name in sorted(known, key=lambda each: (numbers.get(each, 0), each))
    ]


def sentences(facts: TopologyFacts) -> Iterable[str]:
    """Yield the content in words, for users who do not see the picture."""
    definition = facts.definition
    for tier in definition.tiers:
        yield f"Tier {tier} has {formatting.count(len(servers(facts, tier)), 'server')}"
    for service, needing in definition.services.items():
        if needing.depends_on:
            yield f"Service {service} needs {', '.join(map(str, needing.depends_on))}"
    for name, balancer in definition.load_balancers.items():
        yield f"Load balancer {name} sends to service {balancer.service}"


def _service(facts: TopologyFacts, name: names.ServiceName) -> LabelledPart:
    service = facts.definition.services[name]
    state = facts.status.service(name) if facts.status else None
    look = NOT_THERE if state is None else state_badges.look(state)
    version = facts.versions.get(name, "")
    port = service.main_port
    told = (
        f"service {name}: {look.word}",
        version and f"version {version}",
        f"id {service.id}",
        f"port {port}" if port else "",
        f"needs {', '.join(map(str, service.depends_on))}" if service.depends_on else "",
    )
    return LabelledPart(
        title=name,
        note=" · ".join(each for each in (look.word, version[:_VERSION], f":{port}" if port else "") if each),
        label=", ".join(each for each in told if each),
        look=look,
        href=facts.links.service(name),
        is_balancer=False,
    )


def _balancer(facts: TopologyFacts, name: names.BalancerName) -> LabelledPart:
    """Return a load balancer. Its state is the progress of the step that configures its nodes."""
    balancer = facts.definition.load_balancers[name]
    progress = [
        facts.status.steps[step.id]
        for step in facts.plan
        if facts.status is not None
        and step.id in facts.status.steps
        and step.balancer == name
        and step.kind is plan.StepKind.START_PROXY
    ]
    if facts.status is not None and facts.status.state is plan.DeploymentState.RUNNING:
        # A launch that found nothing to do has asked it: it has its nodes.
        is_set = status.Progress.NOT_APPLICABLE in progress
        progress = [status.Progress.SUCCEEDED] if is_set else progress
    look = state_badges.look(progress[0]) if progress else NOT_THERE
    at = f"{balancer.name}:{balancer.port}"
    return LabelledPart(
        title=name,
        note=at,
        label=f"load balancer {name}: {look.word}, answers for {at}, sends to {balancer.service}",
        look=look,
        href=None,
        is_balancer=True,
    )


def _server(
    facts: TopologyFacts, name: names.ServerName, slot: int | None, instance: inventories.Server | None
) -> LabelledServer:
    agent = facts.status.agents.get(name) if facts.status else None
    state = agent if agent is not None or instance is None else instance.state
    look = NOT_THERE if state is None else state_badges.look(state)
    address = instance.ssh_address if instance else None
    return LabelledServer(
        short=str(slot) if slot is not None else "?",
        label=", ".join(each for each in (f"server {name}: {look.word}", address) if each),
        look=look,
        # A server that was never requested has no page.
        href=None if look is NOT_THERE else facts.links.server(name),
    )
