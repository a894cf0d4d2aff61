"""Servers that leave: nobody is told of them, balancers let go of them, databases close their doors to them."""

from __future__ import annotations

import dataclasses

import pytest

from gantry import inventory, names
from gantry.agent import server_facts
from gantry.reconcile import load_balancer_work, service_work

from .world import World

DB, APP = names.ServiceName("db"), names.ServiceName("app")
FRONT = names.BalancerName("front")
LEAVING = "10.0.0.22"


@pytest.fixture
def world() -> World:
    return World()


def leaving(world: World) -> server_facts.Facts:
    """The deployment when application-2 has been chosen."""
    known = world.facts()
    chosen = tuple(each for each in known.servers if each.private_address == LEAVING)
    staying = tuple(each for each in known.servers if each not in chosen)
    return dataclasses.replace(known, servers=inventory.Inventory(staying, chosen))


def test_nobody_is_told_of_them(world: World) -> None:
    known = leaving(world)
    for name, short in ((APP, "application-1"), (DB, "database-1")):
        assert LEAVING.encode() not in known.service_file(name, world.server(short))
    assert LEAVING.encode() not in known.grant_file(
        DB, names.DatasourceName("catalog"), world.server("database-1"), APP
    )


def test_a_balancer_lets_go_of_them_whatever_its_marks_say(world: World) -> None:
    found = load_balancer_work.release_nodes(leaving(world), FRONT)
    assert [job.call for job in found.jobs] == [f"stopProxy {LEAVING}", f"awaitDrained a1002 {LEAVING} 30"]
    assert found.jobs[0].unmark == (f"proxy/a1002/{LEAVING}",)
    assert load_balancer_work.release_nodes(world.facts(), FRONT).jobs == ()


def test_access_is_taken_back_from_exactly_them_after_the_others_grant(world: World) -> None:
    known, server = leaving(world), world.server("database-1")
    found = service_work.grant_access(known, DB, server, APP, {})
    assert [job.script for job in found.jobs] == ["grantDatabaseAccess", "revokeDatabaseAccess"]
    grant, revoke = (file.content.decode() for file in found.files)
    assert "addresses=10.0.0.21\n" in grant
    assert f"addresses={LEAVING}\n" in revoke
    assert found.jobs[1].remove == (found.files[1].path,)
    marks = dict(job.mark for job in found.jobs if job.mark)
    assert service_work.grant_access(known, DB, server, APP, marks).jobs == ()


def test_it_is_taken_back_again_where_the_address_was_granted_in_between(world: World) -> None:
    known, server = leaving(world), world.server("database-1")
    before = service_work.grant_access(known, DB, server, APP, {})
    marks = dict(job.mark for job in before.jobs if job.mark)
    again = service_work.grant_access(world.facts(), DB, server, APP, marks)
    assert [job.script for job in again.jobs] == ["grantDatabaseAccess"]
    marks |= dict(job.mark for job in again.jobs if job.mark)
    found = service_work.grant_access(known, DB, server, APP, marks)
    assert [job.script for job in found.jobs] == ["grantDatabaseAccess", "revokeDatabaseAccess"]


def test_an_address_that_a_server_which_stays_has_by_now_is_left_open(world: World) -> None:
    known = leaving(world)
    heir = dataclasses.replace(world.server("application-2"), instance_id="i-heir")
    servers = inventory.Inventory((*known.servers.servers, heir), known.servers.leaving)
    found = service_work.grant_access(
        dataclasses.replace(known, servers=servers), DB, world.server("database-1"), APP, {}
    )
    assert [job.script for job in found.jobs] == ["grantDatabaseAccess"]


def test_services_are_stopped_before_what_they_depend_on(world: World) -> None:
    text = world.text.replace("tier: database\n", "tier: application\n").replace("{min: 2, max: 6}", "1")
    known = world.but(text=text).facts().definition
    tier = names.TierName("application")
    installed = {"a1001/archive": "1", "a1002/archive": "1"}
    found = service_work.stop_services(known, tier, installed)
    assert [job.call for job in found.jobs] == ["stopService a1002", "stopService a1001"]
    assert [job.call for job in service_work.stop_services(known, tier, {"a1001/archive": "1"}).jobs] == [
        "stopService a1001"
    ]


def test_a_balancer_that_was_away_lets_go_when_the_others_join(world: World) -> None:
    found = load_balancer_work.start_proxy(leaving(world), FRONT, world.server("proxy-1"), {})
    assert [job.call.split()[0] for job in found.jobs] == ["stopProxy", "startProxy"]
    assert found.jobs[0].arguments == (LEAVING,)
