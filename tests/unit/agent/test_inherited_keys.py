"""Archives from before Gantry read `enstratus.cfg` with `grep KEY | cut -d= -f2`, and expect one line."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantry import names

from .test_server_facts import APP, CATALOG, DB
from .world import World

INHERITED = [
    re.compile(each)
    for each in (
        r"serverId|serviceId|customerId|name|runAsUser|userId|role|addresses|dependencies",
        r"port\.\d+\.(protocol|publicPort|privatePort|dnsNames)",
        r"dependency\.[^.]+\.(dependencyType|dependencyName|databaseType|readHosts|writeHosts|user|password)",
        r"protocol|publicPort|privatePort|proxyPort|primaryAddress|dataSources",
        r"dataSource\.[^.]+\.(read|write|serviceUser|servicePassword)",
        r"serviceKeys|serviceKey\.[^.]+\.(user|password)",
    )
]
SHARED = {"protocol", "publicPort", "privatePort"}
"""Inherited in two forms: once for the service, and once for each port. Old files had the one or the other."""

_words = st.text("bcghjkmqvxz", min_size=2, max_size=6)
"""Names that hold no inherited key themselves: what people call their things is theirs to choose."""


def is_inherited(key: str) -> bool:
    return any(each.fullmatch(key) for each in INHERITED)


def keys(content: bytes) -> list[str]:
    """The keys of the section that is not the definition's own."""
    ours = content.decode().partition("[custom]")[0]
    return [line.partition("=")[0] for line in ours.splitlines() if "=" in line]


def found(content: bytes, key: str) -> list[str]:
    """What an old script finds, by the very programs that it calls."""
    done = subprocess.run(
        ["sh", "-c", 'grep "$0" | cut -d= -f1', key], input=content, capture_output=True, check=False
    )
    return done.stdout.decode().splitlines()


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Deployments of many shapes: ports with names or without, replication, more dependencies."""
    word, other, third = draw(st.lists(_words, min_size=3, max_size=3, unique=True))
    world = World(password="pw", replication_password="copy")
    text = world.text.replace("catalog", "catalog" if draw(st.booleans()) else word)
    if draw(st.booleans()):
        text = text.replace(
            "    port: 3306\n", f"    ports: {{{word}: {{port: 3307}}, {other}: {{port: 3308}}}}\n"
        )
    if draw(st.booleans()):
        text = text.replace(
            "    port: 8000\n    protocol: http\n",
            f"    ports: {{{other}: {{port: 8000, protocol: http}}, {third}: {{port: 8001}}}}\n",
        )
    if draw(st.booleans()):
        text = text.replace(
            "  app:\n",
            "  more:\n    id: a1003\n    tier: database\n    archive: s3://bookshop/x.tar.gz\n  app:\n",
        )
        text = text.replace(", db]", ", db, more]")
    world = world.but(text=text)
    return world.replicated(replicants=draw(st.integers(1, 3))) if draw(st.booleans()) else world


def files(world: World) -> list[bytes]:
    known = world.facts()
    (datasource,) = known.definition.services[DB].datasources
    database = world.server("database-1")
    made = [known.service_file(APP, world.server(each)) for each in ("application-1", "application-2")]
    made += [
        known.service_file(DB, world.server(each)) for each in world.addresses if each.startswith("database")
    ]
    made += [
        known.datasource_file(DB, datasource, database),
        known.restore_file(DB, datasource, database),
        known.grant_file(DB, datasource, database, APP),
        known.balancer_file(names.BalancerName("front"), world.server("proxy-1")),
    ]
    if known.definition.services[DB].replication is not None:
        made.append(known.replication_file(DB, database))
    return made


@settings(max_examples=25, deadline=None)
@given(worlds())
def test_no_key_of_ours_contains_one_of_theirs(world: World) -> None:
    for content in files(world):
        theirs = [key for key in keys(content) if is_inherited(key)]
        ours = [key for key in keys(content) if not is_inherited(key)]
        assert "serviceId" in theirs
        # Also those that this file does not have: an old script that asks for them has to find nothing.
        for key in {*theirs, "serviceKeys", "primaryAddress", "proxyPort", "dependencies"}:
            assert [each for each in ours if re.search(key, each)] == [], key


def test_an_old_script_finds_one_line_for_each_inherited_key(world: World) -> None:
    several = world.but(text=world.text.replace("[db.catalog, db]", "[db.catalog, db, more]").replace(
        "  app:\n", "  more:\n    id: a1003\n    tier: database\n    archive: s3://bookshop/x.tar.gz\n  app:\n"
    ))  # fmt: skip
    for each in (world, several, world.replicated(replicants=2)):
        for content in files(each):
            for key in filter(is_inherited, keys(content)):
                lines = found(content, key)
                if key in SHARED:
                    assert set(map(is_inherited, lines)) == {True}, key
                else:
                    assert lines == [key]


@pytest.mark.parametrize(("key", "value"), [("serviceId", "a1002"), ("name", "app"), ("role", "master")])
def test_the_vhost_of_the_old_sample_gets_its_service(world: World, key: str, value: str) -> None:
    content = world.facts().service_file(APP, world.server("application-1"))
    done = subprocess.run(
        ["sh", "-c", 'grep "$0" | cut -d= -f2', key], input=content, capture_output=True, check=True
    )
    assert done.stdout.decode() == f"{value}\n"
    assert CATALOG in content.decode()
