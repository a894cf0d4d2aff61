"""Topology picture of a deployment: its tiers with their servers and services, dependencies and load balancing.

Tiers are arranged in columns, with those that visitors reach first on the left, so that each dependency is an arrow to
the right. In a narrow window, there is a single column. Rendered by `templates/parts/topology.html.jinja`.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

from gantry import names
from gantry.web.views import arrow_routes, dependency_graph, state_badges, topology_labels

MOST_MARKS = 12
"""Maximum number of a tier's servers that are drawn individually. If there are more, they are counted by state."""

# All in pixels.
PADDING = 10
TITLE = 30
NODE = 42
MARK = 22
MARKS_IN_A_ROW = 4
GAP = 6
COUNT = 20
BETWEEN = 16
SMALLEST_TIER = 216

NO_CHANNEL = 24
"""Gap between two columns without arrows between them."""

_BIG, _SMALL = 8.6, 7.0
"""Approximate width of a character of a name, and of the text below it, in DejaVu, which is wider than most fonts."""


@dataclasses.dataclass(frozen=True)
class Window:
    """The available room, and the maximum width of a tier."""

    width: float
    largest_tier: float


WIDE = Window(1220, 312)
"""A laptop's, beside Airflow's own bar."""

NARROW = Window(338, 284)
"""A phone's."""


@dataclasses.dataclass(frozen=True)
class ServerMark:
    """A server's position."""

    x: float
    y: float
    width: float
    server: topology_labels.LabelledServer


@dataclasses.dataclass(frozen=True)
class Count:
    """The number of a tier's servers in a state."""

    x: float
    y: float
    text: str
    look: state_badges.Badge


@dataclasses.dataclass(frozen=True)
class TopologyNode:
    """The position of a service or a load balancer, with its title and note, truncated to the room available."""

    x: float
    y: float
    width: float
    title: str
    note: str
    part: topology_labels.LabelledPart


@dataclasses.dataclass(frozen=True)
class TierBox:
    """A tier's box and its content."""

    x: float
    y: float
    width: float
    height: float
    title: str
    note: str
    label: str
    nodes: tuple[TopologyNode, ...]
    marks: tuple[ServerMark, ...]
    counts: tuple[Count, ...]


@dataclasses.dataclass(frozen=True)
class TopologyPicture:
    """Everything that is drawn, for windows of one kind."""

    width: float
    height: float
    tiers: tuple[TierBox, ...]
    arrows: tuple[arrow_routes.Arrow, ...]


@dataclasses.dataclass(frozen=True)
class Topology:
    """The picture for wide windows and for narrow ones, and its content in words."""

    title: str
    about: str
    wide: TopologyPicture
    narrow: TopologyPicture


def topology(facts: topology_labels.TopologyFacts) -> Topology:
    """Return the picture of a deployment."""
    parts = _Parts(facts)
    columns = dependency_graph.columns(facts.definition)
    return Topology(
        title=f"Topology of {facts.definition.deployment}",
        about=". ".join(topology_labels.sentences(facts)),
        wide=_drawn(parts, columns, WIDE),
        narrow=_drawn(parts, dict.fromkeys(columns, 0), NARROW),
    )


class _Parts:
    """The content of each tier, before it has a position."""

    def __init__(self, facts: topology_labels.TopologyFacts) -> None:
        self.facts = facts
        self.needs = dependency_graph.edges(facts.definition)
        self.tier_of = dependency_graph.tiers(facts.definition)
        self.of_tier: dict[names.TierName, list[dependency_graph.GraphPart]] = {
            tier: [] for tier in facts.definition.tiers
        }
        for part, tier in self.tier_of.items():
            self.of_tier[tier].append(part)


def _tier_width(parts: _Parts, columns: Mapping[names.TierName, int], window: Window) -> float:
    """Return the maximum width of tiers with which all columns fit a window; no smaller than legible."""
    room = arrow_routes.channels(parts.needs, {part: columns[tier] for part, tier in parts.tier_of.items()})
    last = max(columns.values(), default=0)
    between = sum(_between(room, column, last) for column in range(-1, last + 1))
    return min(max((window.width - between) // (last + 1), SMALLEST_TIER), window.largest_tier)


def _between(room: arrow_routes.Channels, column: int, last: int) -> float:
    """Return the room right of a column; -1 is the room left of the first."""
    return room.width(column) or (NO_CHANNEL if 0 <= column < last else 0)


def _drawn(parts: _Parts, columns: Mapping[names.TierName, int], window: Window) -> TopologyPicture:
    """Position everything, with each tier in its column."""
    node_columns = {node: columns[tier] for node, tier in parts.tier_of.items()}
    room = arrow_routes.channels(parts.needs, node_columns)
    tier_width = _tier_width(parts, columns, window)
    last = max(columns.values(), default=0)
    starts: dict[int, float] = {-1: 1.0}
    x_of: dict[int, float] = {}
    x = 1 + room.width(-1)
    for column in range(last + 1):
        x_of[column] = x
        starts[column] = x + tier_width
        x += tier_width + _between(room, column, last)
    bottoms: dict[int, float] = collections.defaultdict(lambda: 1.0)
    tiers = []
    for name, column in columns.items():
        y = bottoms[column]
        box = _tier(parts, name, x_of[column], y, tier_width)
        bottoms[column] = y + box.height + BETWEEN
        tiers.append(box)
    bottom = max(bottoms.values(), default=BETWEEN) - BETWEEN
    ports = {
        node: arrow_routes.Port(node_columns[node], at.x, at.x + at.width, at.y + NODE / 2)
        for name, box in zip(columns, tiers, strict=True)
        for node, at in zip(parts.of_tier[name], box.nodes, strict=True)
    }
    # An arrow is drawn from box to box, and the boxes are slightly inside their tiers.
    return TopologyPicture(
        width=x + 1,
        height=bottom + room.height_below + 1,
        tiers=tuple(tiers),
        arrows=arrow_routes.arrows(parts.needs, ports, room, starts, bottom),
    )


def _tier(parts: _Parts, name: names.TierName, x: float, y: float, width: float) -> TierBox:
    inner = width - 2 * PADDING
    at = y + TITLE
    nodes = []
    for each in parts.of_tier[name]:
        top = _on_grid(at, NODE)
        nodes.append(_node(topology_labels.part(parts.facts, each), x + PADDING, top, inner))
        at = top + NODE + GAP
    servers = topology_labels.servers(parts.facts, name)
    marks: tuple[ServerMark, ...] = ()
    counts: tuple[Count, ...] = ()
    if len(servers) <= MOST_MARKS:
        marks = tuple(_marks(servers, x + PADDING, at, inner))
        at += math.ceil(len(marks) / MARKS_IN_A_ROW) * (MARK + GAP)
    else:
        tally = collections.Counter(server.look for server in servers)
        counts = tuple(
            Count(x + PADDING, at + number * COUNT, f"{many} {look.word}", look)
            for number, (look, many) in enumerate(tally.most_common())
        )
        at += len(counts) * COUNT + GAP
    note = topology_labels.tier_note(parts.facts, name)
    return TierBox(
        x=x,
        y=y,
        width=width,
        height=at - GAP + PADDING - y,
        title=_cut(name, int((inner - GAP - len(note) * _SMALL) / _BIG)),
        note=note,
        label=f"tier {name}: {note}",
        nodes=tuple(nodes),
        marks=marks,
        counts=counts,
    )


def _node(part: topology_labels.LabelledPart, x: float, y: float, width: float) -> TopologyNode:
    room = width - 2 * PADDING - MARK
    return TopologyNode(
        x, y, width, _cut(part.title, int(room / _BIG)), _cut(part.note, int(room / _SMALL)), part
    )


def _marks(
    servers: Sequence[topology_labels.LabelledServer], x: float, y: float, width: float
) -> Iterator[ServerMark]:
    each = (width - (MARKS_IN_A_ROW - 1) * GAP) / MARKS_IN_A_ROW
    for number, server in enumerate(servers):
        row, place = divmod(number, MARKS_IN_A_ROW)
        yield ServerMark(x + place * (each + GAP), y + row * (MARK + GAP), each, server)


def _on_grid(y: float, height: float) -> float:
    """Return the next position below at which a box's middle is on the grid."""
    return math.ceil((y + height / 2) / arrow_routes.GRID) * arrow_routes.GRID - height / 2


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: max(longest, 1) - 1]}…"
