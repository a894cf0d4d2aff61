"""Several ports, users of their own, masters and replicants: what a definition may say more of a service."""

from __future__ import annotations

import pytest

from gantry import names
from gantry.agent import server_facts

from .test_server_facts import APP, DB, GOLDEN, lines, rendered
from .world import World

FRONT, BACK = names.BalancerName("front"), names.BalancerName("back")
APP_PORT = "    port: 8000\n    protocol: http\n"
PORTS = "    ports: {web: {port: 8000, protocol: http}, admin: {port: 8001}}\n"


def with_ports(world: World) -> World:
    text = world.text.replace(APP_PORT, PORTS)
    return world.but(
        text=f"{text}  back: {{tier: proxy, service: app, service_port: admin, port: 81, name: admin.example.com}}\n"
    )


def files(world: World) -> dict[str, bytes]:
    known = world.facts()
    return {
        "ports": known.service_file(APP, world.server("application-1")),
        "ports-balancer": known.balancer_file(BACK, world.server("proxy-1")),
    }


def replicated_files(world: World) -> dict[str, bytes]:
    known = world.facts()
    return {
        "master": known.service_file(DB, world.server("database-1")),
        "replicant": known.service_file(DB, world.server("database-2")),
        "replication": known.replication_file(DB, world.server("database-1")),
        "app-of-a-replicated": known.service_file(APP, world.server("application-1")),
    }


@pytest.mark.parametrize("name", ["ports", "ports-balancer"])
def test_several_ports_are_told_by_number_and_name(world: World, name: str) -> None:
    assert files(with_ports(world))[name].decode() == (GOLDEN / f"{name}.cfg").read_text()


def test_dependents_learn_the_main_port_and_every_port_by_its_name(world: World) -> None:
    text = world.text.replace("    port: 3306\n", "    ports: {sql: {port: 3307}, admin: {port: 3308}}\n")
    file = lines(files(with_ports(world.but(text=text)))["ports"])
    assert file["dependency.SERVICE-2.port"] == "3307"
    assert file["dependency.SERVICE-2.port.admin"] == "3308"


def test_templates_know_the_main_port_and_every_port_by_its_name(world: World) -> None:
    assert rendered(with_ports(world), "{{ service.port }} {{ service.ports.admin }}") == "8000 8001"


def test_a_service_has_a_customer_and_users_of_its_own(world: World) -> None:
    text = world.text.replace(
        "    id: a1002\n",
        "    id: a1002\n    customer_id: c200\n    user_id: alice\n    run_as_user: www-data\n",
    )
    world = world.but(text=text)
    file = lines(world.facts().service_file(APP, world.server("application-1")))
    assert (file["customerId"], file["userId"], file["runAsUser"]) == ("c200", "alice", "www-data")
    database = lines(world.facts().service_file(DB, world.server("database-1")))
    assert (database["customerId"], database["userId"], database["runAsUser"]) == ("c100", "gantry", "c100")
    text = text.replace("    run_as_user: www-data\n", "")
    assert (
        lines(world.but(text=text).facts().service_file(APP, world.server("application-1")))["runAsUser"]
        == "c200"
    )


# --- replication ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["master", "replicant", "replication", "app-of-a-replicated"])
def test_master_replicant_and_dependent_are_told_their_parts(world: World, name: str) -> None:
    assert replicated_files(world.replicated())[name].decode() == (GOLDEN / f"{name}.cfg").read_text()


def test_one_more_replicant_changes_no_file_that_would_restart_the_master(world: World) -> None:
    one, two = world.replicated(), world.replicated(replicants=2)
    assert replicated_files(one)["master"] == replicated_files(two)["master"]
    assert replicated_files(one)["replicant"] == replicated_files(two)["replicant"]
    assert lines(replicated_files(two)["replication"])["replication.replicants"] == "10.0.0.12,10.0.0.13"
    assert lines(replicated_files(two)["app-of-a-replicated"])["dataSource.catalog.read"] == (
        "10.0.0.11,10.0.0.12,10.0.0.13"
    )


def test_the_master_does_not_get_the_replicants_password_in_the_file_that_lies_there_for_good(
    world: World,
) -> None:
    found = replicated_files(world.replicated())
    assert world.replication_password not in found["master"].decode()
    assert world.replication_password in found["replicant"].decode()
    assert world.replication_password in found["replication"].decode()
    assert world.replication_password not in repr(world.replicated().facts())


def test_a_replicated_service_without_its_master_is_not_told_of_another_one(world: World) -> None:
    found = world.replicated(replicants=2)
    left = found.but(
        addresses={name: address for name, address in found.addresses.items() if name != "database-1"}
    )
    with pytest.raises(server_facts.MissingMasterError, match="slot 1 of tier database"):
        left.facts().service_file(APP, left.server("application-1"))


def test_one_account_cannot_be_for_replication_and_for_dependents(world: World) -> None:
    found = world.replicated()
    known = found.facts()
    account = server_facts.ReplicationAccount("shopper", "x")
    clash = server_facts.Facts(known.definition, known.servers, known.accounts, {DB: account})
    with pytest.raises(server_facts.ReplicationAccountError, match="'shopper'"):
        clash.service_file(DB, found.server("database-1"))
