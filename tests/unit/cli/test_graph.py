"""`gantry graph`: the plan of a launch as a picture, as Mermaid, as text."""

from __future__ import annotations

import itertools
import pathlib
import xml.etree.ElementTree as ET

import pytest

from gantry import definition, plan
from gantry.cli.output import plan_graph
from tests.unit.cli.conftest import Gantry

SVG = "{http://www.w3.org/2000/svg}"
TWO_DATABASES = """\
deployment: shop
description: Orders & <b>users</b>, "both"
cloud: {region: eu-central-1}
launch_configurations:
  bare: {image: debian, ssh: {connection: shop_ssh}}
  managed: {image: debian, ssh: {connection: shop_ssh}, script: {program: s3://shop/converge.sh}}
tiers:
  data: {launch_configuration: bare, servers: 1}
  web: {launch_configuration: managed, servers: {min: 2, max: 4}}
  front: {launch_configuration: bare, servers: 1}
services:
  orders: {id: a1, tier: data, archive: s3://shop/a.tgz, port: 1, datasources: {o: {dump: s3://shop/o, connection: o}}}
  users: {id: a2, tier: data, archive: s3://shop/a.tgz, port: 2, datasources: {u: {dump: s3://shop/u, connection: u}}}
  page-with-a-long-name: {id: a3, tier: web, archive: s3://shop/a.tgz, port: 3, depends_on: [orders.o, users.u]}
load_balancers:
  main: {tier: front, service: page-with-a-long-name, name: shop.example.com}
"""


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "shop.yaml"
    path.write_text(TWO_DATABASES)
    return path


@pytest.fixture
def graph(shop: pathlib.Path) -> plan_graph.Graph:
    loaded = definition.load(shop)
    return plan_graph.Graph(loaded, plan.launch_plan(loaded))


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ET.fromstring(svg).iter(f"{SVG}text")]


def test_what_has_nothing_to_do_is_left_out_and_the_order_stays(graph: plan_graph.Graph) -> None:
    shown = {step.id for step in graph.steps}
    assert "tier-data.execute_configuration_management" not in shown
    assert "tier-web.execute_configuration_management" in shown
    assert graph.before["tier-data.install_services"] == {"tier-data.handshake"}
    # The handshakes of the balancers have come before the service's update.
    assert graph.before["balancer-main.start_proxy"] == {"service-page-with-a-long-name.configure"}


def test_an_arrow_that_says_nothing_new_is_left_out(graph: plan_graph.Graph) -> None:
    after = "service-page-with-a-long-name.update"
    assert "service-orders.configure" in graph.plan.by_id[after].upstream
    assert graph.before[after] == {
        "tier-front.handshake",
        "tier-web.install_services",
        "service-page-with-a-long-name.grant_access_on_orders",
        "service-page-with-a-long-name.grant_access_on_users",
    }


def test_every_arrow_leads_to_the_right_and_no_box_lies_on_another(graph: plan_graph.Graph) -> None:
    drawn = plan_graph.draw(graph, "Launch of shop")
    boxes = {box.step.id: box for box in drawn.boxes}
    assert set(boxes) == {step.id for step in graph.steps}
    for edge in graph.edges:
        assert boxes[edge.before].x + plan_graph.BOX_WIDTH < boxes[edge.after].x
    for one, other in itertools.combinations(boxes.values(), 2):
        apart = abs(one.x - other.x) >= plan_graph.BOX_WIDTH or abs(one.y - other.y) >= one.height
        assert apart, f"{one.step.id} lies on {other.step.id}"
    for box in boxes.values():
        lane = next(
            each for each in drawn.lanes if each.y < box.y and box.y + box.height < each.y + each.height
        )
        assert lane.label == graph.label(box.step.group)
        assert box.x + plan_graph.BOX_WIDTH < drawn.width
    assert len(drawn.arrows) == len(graph.edges)


def test_the_picture_is_one_file_that_needs_nothing_else(gantry: Gantry, shop: pathlib.Path) -> None:
    out = shop.with_name("shop.svg")
    answer = gantry("graph", shop, "--output", out)
    assert (answer.code, answer.out) == (0, f"wrote {out}\n")
    svg = out.read_text()
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert float(root.attrib["width"]) > 500
    # Nothing is fetched or run by whoever looks at it.
    assert not {each.tag for each in root.iter()} & {
        f"{SVG}{tag}" for tag in ("script", "image", "foreignObject", "use")
    }
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert "prefers-color-scheme: dark" in svg


def test_texts_of_the_definition_stay_texts(gantry: Gantry, shop: pathlib.Path) -> None:
    svg = gantry("graph", shop, "--format", "svg").out
    assert "Orders &amp; &lt;b&gt;users&lt;/b&gt;" in svg
    said = texts(svg)
    assert any(each.endswith('Orders & <b>users</b>, "both"') for each in said)
    assert "Launch of shop" in said
    assert "tier web2 to 4 servers" in said
    # Configuration management is called by its name; a word that is too long for a box is cut.
    assert {"program", "datasources"} <= set(said)


def test_mermaid_has_every_step_and_every_arrow(
    gantry: Gantry, shop: pathlib.Path, graph: plan_graph.Graph
) -> None:
    lines = [line.strip() for line in gantry("graph", shop, "--format", "mermaid").out.splitlines()]
    assert "flowchart LR" in lines
    assert 'subgraph lane1["tier data"]' in lines
    node = {step.id: f"step{number}" for number, step in enumerate(graph.steps, 1)}
    for step in graph.steps:
        assert f'{node[step.id]}["{graph.title(step)}"]' in lines
    arrows = [line for line in lines if "-->" in line]
    assert arrows == [f"{node[edge.before]} --> {node[edge.after]}" for edge in graph.edges]


def test_text_says_what_each_step_waits_for(
    gantry: Gantry, shop: pathlib.Path, graph: plan_graph.Graph
) -> None:
    lines = gantry("graph", shop).out.splitlines()
    assert lines[0] == f"Launch of shop: {len(graph.steps)} steps on 4 to 6 servers"
    assert "5 configure dependencies" in lines
    numbered = {int(line.split()[0]): line for line in lines if line[:4].strip().isdigit() and line[0] == " "}
    last = numbered[len(graph.steps)]
    assert "finish launch" in last
    proxy = int(last.rpartition("after ")[2])
    assert "start proxy" in numbered[proxy]


def test_an_environment_changes_the_picture(gantry: Gantry, shop: pathlib.Path) -> None:
    shop.with_name("shop.big.yaml").write_text("tiers: {web: {servers: {min: 9, max: 90}}}\n")
    assert gantry("graph", shop, "-e", "big").out.startswith("Launch of shop: ")
    assert "9 to 90 servers" in gantry("graph", shop, "-e", "big", "-f", "svg").out


def test_the_same_definition_gives_the_same_picture(gantry: Gantry, shop: pathlib.Path) -> None:
    assert gantry("graph", shop, "-f", "svg").out == gantry("graph", shop, "-f", "svg").out
