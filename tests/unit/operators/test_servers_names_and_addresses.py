"""Steps know servers by the definition's names, and reach them by the address that it says."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import time
from typing import cast

import pytest

from gantry import definition, inventory, names
from gantry.agent import ssh
from gantry.cloud import servers
from gantry.operators import configuration_management, greeting, run

WEB = names.TierName("web")
RUNNING = inventory.Server(
    name=names.ServerName("shop-web-1"),
    tier=WEB,
    slot=names.Slot(1),
    instance_id="i-1",
    state=inventory.InstanceState.RUNNING,
    image="ami-1",
    launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    private_address="10.0.0.11",
    host_key="ssh-ed25519 AAAA",
)
IN_PUBLIC = dataclasses.replace(RUNNING, reached_in_public=True)


def test_a_server_is_reached_by_its_private_address_unless_the_definition_says_otherwise() -> None:
    with_both = dataclasses.replace(RUNNING, public_address="203.0.113.7")
    assert run.target(with_both, with_both.name).address == "10.0.0.11"
    in_public = dataclasses.replace(with_both, reached_in_public=True)
    assert run.target(in_public, in_public.name).address == "203.0.113.7"


def test_a_server_without_the_address_that_it_is_reached_by_says_what_to_correct() -> None:
    with pytest.raises(
        servers.NoAddressError, match="shop-web-1: instance i-1 has no public address"
    ) as error:
        run.target(IN_PUBLIC, IN_PUBLIC.name)
    assert "network.public_address" in str(error.value)


def test_the_handshake_says_that_it_waits_for_an_address() -> None:
    class Cloud:
        def find(self) -> inventory.Inventory:
            return inventory.Inventory((IN_PUBLIC,))

    said: list[str] = []
    greeter = greeting.Greeter(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda _, line: said.append(line)
    )
    (guest,) = guests = greeting.everyone([IN_PUBLIC.name])
    asyncio.run(greeter.greet(guests, time.time() - 1))
    assert said == ["waiting: instance i-1 runs; the cloud has given it no public address"]
    assert isinstance(guest.error, greeting.NoAnswerError)


SHOP = """\
deployment: shop
server_name: '{template}'
cloud: {{region: eu-central-1}}
launch_configurations:
  debian: {{image: ami-1, ssh: {{connection: c}}, chef: {{connection: chef}}}}
tiers:
  web: {{launch_configuration: debian, servers: {{min: 1, max: 3}}}}
"""


def possible(template: str) -> tuple[str, ...]:
    found = definition.loads(SHOP.format(template=template))
    return configuration_management.possible_names(found, WEB)


def test_nodes_of_an_earlier_larger_tier_are_cleaned_up_too() -> None:
    found = possible("{{ tier.name }}{{ server.slot }}-{{ deployment.name }}")
    assert (found[0], found[-1], len(found)) == ("web1-shop", "web1000-shop", 1000)


def test_names_that_do_not_tell_the_deployment_are_cleaned_up_within_its_limits_only() -> None:
    assert possible("{{ tier.name }}-{{ server.slot }}") == ("web-1", "web-2", "web-3")
