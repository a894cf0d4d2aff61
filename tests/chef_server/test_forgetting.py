"""Two Airflows in one organization: each removes its own nodes, and never the other's."""

from __future__ import annotations

import pytest

from gantry import names
from gantry.configuration_management import chef, chef_server

from .conftest import Goiardi

MARKS = {"ours": {"gantry": {"origin": "east"}}, "theirs": {"gantry": {"origin": "west"}}, "nobodys": {}}


@pytest.fixture
def server(chef: Goiardi) -> chef_server.ChefServer:
    """A Chef server with a node of each, and a client that never became a node."""
    found = chef.server()
    for name, normal in MARKS.items():
        found.post("/nodes", {"name": f"shop-{name}", "normal": normal, "chef_environment": "_default"})
    for name in (*MARKS, "alone"):
        found.post("/clients", {"name": f"shop-{name}"})
    return found


def forgotten(goiardi: Goiardi, origin: str | None) -> chef.Forgotten:
    credentials = chef.Credentials(
        names.ConnectionId("c"),
        goiardi.found.url,
        certificate=goiardi.found.certificate,
        admin=goiardi.actor(),
        origin=origin,
    )
    return chef.forget(credentials, [f"shop-{name}" for name in (*MARKS, "alone", "never-was")])


@pytest.mark.parametrize(
    ("origin", "ours"), [("east", "shop-ours"), ("west", "shop-theirs"), (None, "shop-nobodys")]
)
def test_only_what_carries_the_mark_is_removed(
    chef: Goiardi, server: chef_server.ChefServer, origin: str | None, ours: str
) -> None:
    others = sorted({f"shop-{name}" for name in MARKS} - {ours})
    done = forgotten(chef, origin)
    assert done.removed == (f"node {ours}", *(f"client {name}" for name in sorted(("shop-alone", ours))))
    assert done.others == tuple(others)
    assert set(others) <= server.nodes()
    assert set(others) <= server.clients()
    for name in others:
        server.delete_node(name)
        server.delete_client(name)
