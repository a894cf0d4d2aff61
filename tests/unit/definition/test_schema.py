"""The JSON Schema says what the models say: it is current, takes every good definition, and tells bad ones."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pydantic
import pytest
from tests.unit.dag.definitions import ODD

from gantry import definition
from gantry.definition import loading, models, reading, schema, source

ROOT = pathlib.Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "include").glob("*/*.yaml"))
GOOD = {
    **{
        str(path.relative_to(ROOT)): path.read_text()
        for path in (*SHIPPED, ROOT / "tests/unit/bookshop.yaml")
        if loading.overlaid(path) is None
    },
    **ODD,
    **{
        f"{page}, {number}": text
        for page in ("README.md", "docs/writing-a-definition.md")
        for number, text in enumerate(
            re.findall(
                r"^(deployment: .*?)^(?:```|END)$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
            )
        )
    },
}


def readable(path: pathlib.Path) -> bool:
    """Whether it is YAML that a schema can look at; variables are inserted first."""
    try:
        return not reading.read_file(path).open
    except definition.DefinitionError:
        return False


BAD = list(filter(readable, sorted(pathlib.Path(__file__).with_name("bad").glob("*.yaml"))))
DEFINITION = jsonschema.Draft7Validator(schema.definition_schema())
OVERLAY = jsonschema.Draft7Validator(schema.overlay_schema())


def data(text: str) -> Any:
    return reading.read(source.Document("shop.yaml", text)).data


def complaints(validator: jsonschema.Draft7Validator, text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(data(text))]


@pytest.mark.parametrize(
    ("path", "current"),
    [(schema.DEFINITION_FILE, DEFINITION.schema), (schema.OVERLAY_FILE, OVERLAY.schema)],
    ids=["definition", "overlay"],
)
def test_the_files_in_the_package_are_current(path: pathlib.Path, current: Any) -> None:
    assert path.read_text() == schema.text(current), "run: python -m gantry.definition.schema"
    jsonschema.Draft7Validator.check_schema(current)


@pytest.mark.parametrize("name", GOOD)
def test_a_good_definition_fits(name: str) -> None:
    definition.loads(GOOD[name])
    assert complaints(DEFINITION, GOOD[name]) == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_names_its_schema_and_fits(path: pathlib.Path) -> None:
    first = path.read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named, f"{path} must begin with the name of its schema"
    is_overlay = loading.overlaid(path) is not None
    expected = schema.OVERLAY_FILE if is_overlay else schema.DEFINITION_FILE
    assert (path.parent / named[1]).resolve() == expected
    assert complaints(OVERLAY if is_overlay else DEFINITION, path.read_text()) == []


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_schema_tells_the_mistakes_that_stand_in_one_place(path: pathlib.Path) -> None:
    read = reading.read_file(path)
    kinds = set()
    try:
        models.Definition.model_validate(read.data)
    except pydantic.ValidationError as error:
        kinds = {each["type"] for each in error.errors()}
    # A value_error is a check in words of our own; the others are what a type or a pattern says.
    if kinds - {"value_error"}:
        assert list(DEFINITION.iter_errors(read.data)) != []


def with_examples(part: Any) -> Iterator[tuple[str, Any]]:
    """Every key with examples anywhere in a schema: (key, its schema)."""
    if isinstance(part, dict):
        for name, each in part.get("properties", {}).items():
            if isinstance(each, dict) and "examples" in each:
                yield name, each
        for each in part.values():
            yield from with_examples(each)
    elif isinstance(part, list):
        for each in part:
            yield from with_examples(each)


@pytest.mark.parametrize("validator", [DEFINITION, OVERLAY], ids=["definition", "overlay"])
def test_every_example_of_a_key_fits_the_key(validator: jsonschema.Draft7Validator) -> None:
    whole: Any = validator.schema
    keys = list(with_examples(whole))
    assert len(keys) > 50
    for name, part in keys:
        inside = jsonschema.Draft7Validator({**part, "definitions": whole["definitions"]})
        for example in part["examples"]:
            assert not list(inside.iter_errors(example)), f"{name}: {example}"


HEAD = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations: {debian: {image: ami-1, ssh: {connection: shop_ssh}}}
"""


@pytest.mark.parametrize(
    "more",
    [
        'tiers: {web: {launch_configuration: debian, servers: "${count}"}}',
        'tiers: {web: {launch_configuration: debian, servers: {min: "${count}", max: 6}}}',
        'tiers: {web: {launch_configuration: "${kind}-image", servers: 1}}\nattend_time: ${patience}',
        "tiers: {web: {launch_configuration: debian, servers: 1}}\nattend_time: ${patience}s",
        "tiers: {web: {launch_configuration: debian, servers: 1}}\nvariables: {a: 1, b: {type: string}, c: x}",
    ],
)
def test_a_variable_stands_wherever_a_value_stands(more: str) -> None:
    assert complaints(DEFINITION, f"{HEAD}{more}\n") == []


@pytest.mark.parametrize(
    "more",
    [
        'tiers: {web: {launch_configuration: debian, servers: "about ${count}"}}',
        'tiers: "${tiers}"',
        "tiers: {web: {launch_configuration: debian, servers: 1}}\nvariables: {a: [1]}",
        "tiers: {web: {launch_configuration: debian, servers: 1}}\nvariables: {a: {kind: string}}",
        "tiers: {Web: {launch_configuration: debian, servers: 1}}",
    ],
)
def test_what_no_variable_can_stand_for_is_told(more: str) -> None:
    assert complaints(DEFINITION, f"{HEAD}{more}\n") != []


def test_an_overlay_needs_nothing_and_takes_keys_away() -> None:
    assert complaints(OVERLAY, "schedule: null\n") == []
    text = "variables: {size: t3.small, count: null}\ntiers: {web: {servers: {max: 9}}, old: null}\n"
    assert complaints(OVERLAY, text) == []
    assert complaints(OVERLAY, "tiers: {web: {server: 1}}\n") != []
    assert complaints(OVERLAY, "variables: {size: {default: t3.small}}\n") != []


def test_the_schema_is_small_enough_to_be_read_at_each_keystroke() -> None:
    assert len(json.dumps(OVERLAY.schema)) < 200_000
