"""`gantry show`: what a launch goes by, and where each value comes from."""

from __future__ import annotations

import pathlib

import pytest

from gantry import definition
from tests.unit.cli.conftest import Gantry

SHOP = """\
deployment: shop
variables:
  region: {type: string}
  many: {default: 2, description: How many}
cloud: {region: "${region}"}
launch_configurations:
  debian: {image: "debian-${many}", ssh: {connection: shop_ssh}}
tiers:
  web: {launch_configuration: debian, servers: "${many}"}
services:
  page:
    id: a1
    tier: web
    archive: s3://shop/page.tar.gz
    custom:
      greeting: "{{ server.name }}: $${literal} :x: # text"
      several: |
        a: b

          c
      "true": "2"
"""
PRODUCTION = "variables: {region: eu-west-1}\ntiers: {web: {servers: {min: 2, max: 6}}}\n"


@pytest.fixture
def shop(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path("include", "shop.yaml")
    path.parent.mkdir()
    path.write_text(SHOP)
    path.with_name("shop.production.yaml").write_text(PRODUCTION)
    return path


def origins(out: str) -> dict[str, str]:
    """Behind each line of YAML its comment."""
    return {
        text.strip(): comment for text, _, comment in (line.partition("  # ") for line in out.splitlines())
    }


def test_each_value_says_where_it_comes_from(gantry: Gantry, shop: pathlib.Path) -> None:
    said = origins(gantry("show", "shop", "-e", "production").out)
    assert said["region: eu-west-1"] == "shop.production.yaml:1:21"
    assert said["max: 6"] == "shop.production.yaml:2:38"
    assert said["image: debian-2"] == "shop.yaml:7:19, variable many from shop.yaml:4:19"
    assert said["connection: aws_default"] == "default"


def test_an_argument_is_named_as_such(gantry: Gantry, shop: pathlib.Path) -> None:
    said = origins(gantry("show", "shop", "--set", "region=eu-north-1", "--set", "many=3").out)
    assert said["servers: 3"] == "shop.yaml:9:48, variable many from argument"
    assert said["many: 3"] == "argument"


@pytest.mark.parametrize("defaults", ["--defaults", "--no-defaults"])
def test_what_is_shown_is_the_same_definition(defaults: str, gantry: Gantry, shop: pathlib.Path) -> None:
    shown = gantry("show", "shop", "-e", "production", defaults).out
    without = {"variables"}
    again = definition.loads(shown).model_dump(exclude=without)
    assert again == definition.load(shop, environment="production").model_dump(exclude=without)
    assert again["services"]["page"]["custom"] == {
        "greeting": "{{ server.name }}: ${literal} :x: # text",
        # A text of the language is stripped.
        "several": "a: b\n\n  c",
        "true": "2",
    }


def test_defaults_can_be_left_out(gantry: Gantry, shop: pathlib.Path) -> None:
    assert "timezone: UTC" in gantry("show", "shop", "-e", "production").out
    assert "default" not in gantry("show", "shop", "-e", "production", "--no-defaults").out


def test_a_program_gets_the_definition_and_the_origins(gantry: Gantry, shop: pathlib.Path) -> None:
    answer = gantry("show", "shop", "-e", "production", "--json").json
    assert answer["deployment"] == "shop"
    assert answer["environment"] == "production"
    assert answer["files"] == ["include/shop.yaml", "include/shop.production.yaml"]
    assert answer["definition"]["tiers"]["web"]["servers"] == {"min": 2, "max": 6}
    by_path = {tuple(each["path"]): each for each in answer["values"]}
    region = by_path["cloud", "region"]
    assert region["value"] == "eu-west-1"
    assert (region["origin"]["kind"], region["origin"]["line"]) == ("variable", 5)
    assert region["origin"]["variables"]["region"]["file"] == "include/shop.production.yaml"
    assert by_path["timezone",]["origin"]["kind"] == "default"
    assert answer["variables"]["many"]["value"] == 2


def test_a_broken_definition_is_answered_with_its_problems(gantry: Gantry, shop: pathlib.Path) -> None:
    answer = gantry("show", "shop")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith("include/shop.yaml:3:3: the variable 'region' has no value")


def test_an_unknown_deployment_or_environment_is_answered_with_the_nearest(
    gantry: Gantry, shop: pathlib.Path
) -> None:
    assert "did you mean 'shop'?" in gantry("show", "shoop").err
    assert "did you mean 'production'?" in gantry("show", "shop", "-e", "prodction").err
