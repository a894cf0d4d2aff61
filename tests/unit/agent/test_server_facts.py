"""Servers learn of each other what nobody can know beforehand, in `enstratus.cfg`."""

from __future__ import annotations

import dataclasses
import pathlib
import time

import pytest

from gantry import names
from gantry.agent import addresses, config_file, template_values

from .world import World

GOLDEN = pathlib.Path(__file__).with_name("golden")
DB, APP = names.ServiceName("db"), names.ServiceName("app")
CATALOG = names.DatasourceName("catalog")


def lines(content: bytes) -> dict[str, str]:
    """The file as existing scripts read it: `grep KEY | cut -d= -f2-`."""
    return dict(line.split("=", 1) for line in content.decode().splitlines() if "=" in line)


def files(world: World) -> dict[str, bytes]:
    known = world.facts()
    return {
        "app": known.service_file(APP, world.server("application-2")),
        "db": known.service_file(DB, world.server("database-1")),
        "datasource": known.datasource_file(DB, CATALOG, world.server("database-1")),
        "grant": known.grant_file(DB, CATALOG, world.server("database-1"), APP),
        "balancer": known.balancer_file(names.BalancerName("front"), world.server("proxy-1")),
    }


@pytest.mark.parametrize("name", ["app", "db", "datasource", "grant", "balancer"])
def test_the_file_is_the_one_that_existing_scripts_expect(world: World, name: str) -> None:
    assert files(world)[name].decode() == (GOLDEN / f"{name}.cfg").read_text()


def test_the_same_facts_give_the_same_bytes(world: World) -> None:
    assert files(world) == files(dataclasses.replace(world))


def test_the_application_learns_the_databases_address_and_account_in_both_blocks(world: World) -> None:
    file = lines(files(world)["app"])
    assert file["dependencies"] == "DATA_SOURCE-1,SERVICE-2"
    assert file["dependency.DATA_SOURCE-1.readHosts"] == "10.0.0.11"
    assert file["dependency.DATA_SOURCE-1.password"] == world.password
    assert file["dependency.SERVICE-2.dependencyType"] == "SERVICE"
    assert "dependency.SERVICE-2.password" not in file
    assert file["dataSource.catalog.read"] == "10.0.0.11"
    assert file["dataSource.catalog.servicePassword"] == world.password


def test_the_database_does_not_get_the_account_in_the_file_that_lies_there_for_good(world: World) -> None:
    assert world.password not in files(world)["db"].decode()
    assert world.password in files(world)["grant"].decode()


def test_the_database_learns_every_application_server_of_the_deployment(world: World) -> None:
    assert lines(files(world)["grant"])["addresses"] == "10.0.0.21,10.0.0.22"
    grown = world.but(addresses={**world.addresses, "application-3": "10.0.0.23"})
    assert lines(files(grown)["grant"])["addresses"] == "10.0.0.21,10.0.0.22,10.0.0.23"


def test_two_datasources_of_one_name_are_told_apart_and_the_older_block_knows_the_first(world: World) -> None:
    other = (
        "  db2:\n    id: a1003\n    tier: database\n    archive: s3://bookshop/x.tar.gz\n"
        "    datasources: {catalog: {dump: s3://bookshop/x.sql, connection: x}}\n"
    )
    text = world.text.replace("  app:\n", f"{other}  app:\n").replace(
        "[db.catalog, db]", "[db.catalog, db2.catalog]"
    )
    file = lines(files(world.but(text=text))["app"])
    assert file["dependencies"] == "DATA_SOURCE-1,DATA_SOURCE-2"
    assert file["dependency.DATA_SOURCE-2.id"] == "a1003"
    assert file["dataSources"] == "catalog"


def test_a_server_without_an_address_is_waited_for(world: World) -> None:
    with pytest.raises(addresses.MissingAddressError, match="bookshop-application-2") as waiting:
        files(world.but(addresses={**world.addresses, "application-2": None}))
    assert waiting.value.transient


@pytest.mark.parametrize("value", ["a\nrole=master", "a\r", "a\x00", "a\u2028b", "a\x1b[0m"])
def test_a_value_that_could_begin_a_line_is_refused_without_being_shown(world: World, value: str) -> None:
    with pytest.raises(config_file.UnwritableFactError, match="password") as refused:
        files(world.but(password=value))
    assert value not in str(refused.value)


def test_a_key_that_could_begin_a_line_is_refused() -> None:
    for key in ("a\n", "a=b", "a b", "", "#a", "1a"):
        with pytest.raises(config_file.UnwritableFactError):
            config_file.render(config_file.Section("custom", {key: "x"}))


def test_a_time_in_a_comment_changes_no_digest() -> None:
    assert config_file.digest(b"# at 12:00\n[a]\nb=c\n") == config_file.digest(b"# at 13:00\n[a]\nb=c\n")
    assert config_file.digest(b"[a]\nb=c\n") != config_file.digest(b"[a]\nb=d\n")


def test_no_secret_is_in_what_a_traceback_may_print(world: World) -> None:
    assert world.password not in repr(world.facts())
    assert world.password not in repr(config_file.Section("enStratus", {"password": world.password}))


# --- templates of the definition -----------------------------------------------------------------------------


def rendered(world: World, template: str) -> str:
    known = world.facts()
    services = dict(known.definition.services)
    # Put in afterwards: most of what is refused here is refused when the definition is read, too.
    services[APP] = services[APP].model_copy(update={"custom": {"greeting": template}})
    changed = dataclasses.replace(
        known, definition=known.definition.model_copy(update={"services": services})
    )
    return lines(changed.service_file(APP, world.server("application-2")))["greeting"]


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ deployment.name }}/{{ tier.name }}/{{ service.id }}", "bookshop/application/a1002"),
        ("{{ server.slot * 2 + 1 }}", "5"),
        ("{{ dependencies.db.addresses | join(',') }}:{{ dependencies.db.port }}", "10.0.0.11:3306"),
        ("{{ peers | map(attribute='address') | join(' ') }}", "10.0.0.21 10.0.0.22"),
        ("{{ server.name | upper }}", "BOOKSHOP-APPLICATION-2"),
        ("{% if service.port is defined %}{{ service.port }}{% endif %}", "8000"),
    ],
)
def test_a_template_uses_facts_of_the_deployment(world: World, template: str, value: str) -> None:
    assert rendered(world, template) == value


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ server.__class__ }}",
        "{{ server['__class__'] }}",
        "{{ peers.append(1) }}",
        "{{ server.name.upper() }}",
        "{{ (server.name | attr('format')).__globals__ }}",
        "{{ self.__init__.__globals__ }}",
        "{{ password }}",
        "{{ accounts }}",
        "{{ server.nme }}",
        "{{ peers[7].address }}",
        "{{ 1 / 0 }}",
        "{{ [] | first | upper }}",
        "{% include '/etc/passwd' %}",
        "{{ server.name ",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    ],
)
def test_a_template_reaches_nothing_else(world: World, template: str) -> None:
    with pytest.raises(template_values.CustomFactError, match=r"services\.app\.custom\.greeting"):
        rendered(world, template)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 10000000000 }}",
        "{{ [0] * 10000000000 }}",
        "{{ 9 ** 9 ** 9 ** 9 }}",
        "{{ '%10000000000d' % 1 }}",
    ],
)
def test_a_template_that_would_never_end_or_fill_the_memory_is_refused_at_once(
    world: World, template: str
) -> None:
    begun = time.process_time()
    with pytest.raises(template_values.CustomFactError):
        rendered(world, template)
    assert time.process_time() - begun < 10


def test_a_template_cannot_differ_from_one_rendering_to_the_next(world: World) -> None:
    with pytest.raises(template_values.CustomFactError):
        rendered(world, "{{ peers | random }}")
