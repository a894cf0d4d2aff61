"""The picture of a deployment: what stands where, how it is, and that nothing is drawn upon anything else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import hypothesis
import pytest
from hypothesis import strategies as st

from gantry import names, status
from gantry.web.views import (
    arrow_routes,
    dependency_graph,
    rendering,
    state_badges,
    topology,
    topology_labels,
)
from tests.web import scenes

Box = tuple[float, float, float, float]
Segment = tuple[float, float, float, float]
LINKS = topology_labels.TopologyLinks(lambda name: f"/servers/{name}", lambda name: f"/services/{name}")


def drawn(scene: scenes.Scene) -> topology.Topology:
    return topology.topology(
        topology_labels.TopologyFacts(scene.definition, scene.plan, scene.status, scene.inventory, {}, LINKS)
    )


def test_tiers_stand_from_the_visitors_to_the_data() -> None:
    found = dependency_graph.columns(scenes.bookshop(-1).definition)
    assert found == {"proxy": 0, "application": 1, "database": 2}


def test_each_need_is_an_arrow() -> None:
    arrows = drawn(scenes.bookshop(-1)).wide.arrows
    assert [(each.need.source.name, each.need.target.name) for each in arrows] == [
        ("front", "app"),
        ("app", "db"),
    ]


def test_a_running_bookshop_says_so_everywhere() -> None:
    found = drawn(scenes.bookshop(-1))
    assert [tier.note for tier in found.wide.tiers] == ["1/1 running", "2/2 running", "1/1 running"]
    parts = {node.part.title: node.part for tier in found.wide.tiers for node in tier.nodes}
    assert parts["app"].label == "service app: RUNNING, id a1002, port 8000, needs db.catalog"
    assert parts["app"].look.tone is state_badges.Tone.GOOD
    servers = [mark.server for tier in found.wide.tiers for mark in tier.marks]
    assert all("RUNNING" in server.label for server in servers)
    assert servers[1].href == "/servers/bookshop-application-1"
    assert "Service app needs db.catalog" in found.about
    assert "Tier application has 2 servers" in found.about


def test_after_a_launch_that_found_nothing_to_do_balancers_are_set_as_services_run() -> None:
    scene = scenes.bookshop(-1)
    ends = {"turn", "find_lost", "finish_launch"}
    tasks = tuple(
        status.TaskView(
            each.id, state=status.TaskState.SUCCESS if each.id in ends else status.TaskState.SKIPPED
        )
        for each in scene.plan
    )
    found = status.deployment_status(scene.plan, tasks, scene.inventory, run_ended=True)
    facts = topology_labels.TopologyFacts(scene.definition, scene.plan, found, scene.inventory, {}, LINKS)
    parts = {
        node.part.title: node.part for tier in topology.topology(facts).wide.tiers for node in tier.nodes
    }
    assert {each.look.tone for each in parts.values()} == {state_badges.Tone.GOOD}
    assert parts["front"].look.word == "succeeded"


def test_a_failed_service_and_what_waits_for_it_are_told_apart() -> None:
    parts = {
        node.part.title: node.part
        for tier in drawn(scenes.bookshop_failed()).wide.tiers
        for node in tier.nodes
    }
    assert parts["app"].look.word == "IMPAIRED"
    assert parts["db"].look.word == "RUNNING"
    assert parts["front"].look.word == "waiting"


def test_before_the_first_launch_nothing_is_there_and_nothing_leads_anywhere() -> None:
    scene = scenes.bookshop(-1)
    found = topology.topology(topology_labels.TopologyFacts(scene.definition, scene.plan, links=LINKS))
    servers = [mark.server for tier in found.wide.tiers for mark in tier.marks]
    assert [server.short for server in servers] == ["1", "1", "2", "1"]
    assert all(server.look is topology_labels.NOT_THERE and server.href is None for server in servers)
    assert found.wide.tiers[1].note == "2 servers"


def test_many_servers_are_counted_by_state() -> None:
    tiers = {tier.title: tier for tier in drawn(scenes.large(servers=150)).wide.tiers}
    assert [count.text for count in tiers["web"].counts] == ["106 not there"]
    assert not tiers["web"].marks
    assert len(tiers["api"].marks) == 4


@pytest.mark.parametrize("window", ["wide", "narrow"])
@pytest.mark.parametrize("tiers", [10, 12, 24])
def test_nothing_is_drawn_upon_anything_else(tiers: int, window: str) -> None:
    picture: topology.TopologyPicture = getattr(drawn(scenes.large(tiers, 4 * tiers + 50)), window)
    boxes = [(tier.x, tier.y, tier.width, tier.height) for tier in picture.tiers]
    assert not any(_overlap(one, other) for one, other in itertools.combinations(boxes, 2))
    for tier in picture.tiers:
        inside = [
            *((node.x, node.y, node.width, topology.NODE) for node in tier.nodes),
            *((mark.x, mark.y, mark.width, topology.MARK) for mark in tier.marks),
            *((count.x, count.y, 100, topology.COUNT) for count in tier.counts),
        ]
        assert not any(_overlap(one, other) for one, other in itertools.combinations(inside, 2))
        for x, y, width, height in inside:
            assert tier.x < x
            assert x + width < tier.x + tier.width
            assert tier.y + 24 < y
            assert y + height < tier.y + tier.height
    for box in boxes:
        assert box[0] + box[2] <= picture.width
        assert box[1] + box[3] <= picture.height


@pytest.mark.parametrize("window", ["wide", "narrow"])
def test_arrows_run_through_no_box_and_not_upon_each_other(window: str) -> None:
    picture: topology.TopologyPicture = getattr(drawn(scenes.large()), window)
    _hold_apart(picture)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
def test_arrows_are_apart_whoever_needs_whom(data: st.DataObject) -> None:
    """Made-up boxes in made-up columns, some of which need each other in any direction."""
    many = data.draw(st.integers(2, 8))
    boxes = [
        dependency_graph.GraphPart(dependency_graph.PartKind.SERVICE, f"s{number}") for number in range(many)
    ]
    columns = {box: data.draw(st.integers(0, 3)) for box in boxes}
    pairs = data.draw(
        st.sets(
            st.tuples(st.sampled_from(boxes), st.sampled_from(boxes)).filter(lambda pair: pair[0] != pair[1])
        )
    )
    edges = tuple(dependency_graph.GraphEdge(*pair) for pair in sorted(pairs, key=str))
    room = arrow_routes.channels(edges, columns)
    starts, x = {-1: 0.0}, room.width(-1)
    ports, heights = {}, dict.fromkeys(range(4), 0)
    for column in range(4):
        for box in boxes:
            if columns[box] == column:
                heights[column] += data.draw(st.integers(4, 7))
                ports[box] = arrow_routes.Port(column, x, x + 200, heights[column] * arrow_routes.GRID)
        starts[column] = x + 200
        x += 200 + max(room.width(column), 24)
    bottom = (max(heights.values()) + 4) * arrow_routes.GRID
    arrows = arrow_routes.arrows(edges, ports, room, starts, bottom)
    _not_upon_each_other(arrows)
    _not_through(arrows, [(port.left, port.middle - 21, 200, 42) for port in ports.values()])


def test_a_picture_is_told_to_those_who_do_not_see_it() -> None:
    scene = scenes.bookshop(-1)
    text = rendering.render("parts/topology.html.jinja", rendering.Site("/gantry"), topology=drawn(scene))
    assert text.count('<a href="/servers/bookshop-application-2"') == 2
    assert 'aria-label="server bookshop-application-2: RUNNING' in text
    assert 'aria-label="tier database: 1/1 running"' in text
    assert 'id="topology-about">Tier database has 1 server' in text


def test_names_are_escaped_in_the_picture() -> None:
    scene = scenes.bookshop(-1)
    versions = {names.ServiceName("app"): "<script>alert(1)</script>"}
    found = topology.topology(
        topology_labels.TopologyFacts(scene.definition, scene.plan, scene.status, None, versions)
    )
    text = rendering.render("parts/topology.html.jinja", rendering.Site("/gantry"), topology=found)
    assert "version &lt;script&gt;" in text
    assert "<script" not in text


def _hold_apart(picture: topology.TopologyPicture) -> None:
    _not_upon_each_other(picture.arrows)
    # An arrow comes out of a part's box, and so crosses the edge of the tier around it, but no other tier.
    for tier in picture.tiers:
        own = {node.part.title for node in tier.nodes}
        others = [
            arrow for arrow in picture.arrows if not own & {arrow.need.source.name, arrow.need.target.name}
        ]
        _not_through(others, [(tier.x, tier.y, tier.width, tier.height)])
    for arrow in picture.arrows:
        for x, y, *_ in _segments(arrow):
            assert 0 <= x <= picture.width
            assert 0 <= y <= picture.height


def _not_upon_each_other(arrows: tuple[arrow_routes.Arrow, ...]) -> None:
    for one, other in itertools.combinations(arrows, 2):
        if one.need.target == other.need.target or one.need.source == other.need.source:
            continue
        for a, b in itertools.product(_segments(one), _segments(other)):
            assert not _lies_upon(a, b), (one.need, other.need, a, b)


def _not_through(arrows: tuple[arrow_routes.Arrow, ...] | list[arrow_routes.Arrow], boxes: list[Box]) -> None:
    for arrow, (x, y, width, height) in itertools.product(arrows, boxes):
        for ax, ay, bx, by in _segments(arrow):
            left, right, top, bottom = min(ax, bx), max(ax, bx), min(ay, by), max(ay, by)
            outside = right <= x or left >= x + width or bottom <= y or top >= y + height
            assert outside, (arrow.need, (ax, ay, bx, by), (x, y, width, height))


def _segments(arrow: arrow_routes.Arrow) -> Iterator[Segment]:
    """The straight pieces of an arrow, its corners included."""
    numbers = [float(each) for each in re.findall(r"-?\d+(?:\.\d+)?", arrow.path)]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    yield from ((ax, ay, bx, by) for (ax, ay), (bx, by) in itertools.pairwise(points))


def _lies_upon(a: Segment, b: Segment) -> bool:
    """Whether two level or two upright pieces share more than a point."""
    for level in (0, 1):
        along = 1 - level
        if a[level] == a[level + 2] == b[level] == b[level + 2]:
            start = max(min(a[along], a[along + 2]), min(b[along], b[along + 2]))
            end = min(max(a[along], a[along + 2]), max(b[along], b[along + 2]))
            if end - start > 0.5:
                return True
    return False


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )
