"""A deployment as a picture: its tiers, the servers and services in them, who needs whom, and who balances.

Tiers stand in columns, those that visitors reach first to the left, so that each need is an arrow to the right. On a
narrow window all stand in one column. Drawn by `templates/parts/topology.html.jinja`.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

from gantry import inventory as inventories
from gantry import names, plan, status
from gantry.definition import models
from gantry.web import looks, needs, routing, words

MOST_MARKS = 12
"""Servers of a tier that are drawn one by one. Where there are more, they are counted by state."""

# All in pixels.
PADDING = 10
TITLE = 30
NODE = 42
MARK = 22
MARKS_IN_A_ROW = 4
GAP = 6
COUNT = 20
BETWEEN = 16
WIDE_TIER, NARROW_TIER = 248, 272
NO_CHANNEL = 24
"""Between two columns that no arrow runs between."""

_BIG, _SMALL = 7.4, 6.5
"""About the width of a letter of a name, and of what stands below it."""

NOT_THERE = looks.Look(looks.Tone.QUIET, looks.Shape.DASH, "not there")
"""A server that nobody has asked for, and a service that nobody has installed."""


@dataclasses.dataclass(frozen=True)
class Links:
    """Where the parts of the picture lead to; None where they lead nowhere."""

    server: Callable[[names.ServerName], str | None] = lambda _: None
    service: Callable[[names.ServiceName], str | None] = lambda _: None


@dataclasses.dataclass(frozen=True)
class Mark:
    """A server. `label` tells all about it, `short` is its number."""

    x: float
    y: float
    width: float
    short: str
    label: str
    look: looks.Look
    href: str | None


@dataclasses.dataclass(frozen=True)
class Count:
    """How many servers of a tier are in a state."""

    x: float
    y: float
    text: str
    look: looks.Look


@dataclasses.dataclass(frozen=True)
class Node:
    """A service or a load balancer. `label` tells all about it, `title` and `note` what there is room for."""

    x: float
    y: float
    width: float
    title: str
    note: str
    label: str
    look: looks.Look
    href: str | None
    is_balancer: bool


@dataclasses.dataclass(frozen=True)
class Tier:
    """A tier's box and what stands in it."""

    x: float
    y: float
    width: float
    height: float
    title: str
    note: str
    label: str
    nodes: tuple[Node, ...]
    marks: tuple[Mark, ...]
    counts: tuple[Count, ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """Everything that is drawn, for windows of one kind."""

    width: float
    height: float
    tiers: tuple[Tier, ...]
    arrows: tuple[routing.Arrow, ...]


@dataclasses.dataclass(frozen=True)
class Topology:
    """The picture for wide windows and for narrow ones, and what both show in words."""

    title: str
    about: str
    wide: Picture
    narrow: Picture


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the picture is made of.

    Attributes:
        status: None where the deployment has never been launched.
        inventory: None where the cloud was not asked, or did not answer.
        versions: of the services, where they are known.
    """

    definition: models.Definition
    plan: plan.Plan
    status: status.DeploymentStatus | None = None
    inventory: inventories.Inventory | None = None
    versions: Mapping[names.ServiceName, str] = dataclasses.field(default_factory=dict)
    links: Links = dataclasses.field(default_factory=Links)


def topology(facts: Facts) -> Topology:
    """The picture of a deployment."""
    parts = _Parts(facts)
    columns = needs.columns(facts.definition)
    return Topology(
        title=f"Topology of {facts.definition.deployment}",
        about=". ".join(_sentences(facts)),
        wide=_drawn(parts, columns, WIDE_TIER),
        narrow=_drawn(parts, dict.fromkeys(columns, 0), NARROW_TIER),
    )


class _Parts:
    """What stands in each tier, before it has a place."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        definition = facts.definition
        self.needs = needs.edges(definition)
        self.tier_of = needs.tiers(definition)
        self.nodes_of: dict[names.TierName, list[needs.Part]] = {tier: [] for tier in definition.tiers}
        for node, tier in self.tier_of.items():
            self.nodes_of[tier].append(node)
        self.servers_of = {tier: _servers(facts, tier) for tier in definition.tiers}

    def tier_note(self, tier: names.TierName) -> str:
        """How many servers run, of how many."""
        seen = self.facts.status
        found = next((each for each in seen.tiers if each.tier == tier), None) if seen else None
        if found is None:
            return words.count(self.facts.definition.tiers[tier].servers.min, "server")
        return f"{found.running}/{found.wanted} running"

    def node(self, part: needs.Part, x: float, y: float, width: float) -> Node:
        """A service's or a balancer's box."""
        if part.kind is needs.Kind.BALANCER:
            return self._balancer(names.BalancerName(part.name), x, y, width)
        return self._service(names.ServiceName(part.name), x, y, width)

    def _service(self, name: names.ServiceName, x: float, y: float, width: float) -> Node:
        service = self.facts.definition.services[name]
        state = self.facts.status.service(name) if self.facts.status else None
        look = NOT_THERE if state is None else looks.look(state)
        version = self.facts.versions.get(name, "")
        port = f":{service.main_port}" if service.main_port else ""
        needs = [str(each) for each in service.depends_on]
        return Node(
            x=x,
            y=y,
            width=width,
            title=_cut(name, _letters(width, _BIG)),
            note=_cut(
                " · ".join(each for each in (look.word, version, port) if each), _letters(width, _SMALL)
            ),
            label=", ".join(
                each
                for each in (
                    f"service {name}: {look.word}",
                    version and f"version {version}",
                    f"id {service.id}",
                    port and f"port {port[1:]}",
                    needs and f"needs {', '.join(needs)}",
                )
                if each
            ),
            look=look,
            href=self.facts.links.service(name),
            is_balancer=False,
        )

    def _balancer(self, name: names.BalancerName, x: float, y: float, width: float) -> Node:
        balancer = self.facts.definition.load_balancers[name]
        look = _of_balancer(self.facts, name)
        at = f"{balancer.name}:{balancer.port}"
        return Node(
            x=x,
            y=y,
            width=width,
            title=_cut(name, _letters(width, _BIG)),
            note=_cut(at, _letters(width, _SMALL)),
            label=f"load balancer {name}: {look.word}, answers for {at}, sends to {balancer.service}",
            look=look,
            href=None,
            is_balancer=True,
        )


def _drawn(parts: _Parts, columns: Mapping[names.TierName, int], tier_width: float) -> Picture:
    """A place for everything, with each tier in its column."""
    node_columns = {node: columns[tier] for node, tier in parts.tier_of.items()}
    room = routing.channels(parts.needs, node_columns)
    last = max(columns.values(), default=0)
    starts: dict[int, float] = {-1: 1.0}
    x_of: dict[int, float] = {}
    x = 1 + room.width(-1)
    for column in range(last + 1):
        x_of[column] = x
        starts[column] = x + tier_width
        needed = room.width(column)
        x += tier_width + (needed or (NO_CHANNEL if column < last else 0))
    bottoms: dict[int, float] = collections.defaultdict(lambda: 1.0)
    tiers = []
    for name, column in columns.items():
        y = bottoms[column]
        box = _tier(parts, name, x_of[column], y, tier_width)
        bottoms[column] = y + box.height + BETWEEN
        tiers.append(box)
    bottom = max(bottoms.values(), default=BETWEEN) - BETWEEN
    ports = {
        node: routing.Port(node_columns[node], at.x, at.x + at.width, at.y + NODE / 2)
        for name, box in zip(columns, tiers, strict=True)
        for node, at in zip(parts.nodes_of[name], box.nodes, strict=True)
    }
    # An arrow is drawn from box to box, and the boxes stand a little inside their tiers.
    return Picture(
        width=x + 1,
        height=bottom + room.height_below + 1,
        tiers=tuple(tiers),
        arrows=routing.arrows(parts.needs, ports, room, starts, bottom),
    )


def _tier(parts: _Parts, name: names.TierName, x: float, y: float, width: float) -> Tier:
    inner = width - 2 * PADDING
    at = y + TITLE
    nodes = []
    for node in parts.nodes_of[name]:
        top = _on_grid(at, NODE)
        nodes.append(parts.node(node, x + PADDING, top, inner))
        at = top + NODE + GAP
    servers = parts.servers_of[name]
    marks: tuple[Mark, ...] = ()
    counts: tuple[Count, ...] = ()
    if len(servers) <= MOST_MARKS:
        each = (inner - (MARKS_IN_A_ROW - 1) * GAP) / MARKS_IN_A_ROW
        marks = tuple(
            dataclasses.replace(
                mark,
                x=x + PADDING + number % MARKS_IN_A_ROW * (each + GAP),
                y=at + number // MARKS_IN_A_ROW * (MARK + GAP),
                width=each,
            )
            for number, mark in enumerate(servers)
        )
        at += math.ceil(len(marks) / MARKS_IN_A_ROW) * (MARK + GAP)
    else:
        tally = collections.Counter(mark.look for mark in servers)
        counts = tuple(
            Count(x + PADDING, at + number * COUNT, f"{many} {look.word}", look)
            for number, (look, many) in enumerate(tally.most_common())
        )
        at += len(counts) * COUNT + GAP
    note = parts.tier_note(name)
    return Tier(
        x=x,
        y=y,
        width=width,
        height=at - GAP + PADDING - y,
        title=_cut(name, _letters(inner, _BIG) - len(note)),
        note=note,
        label=f"tier {name}: {note}",
        nodes=tuple(nodes),
        marks=marks,
        counts=counts,
    )


def _servers(facts: Facts, tier: names.TierName) -> list[Mark]:
    """A tier's servers without a place, by slot: those that the plan counts on, and all others that there are."""
    fewest = next((each.names for each in facts.plan.tiers if each.tier == tier), ())
    known = dict.fromkeys(fewest)
    slots = {
        facts.definition.name_of(tier, slot): slot
        for slot in range(1, facts.definition.tiers[tier].servers.max + 1)
    }
    if facts.status is not None:
        known |= dict.fromkeys(name for name in facts.status.agents if name in slots)
    instances = {each.name: each for each in facts.inventory.of_tier(tier)} if facts.inventory else {}
    known |= dict.fromkeys(instances)
    numbers = {**slots, **{name: int(each.slot) for name, each in instances.items()}}
    return [
        _mark(facts, name, numbers.get(name), instances.get(name))
        for name in sorted(known, key=lambda each: (numbers.get(each, 0), each))
    ]


def _mark(
    facts: Facts, name: names.ServerName, slot: int | None, instance: inventories.Server | None
) -> Mark:
    agent = facts.status.agents.get(name) if facts.status else None
    state = agent if agent is not None or instance is None else instance.state
    look = NOT_THERE if state is None else looks.look(state)
    address = instance.ssh_address if instance else None
    return Mark(
        x=0,
        y=0,
        width=0,
        short=str(slot) if slot is not None else "?",
        label=", ".join(each for each in (f"server {name}: {look.word}", address) if each),
        look=look,
        # One that nobody has asked for yet has no page.
        href=None if look is NOT_THERE else facts.links.server(name),
    )


def _of_balancer(facts: Facts, name: names.BalancerName) -> looks.Look:
    """A balancer's state: how far the step is that tells it of its nodes."""
    found = [
        facts.status.steps[step.id]
        for step in facts.plan
        if facts.status is not None
        and step.id in facts.status.steps
        and step.balancer == name
        and step.kind is plan.StepKind.START_PROXY
    ]
    return looks.look(found[0]) if found else NOT_THERE


def _sentences(facts: Facts) -> Iterable[str]:
    """The picture in words, for those who do not see it."""
    definition = facts.definition
    for tier in definition.tiers:
        yield f"Tier {tier} has {words.count(len(_servers(facts, tier)), 'server')}"
    for service, needing in definition.services.items():
        if needing.depends_on:
            yield f"Service {service} needs {', '.join(map(str, needing.depends_on))}"
    for name, balancer in definition.load_balancers.items():
        yield f"Load balancer {name} sends to service {balancer.service}"


def _on_grid(y: float, height: float) -> float:
    """The next place below at which a box's middle is on the grid."""
    return math.ceil((y + height / 2) / routing.GRID) * routing.GRID - height / 2


def _letters(width: float, letter: float) -> int:
    """How many letters fit beside a sign."""
    return int((width - 2 * PADDING - MARK) / letter)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest, 1) - 1]}…"
