"""Arrow routing for the topology: paths between boxes in columns, through channels that contain nothing else.

An arrow leaves a box at its right side. It enters a target in a later column from the left, and one in the same column
from the right. Arrows to the same box share their path; all others have a track of their own: no two overlap, and none
crosses a box.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Mapping, Sequence

from gantry.web.views.dependency_graph import GraphEdge, GraphPart

TRACK = 10
"""Pixels between two tracks of a channel."""

MARGIN = 14
"""Pixels between a channel's tracks and the boxes beside it; an arrow's head fits in."""

HEAD = 6
GRID = 12
"""Boxes are centred on multiples of this, so that paths out of one and into another stay distinct."""

_APART = 3
_ROUNDING = 5

Point = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Port:
    """Where arrows can leave and enter a box; `middle` is a multiple of `GRID`."""

    column: int
    left: float
    right: float
    middle: float


@dataclasses.dataclass(frozen=True)
class Arrow:
    """A path, and its head, as paths of an SVG."""

    need: GraphEdge
    path: str
    head: str


class _Way(enum.IntEnum):
    """What a track is for, in the order in which a channel has them.

    Paths back to their own column turn left, paths that continue turn right: in this order both may do so at one
    height.
    """

    LOOP = enum.auto()
    DOWN = enum.auto()
    IN = enum.auto()


@dataclasses.dataclass(frozen=True)
class _Track:
    """One track: in the channel right of a column, for the arrows to one box."""

    channel: int
    way: _Way
    target: GraphPart


@dataclasses.dataclass(frozen=True)
class Channels:
    """The room that arrows need between the columns, and below them.

    Attributes:
        tracks: each channel's tracks, from left to right. Channel 0 is right of column 0, -1 left of it.
        below: the boxes whose arrows pass below all columns.
    """

    tracks: Mapping[int, tuple[_Track, ...]]
    below: tuple[GraphPart, ...]

    def width(self, channel: int) -> float:
        """Return the pixels that a channel needs; 0 if nothing runs in it."""
        tracks = self.tracks.get(channel, ())
        return 2 * MARGIN + (len(tracks) - 1) * TRACK if tracks else 0.0

    @property
    def height_below(self) -> float:
        """Return the pixels needed below all columns."""
        return 2 * MARGIN + (len(self.below) - 1) * TRACK if self.below else 0.0


def channels(needs: Iterable[GraphEdge], columns: Mapping[GraphPart, int]) -> Channels:
    """Return the tracks that these arrows need, given the columns of the boxes."""
    needed: dict[_Track, None] = {}
    below: dict[GraphPart, None] = {}
    for need in needs:
        source, target = columns[need.source], columns[need.target]
        for track in _tracks(need, source, target):
            needed[track] = None
        if target not in (source, source + 1):
            below[need.target] = None
    by_channel: dict[int, list[_Track]] = {}
    for track in sorted(needed, key=lambda each: each.way):
        by_channel.setdefault(track.channel, []).append(track)
    return Channels({channel: tuple(tracks) for channel, tracks in by_channel.items()}, tuple(below))


def arrows(
    needs: Sequence[GraphEdge],
    ports: Mapping[GraphPart, Port],
    room: Channels,
    starts: Mapping[int, float],
    bottom: float,
) -> tuple[Arrow, ...]:
    """Return the arrows.

    Args:
        needs: the dependencies to draw.
        ports: the boxes.
        room: the result of `channels` for these needs.
        starts: the left edge of each used channel.
        bottom: the top of the area below all columns.
    """
    x = {
        track: starts[channel] + MARGIN + number * TRACK
        for channel, tracks in room.tracks.items()
        for number, track in enumerate(tracks)
    }
    y = {target: bottom + MARGIN + number * TRACK for number, target in enumerate(room.below)}
    # Straight if nothing is in the way, else every exit is slightly lower than every entry.
    apart = _APART if _meet(needs, ports, x) else 0
    return tuple(_arrow(need, ports, x, y, apart) for need in needs)


def _tracks(need: GraphEdge, source: int, target: int) -> tuple[_Track, ...]:
    """Yield the vertical parts of an arrow, in order."""
    if source == target:
        return (_Track(source, _Way.LOOP, need.target),)
    enters = _Track(target - 1, _Way.IN, need.target)
    if target == source + 1:
        return (enters,)
    return (_Track(source, _Way.DOWN, need.target), enters)


def _arrow(
    need: GraphEdge,
    ports: Mapping[GraphPart, Port],
    x: Mapping[_Track, float],
    y: Mapping[GraphPart, float],
    apart: float,
) -> Arrow:
    source, target = ports[need.source], ports[need.target]
    tracks = _tracks(need, source.column, target.column)
    loops = source.column == target.column
    leave, enter = source.middle + apart, target.middle - apart
    points: list[Point] = [(source.right, leave), (x[tracks[0]], leave)]
    if len(tracks) > 1:
        points += [(x[tracks[0]], y[need.target]), (x[tracks[1]], y[need.target])]
    end, back = (target.right, HEAD) if loops else (target.left, -HEAD)
    points += [(x[tracks[-1]], enter), (end + back, enter)]
    head = f"M{end:g} {enter:g}l{back:g} {HEAD / 2 + 0.5:g}v{-HEAD - 1:g}z"
    return Arrow(need, _rounded(_without_repeats(points)), head)


@dataclasses.dataclass(frozen=True)
class _Stretch:
    """A horizontal part of one arrow. Parts with the same `net` may overlap."""

    net: GraphPart
    y: float
    start: float
    end: float

    def meets(self, other: _Stretch) -> bool:
        """Return whether both overlap."""
        same = self.net == other.net
        return not same and self.y == other.y and self.start < other.end and other.start < self.end


def _meet(needs: Sequence[GraphEdge], ports: Mapping[GraphPart, Port], x: Mapping[_Track, float]) -> bool:
    """Return whether exits and entries would overlap if all were at the middles of their boxes."""
    leaving: list[_Stretch] = []
    entering: list[_Stretch] = []
    for need in needs:
        source, target = ports[need.source], ports[need.target]
        tracks = _tracks(need, source.column, target.column)
        leaving.append(_Stretch(need.target, source.middle, source.right, x[tracks[0]]))
        end = x[tracks[-1]]
        start, stop = (target.right, end) if source.column == target.column else (end, target.left)
        entering.append(_Stretch(need.target, target.middle, start, stop))
    return any(one.meets(other) for one in leaving for other in entering)


def _without_repeats(points: Sequence[Point]) -> list[Point]:
    """Remove points that an arrow passes straight through."""
    kept: list[Point] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (
            kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]
        ):
            kept.pop()
        kept.append(point)
    return kept


def _rounded(points: Sequence[Point]) -> str:
    """Return an SVG path through points, with rounded corners."""
    way = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = (_towards(corner, each) for each in (before, after))
        way.append(f"L{ax:g} {ay:g}Q{corner[0]:g} {corner[1]:g} {bx:g} {by:g}")
    way.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return "".join(way)


def _towards(corner: Point, other: Point) -> Point:
    """Return a point slightly away from a corner; lines are horizontal or vertical."""
    (x, y), (ox, oy) = corner, other
    far = abs(ox - x) + abs(oy - y)
    part = min(_ROUNDING, far / 2) / far if far else 0
    return x + (ox - x) * part, y + (oy - y) * part
