"""What a definition may say, and what is read from it."""

from __future__ import annotations

import copy
import datetime
import pathlib
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from gantry import definition
from gantry.definition import models


def test_the_bookshop_of_the_launch_page_is_read(bookshop: definition.Definition) -> None:
    assert bookshop.deployment == "bookshop"
    assert list(bookshop.tiers) == ["database", "application", "proxy"]
    assert bookshop.tiers[list(bookshop.tiers)[1]].servers == models.ServerCount(min=2, max=6)
    (app,) = [service for service in bookshop.services.values() if service.id == "a1002"]
    assert [str(each) for each in app.depends_on] == ["db.catalog"]


@pytest.mark.parametrize(
    "path",
    sorted((pathlib.Path(__file__).parents[3] / "include").glob("*/*.yaml")),
    ids=lambda path: path.stem,
)
def test_every_definition_that_is_shipped_is_good(path: pathlib.Path) -> None:
    base = definition.overlaid(path)
    if base is None:
        definition.load(path)
    else:
        environment = path.stem.rpartition(".")[2]
        # Deployments of all environments live side by side in one Airflow.
        assert definition.load(base, environment=environment).deployment != definition.load(base).deployment


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90), ('"90s"', 90), ("15m", 900), ("1h", 3600), ("1.5 h", 5400), ("0.5", 0.5), ("30s", 30)],
)
def test_a_length_of_time_is_seconds_or_has_a_unit(bookshop_text: str, written: str, seconds: float) -> None:
    read = definition.loads(f"{bookshop_text}attend_time: {written}\n")
    assert read.attend_time == datetime.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),  # Norway, and not false
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("22:30", "22:30"),  # and not 1350
        ("2024-01-31", "2024-01-31"),
        ("=", "="),
        ("12", 12),
        ("1.5", 1.5),
        ('"12"', "12"),
    ],
)
def test_custom_values_stay_what_was_written(bookshop_text: str, written: str, value: object) -> None:
    read = definition.loads(bookshop_text.replace("{greeting:", f"{{custom: {written}, greeting:"))
    (found,) = [service.custom["custom"] for service in read.services.values() if service.custom]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("written", ["0 4 * * 0", "*/5 * * * *", "0 4 * * MON-FRI", "@weekly", "0 0 29 2 *"])
def test_a_schedule_is_a_cron_expression_or_a_preset(bookshop_text: str, written: str) -> None:
    assert definition.loads(bookshop_text.replace("0 4 * * 0", written)).schedule == written


def test_anchors_spare_repetition(bookshop_text: str) -> None:
    text = bookshop_text.replace("database:    {", "database: &one {").replace(
        'proxy:       {launch_configuration: debian, servers: 1, run_list: ["role[loadBalancer]"]}',
        "proxy: *one",
    )
    tiers = list(definition.loads(text).tiers.values())
    assert tiers[0] == tiers[2]


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(
    bookshop_text: str, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + bookshop_text.replace("\n", "\r\n").encode())
    assert definition.load(path) == definition.loads(bookshop_text)


def test_a_bare_number_of_servers_is_fewest_and_most(bookshop_text: str) -> None:
    read = definition.loads(bookshop_text.replace("{min: 2, max: 6}", "{min: 3}"))
    counts = [tier.servers for tier in read.tiers.values()]
    assert [(count.min, count.max) for count in counts] == [(1, 1), (3, 3), (1, 1)]


SCALARS = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(),
    strategies.text(max_size=12),
    strategies.sampled_from(
        ["db", "db.catalog", "1h", "s3://shop/x", "a1001", "@daily", "0 4 * * 0", "[key]"]
    ),
    strategies.dates(),
)
ANYTHING = strategies.recursive(
    SCALARS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=6,
)


def problems(text: str) -> tuple[definition.Problem, ...]:
    try:
        definition.loads(text)
    except definition.DefinitionError as error:
        return error.problems
    return ()


def places(data: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in the data."""
    keys = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in keys for place in ((data, key), *places(value))]


@hypothesis.given(strategies.data())
@hypothesis.settings(max_examples=40, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_whatever_is_put_anywhere_is_read_or_refused_with_its_place(bookshop_text: str, data: Any) -> None:
    written = copy.deepcopy(yaml.load(bookshop_text, Loader=yaml.CSafeLoader))
    for _ in range(data.draw(strategies.integers(1, 3))):
        spots = places(written)
        container, key = spots[data.draw(strategies.integers(0, len(spots) - 1))]
        container[key] = data.draw(ANYTHING)
    text = yaml.dump(written, Dumper=yaml.CSafeDumper, allow_unicode=True)
    for problem in problems(text):
        assert 1 <= problem.place.line <= text.count("\n") + 1
        assert len(problem.message) < 500


@hypothesis.given(strategies.text(alphabet="ab:-[]{}&*!?|>'\"#%@,\n\t .1é\x07~<=", max_size=60))
@hypothesis.settings(max_examples=150, deadline=None)
def test_no_text_whatsoever_brings_the_reader_down(text: str) -> None:
    with pytest.raises(definition.DefinitionError):
        definition.loads(text)


def test_several_ports_tls_and_replication_are_read_and_survive_their_own_writing_down(
    bookshop_text: str,
) -> None:
    text = bookshop_text.replace(
        "    port: 8000\n",
        "    ports: {web: {port: 8000, protocol: http}, admin: {port: 8001}}\n"
        "    tls: {connection: shop_tls, address: shop.example.com}\n",
    ).replace("port: 80, name", "tls: {connection: shop_tls}, name")
    read = definition.loads(text.replace("a1001\n", "a1001\n    replication: {connection: copies}\n"))
    (app,) = [service for service in read.services.values() if service.id == "a1002"]
    (front,) = read.load_balancers.values()
    assert [each.port for each in app.listens] == [8000, 8001]
    assert (app.main_port, read.port_behind(front).port, front.port) == (8000, 8000, 443)
    # A trigger gets the definition as JSON.
    assert definition.Definition.model_validate(read.model_dump(mode="json")) == read


def test_https_on_a_port_of_ones_own_and_http_on_the_usual_one(bookshop_text: str) -> None:
    text = bookshop_text.replace("port: 80, name", "port: 8443, tls: {connection: shop_tls}, name")
    assert [each.port for each in definition.loads(text).load_balancers.values()] == [8443]
    text = bookshop_text.replace("port: 80, name", "name")
    assert [each.port for each in definition.loads(text).load_balancers.values()] == [80]
