"""Layout of a plan's picture: the steps shown, their lanes and columns, and the paths of arrows.

Lanes are the tiers, services and load balancers; columns are the order. A step is as far left as its dependencies
allow.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from gantry import plan
from gantry.definition import models

LONGEST_WORD = 12
"""Characters that fit on a line of a step's box. Longer words, such as names, are truncated."""

# All in the SVG's own units, which are pixels unless it is scaled.
MARGIN = 12
BOX_WIDTH = 86
LINE_HEIGHT = 14
BOX_PADDING = 7
GAP = 20
LANE_LABEL = 20
LANE_PADDING = 9
TRACK = 12
"""Room below a lane's boxes for arrows that pass them."""
ROW_GAP = 8
HEADER = 50
LEGEND_HEIGHT = 22
SMALLEST_WIDTH = 460
_ROUNDING = 5
_CHARACTER = 7
"""Approximate width of a character of the legend."""


@dataclasses.dataclass(frozen=True)
class Edge:
    """One step before another."""

    before: str
    after: str


@dataclasses.dataclass(frozen=True)
class Box:
    """A step in the picture; `x` and `y` are its upper left corner."""

    step: plan.Step
    lines: tuple[str, ...]
    x: float
    y: float
    height: float

    @property
    def middle(self) -> float:
        """Return the height at which arrows enter and leave."""
        return self.y + self.height / 2


@dataclasses.dataclass(frozen=True)
class Lane:
    """The steps of one tier, service or load balancer."""

    label: str
    note: str
    y: float
    height: float
    track: float


@dataclasses.dataclass(frozen=True)
class Legend:
    """A phase that occurs, and the position of its legend."""

    phase: plan.Phase
    x: float
    y: float


@dataclasses.dataclass(frozen=True)
class PlanPicture:
    """Everything that is drawn."""

    title: str
    note: str
    about: str
    width: float
    height: float
    lanes: tuple[Lane, ...]
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    legend: tuple[Legend, ...]


class Graph:
    """The steps that do something, and the arrows between them that are not redundant."""

    def __init__(self, definition_: models.Definition, plan_: plan.Plan) -> None:
        self.definition = definition_
        self.plan = plan_
        self.steps = tuple(step for step in plan_ if step.skipped is None)
        self.groups = _in_order_of_kinds(step.group for step in self.steps)

    @functools.cached_property
    def before(self) -> Mapping[str, frozenset[str]]:
        """Return each step's direct predecessors, bypassing skipped steps, without those implied by others."""
        direct: dict[str, frozenset[str]] = {}
        every: dict[str, frozenset[str]] = {}
        found: dict[str, frozenset[str]] = {}
        for step in self.plan:
            near = frozenset(
                itertools.chain.from_iterable(
                    direct[each] if self.plan.by_id[each].skipped else (each,) for each in step.upstream
                )
            )
            direct[step.id] = near
            every[step.id] = near.union(*(every[each] for each in near))
            found[step.id] = frozenset(
                each for each in near if not any(each in every[other] for other in near if other != each)
            )
        return {step.id: found[step.id] for step in self.steps}

    @functools.cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Return the arrows, in the plan's order."""
        place = {step.id: number for number, step in enumerate(self.steps)}
        return tuple(
            Edge(each, step.id)
            for step in self.steps
            for each in sorted(self.before[step.id], key=place.__getitem__)
        )

    @functools.cached_property
    def columns(self) -> Mapping[str, int]:
        """Return the minimum number of steps before each step."""
        found: dict[str, int] = {}
        for step in self.steps:
            found[step.id] = max((found[each] + 1 for each in self.before[step.id]), default=0)
        return found

    @property
    def note_of_all(self) -> str:
        """Return a summary of the numbers."""
        minimum = sum(each.minimum for each in self.plan.tiers)
        maximum = sum(each.maximum for each in self.plan.tiers)
        return f"{len(self.steps)} steps on {_servers(minimum, maximum)}"

    def title(self, step: plan.Step) -> str:
        """Return a step's title as in Airflow; for configuration management its name."""
        words = step.id.rpartition(".")[2].replace("_", " ")
        if step.tier is not None:
            kind = self.definition.launch_configuration_of(step.tier).configuration_management
            name = "Chef" if isinstance(kind, models.Chef) else "program"
            words = words.replace("configuration management", name) if kind else words
        return words

    def label(self, group: plan.Group) -> str:
        """Return a lane's title."""
        return f"{group.kind.value.replace('_', ' ')} {group.name}".strip()

    def note(self, group: plan.Group) -> str:
        """Return additional information about a lane."""
        parts: Mapping[plan.GroupKind, Mapping[str, str]] = {
            plan.GroupKind.TIER: {
                each.tier: _servers(each.minimum, each.maximum) for each in self.plan.tiers
            },
            plan.GroupKind.SERVICE: {
                name: f"{each.id} on tier {each.tier}" for name, each in self.definition.services.items()
            },
            plan.GroupKind.LOAD_BALANCER: {
                name: f"{each.name}:{each.port} on tier {each.tier}"
                for name, each in self.definition.load_balancers.items()
            },
        }
        return parts.get(group.kind, {}).get(group.name, "")


def draw(graph: Graph, title: str) -> PlanPicture:
    """Compute the position of everything."""
    rows = _rows(graph)
    passing = frozenset(each for each in graph.edges if _passes(graph, rows, each))
    lanes, boxes = _placed(graph, rows, {graph.plan.by_id[each.before].group for each in passing})
    width = max((box.x + BOX_WIDTH + 2 * MARGIN for box in boxes.values()), default=0)
    width = max(width, SMALLEST_WIDTH)
    below = max((lane.y + lane.height for lane in lanes.values()), default=HEADER)
    legend = _legend(sorted({step.phase for step in graph.steps}), below + LEGEND_HEIGHT, width)
    turns = _turns(graph, boxes)
    arrows = []
    for edge in graph.edges:
        source, target = boxes[edge.before], boxes[edge.after]
        track = lanes[source.step.group].track if edge in passing else None
        arrows.append(_arrow(source, target, turns[edge.after], track))
    return PlanPicture(
        title=title,
        note=graph.note_of_all,
        about=_cut(
            graph.definition.description.replace("\n", " "), int(width / _CHARACTER) - len(graph.note_of_all)
        ),
        width=width,
        height=max((each.y for each in legend), default=below) + LEGEND_HEIGHT,
        lanes=tuple(lanes.values()),
        boxes=tuple(boxes.values()),
        arrows=tuple(arrows),
        legend=legend,
    )


def _placed(
    graph: Graph, rows: Mapping[str, int], tracked: AbstractSet[plan.Group]
) -> tuple[dict[plan.Group, Lane], dict[str, Box]]:
    """Position the lanes below each other, and the boxes in them. Those of `tracked` have room for passing arrows."""
    lines = {step.id: _wrapped(graph.title(step)) for step in graph.steps}
    height = max((len(each) for each in lines.values()), default=1) * LINE_HEIGHT + 2 * BOX_PADDING
    lanes: dict[plan.Group, Lane] = {}
    boxes: dict[str, Box] = {}
    y: float = HEADER
    for group in graph.groups:
        steps = [step for step in graph.steps if step.group == group]
        deep = 1 + max(rows[step.id] for step in steps)
        bottom = y + LANE_LABEL + deep * (height + ROW_GAP) - ROW_GAP
        track = TRACK if group in tracked else 0
        lanes[group] = Lane(
            label=graph.label(group),
            note=graph.note(group),
            y=y,
            height=bottom + LANE_PADDING + track - y,
            track=bottom + (LANE_PADDING + track) / 2,
        )
        for step in steps:
            boxes[step.id] = Box(
                step=step,
                lines=lines[step.id],
                x=2 * MARGIN + graph.columns[step.id] * (BOX_WIDTH + GAP),
                y=y + LANE_LABEL + rows[step.id] * (height + ROW_GAP),
                height=height,
            )
        y += lanes[group].height + ROW_GAP
    return lanes, boxes


def _in_order_of_kinds(groups: Iterable[plan.Group]) -> tuple[plan.Group, ...]:
    """Return tiers, services, balancers, and last the whole deployment; each kind in the plan's order."""
    kinds = list(plan.GroupKind)
    return tuple(sorted(dict.fromkeys(groups), key=lambda group: kinds.index(group.kind)))


def _rows(graph: Graph) -> dict[str, int]:
    """Return the rows of steps: steps of one lane and column are below each other."""
    taken: dict[tuple[plan.Group, int], int] = {}
    rows: dict[str, int] = {}
    for step in graph.steps:
        here = step.group, graph.columns[step.id]
        rows[step.id] = taken.get(here, 0)
        taken[here] = rows[step.id] + 1
    return rows


def _passes(graph: Graph, rows: Mapping[str, int], edge: Edge) -> bool:
    """Return whether a straight arrow would cross other boxes of its lane."""
    source = graph.plan.by_id[edge.before]
    between = range(graph.columns[edge.before] + 1, graph.columns[edge.after])
    return any(
        step.group == source.group and rows[step.id] == rows[source.id] and graph.columns[step.id] in between
        for step in graph.steps
    )


def _turns(graph: Graph, boxes: Mapping[str, Box]) -> dict[str, float]:
    """Return where arrows to each box turn up or down: beside each other if a column has several boxes."""
    found: dict[str, float] = {}
    for column in sorted(set(graph.columns.values())):
        there = [box for box in boxes.values() if graph.columns[box.step.id] == column]
        apart = min(5.0, (GAP - 8) / len(there))
        for place, box in enumerate(there):
            found[box.step.id] = box.x - GAP / 2 + (place - (len(there) - 1) / 2) * apart
    return found


def _arrow(source: Box, target: Box, turn: float, track: float | None) -> str:
    """Return the path between two boxes: along the row or the track below it, up or down, and in at the left."""
    start, end = source.x + BOX_WIDTH, target.x
    points = [(start, source.middle)]
    if track is not None:
        out = start + GAP / 2
        points += [(out, source.middle), (out, track), (turn, track), (turn, target.middle)]
    elif source.middle != target.middle:
        points += [(turn, source.middle), (turn, target.middle)]
    return _rounded([*points, (end, target.middle)])


def _rounded(points: Sequence[tuple[float, float]]) -> str:
    """Return an SVG path through points, with rounded corners."""
    way = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        x, y = corner
        (ax, ay), (bx, by) = (_towards(corner, each) for each in (before, after))
        way.append(f"L{ax:g} {ay:g}Q{x:g} {y:g} {bx:g} {by:g}")
    way.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(way)


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return a point slightly away from a corner; lines are horizontal or vertical."""
    (x, y), (ox, oy) = corner, other
    far = abs(ox - x) + abs(oy - y)
    part = min(_ROUNDING, far / 2) / far if far else 0
    return x + (ox - x) * part, y + (oy - y) * part


def _legend(phases: Sequence[plan.Phase], y: float, width: float) -> tuple[Legend, ...]:
    found: list[Legend] = []
    x: float = MARGIN
    for phase in phases:
        needed = 40 + _CHARACTER * len(phase.title)
        if found and x + needed > width:
            x, y = MARGIN, y + LEGEND_HEIGHT
        found.append(Legend(phase, x, y))
        x += needed
    return tuple(found)


def _wrapped(title: str) -> tuple[str, ...]:
    """Wrap a title into short lines."""
    lines: list[str] = []
    for word in title.split():
        short = _cut(word, LONGEST_WORD)
        if lines and len(lines[-1]) + 1 + len(short) <= LONGEST_WORD:
            lines[-1] += f" {short}"
        else:
            lines.append(short)
    return tuple(lines)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _servers(minimum: int, maximum: int) -> str:
    if minimum == maximum:
        return f"{minimum} server" if minimum == 1 else f"{minimum} servers"
    return f"{minimum} to {maximum} servers"
