"""Numbers that are written otherwise than they are said: a server gets what was written, or an error asks about it."""

from __future__ import annotations

import datetime
import json
import string
from pathlib import Path

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from gantry import inventory, names
from gantry.agent import template_values
from gantry.cli.output import definition_text
from gantry.definition import loading, models, source

APP = names.ServiceName("app")
SPELLED = {
    "1.10": 1.1,
    "01067": 567,
    "+4930123": 4930123,
    "1_000": 1000,
    "0755": 493,
    "0x1F": 31,
    "0b101": 5,
    ".5": 0.5,
    "1.0e+3": 1000.0,
    "-0": 0,
    "3.14159265358979323846": 3.141592653589793,
}
"""What YAML makes of them, silently."""

AS_SAID = {
    "no": "no", "2024-01-31": "2024-01-31", "12:30": "12:30", "true": "true", "1": "1", "-7": "-7", "1.5": "1.5",
    "1.0": "1.0", '"01067"': "01067", "v1.10": "v1.10", "1.2.3": "1.2.3",
}  # fmt: skip
"""What is a text anyway, or said as it is written."""

TEXT = """\
deployment: shop
variables: {{amount: {variable}}}
cloud: {{region: eu-central-1}}
launch_configurations:
  debian:
    image: debian
    ssh: {{connection: c}}
    chef: {{connection: chef, settings: {{http_retry_count: {setting}}}}}
tiers:
  web: {{launch_configuration: debian, servers: {servers}, attributes: {{app: {{sizes: [1, {attribute}]}}}}}}
services:
  app: {{id: a1, tier: web, archive: "s3://shop/app.tar", port: {port}, custom: {{it: {custom}}}}}
"""


def text(**values: str) -> str:
    usual = {"variable": "1", "setting": "1", "servers": "1", "attribute": "1", "port": "80", "custom": "x"}
    return TEXT.format(**(usual | values))


def custom(definition: models.Definition) -> str:
    """What stands in `enstratus.cfg`."""
    server = inventory.Server(
        name=names.ServerName("shop-web-1"),
        tier=names.TierName("web"),
        slot=names.Slot(1),
        instance_id="i-1",
        state=inventory.InstanceState.RUNNING,
        image="ami-1",
        launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        private_address="10.0.0.1",
    )
    return template_values.custom(definition, inventory.Inventory((server,)), APP, server)["it"]


@pytest.mark.parametrize("written", SPELLED)
def test_a_server_gets_what_was_written(written: str) -> None:
    assert custom(loading.loads(text(custom=written))) == written


@pytest.mark.parametrize("written", AS_SAID)
def test_what_is_said_as_it_is_written_stays_what_it_was(written: str) -> None:
    assert custom(loading.loads(text(custom=written))) == AS_SAID[written]
    loading.loads(text(attribute=written, variable=written))


@pytest.mark.parametrize("key", ["attribute", "variable", "setting"])
@pytest.mark.parametrize("written", SPELLED)
def test_where_text_and_number_differ_an_error_asks_which(written: str, key: str) -> None:
    given = text(**{key: written})
    with pytest.raises(source.DefinitionError) as caught:
        loading.loads(given, "shop.yaml")
    (problem,) = caught.value.problems
    line = given.splitlines()[problem.place.line - 1]
    assert line[problem.place.column - 1 :].startswith(written)
    assert f'{written} would become {SPELLED[written]!r}: write "{written}" in quotes' in problem.message


def test_where_a_number_belongs_it_is_one() -> None:
    found = loading.loads(text(port="0x50", servers="0b11"))
    assert (
        found.services[names.ServiceName("app")].port,
        found.tiers[names.TierName("web")].servers.min,
    ) == (80, 3)
    with pytest.raises(source.DefinitionError, match="0_0"):
        loading.loads(text(port="0_0"))


@pytest.mark.parametrize(
    ("declared", "given", "said"),
    [
        ("5", "01067", "01067 would become 1067, since the variable's type is integer"),
        ("5", "+7", "give 7, or declare it with type: string"),
        ("1.5", "0.50", "0.50 would become 0.5"),
        ("1.5", "1e3", "1e3 would become 1000.0"),
        ("1.5", "nan", "'nan' is not a number"),
    ],
)
def test_a_variable_from_the_command_line_is_what_was_typed(declared: str, given: str, said: str) -> None:
    with pytest.raises(source.DefinitionError) as caught:
        loading.loads(text(variable=declared, custom='"${amount}"'), variables={"amount": given})
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "given"),
    [("5", "7"), ("1.5", "2"), ("1.5", "2.5"), ('"x"', "01067"), ('"x"', "1.10"), ("5", "-3")],
)
def test_a_variable_arrives_as_it_was_typed(declared: str, given: str) -> None:
    found = loading.loads(text(variable=declared, custom='"${amount}"'), variables={"amount": given})
    assert custom(found) == given


def test_an_overlays_value_is_asked_about_too(tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(text(custom='"${amount}"'))
    (tmp_path / "shop.test.yaml").write_text("variables: {amount: 007}\n")
    with pytest.raises(source.DefinitionError, match=r"shop.test.yaml:1:21: 007 would become 7"):
        loading.load(tmp_path / "shop.yaml", environment="test")


def test_the_merged_definition_is_the_same_one(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text(custom="1.10", port="0x50"))
    loaded = loading.read(file)
    printed = "\n".join(line.text for line in definition_text.lines(loaded))
    assert "it: 1.10" in printed
    assert loading.loads(printed) == loaded.definition


PLAIN = strategies.text(string.digits + "+-_.:xXoObBeEfFnNaA~ ", min_size=1, max_size=12)


def arrives(key: str, written: str) -> object:
    """What a server gets; None where the value is refused."""
    try:
        found = loading.loads(text(**{key: written}))
    except source.DefinitionError as error:
        # With its place: nothing is said of the whole.
        return None if 1 not in {problem.place.line for problem in error.problems} else str(error)
    if key == "custom":
        return custom(found)
    attribute = found.tiers[names.TierName("web")].model_dump()["attributes"]["app"]["sizes"][1]
    return attribute if isinstance(attribute, str | None) else json.dumps(attribute)


@hypothesis.given(PLAIN, strategies.sampled_from(["custom", "attribute"]))
@hypothesis.settings(max_examples=300, deadline=None)
def test_any_scalar_arrives_as_it_is_written_or_is_refused_with_its_place(written: str, key: str) -> None:
    try:
        tokens = [each.value for each in yaml.scan(f"[{written}]") if isinstance(each, yaml.ScalarToken)]
    except yaml.YAMLError:
        tokens = []
    hypothesis.assume(len(tokens) == 1 and ": " not in written and not written.strip().endswith(":"))
    assert arrives(key, written) in (tokens[0], None)
