"""Steps know servers by the definition's names, and reach them by the address that it says."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from gantry import definition, inventory, names
from gantry.agent import bootstrap, errors, job_runner, ssh
from gantry.cloud import servers
from gantry.operators import configuration_management
from gantry.reconcile import step_run
from gantry.runtime import server_bootstrap
from gantry.triggers import server_work

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
PLACE = servers.ServerScope(names.ConnectionId("aws_shop"), "eu-central-1", names.DeploymentName("shop"))
IN_PUBLIC = dataclasses.replace(RUNNING, reached_in_public=True)


def test_a_server_is_reached_by_its_private_address_unless_the_definition_says_otherwise() -> None:
    with_both = dataclasses.replace(RUNNING, public_address="203.0.113.7")
    assert step_run.target(with_both, with_both.name).address == "10.0.0.11"
    in_public = dataclasses.replace(with_both, reached_in_public=True)
    assert step_run.target(in_public, in_public.name).address == "203.0.113.7"


def test_a_server_without_the_address_that_it_is_reached_by_says_what_to_correct() -> None:
    with pytest.raises(
        servers.NoAddressError, match="shop-web-1: instance i-1 has no public address"
    ) as error:
        step_run.target(IN_PUBLIC, IN_PUBLIC.name)
    assert "network.public_address" in str(error.value)


def test_a_host_key_that_the_cloud_does_not_show_yet_is_asked_for_again() -> None:
    with pytest.raises(servers.KeyNotShownError, match="does not show its host key") as error:
        step_run.target(dataclasses.replace(RUNNING, host_key=None), RUNNING.name)
    assert error.value.transient
    # It was never lost for that.
    with pytest.raises(servers.LostServerError, match="the cloud has no such server") as lost:
        step_run.target(None, RUNNING.name)
    assert not lost.value.transient


def test_the_handshake_says_that_it_waits_for_an_address() -> None:
    class Cloud:
        place = PLACE

        def find(self) -> inventory.Inventory:
            return inventory.Inventory((IN_PUBLIC,))

    said: list[str] = []
    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda _, line: said.append(line)
    )
    (guest,) = guests = server_bootstrap.everyone([IN_PUBLIC.name])
    asyncio.run(greeter.greet(guests, server_bootstrap.Limit(time.time() - 61, time.time() - 1)))
    assert said == ["waiting: instance i-1 runs; the cloud has given it no public address"]
    assert isinstance(guest.error, server_bootstrap.NoAnswerError)


def told_after(limit: server_bootstrap.Limit) -> str:
    """What is said when a server has not answered within a limit that is over."""

    class Cloud:
        place = PLACE

        def find(self) -> inventory.Inventory:
            return inventory.Inventory((IN_PUBLIC,))

    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda *_: None
    )
    (guest,) = guests = server_bootstrap.everyone([RUNNING.name])
    asyncio.run(greeter.greet(guests, limit))
    return str(guest.error)


def test_the_limit_of_the_handshake_is_told_and_not_what_was_left_of_it() -> None:
    """The worker has waited for 34 seconds before the triggerer took over."""
    now = time.time()
    told = told_after(server_bootstrap.Limit(asked=now - 60, deadline=now - 0.1))
    assert "no handshake within 60 s (timeouts.handshake). Last seen: instance i-1 runs; the cloud" in told
    assert "or raise timeouts.handshake" in told


def test_where_the_run_leaves_less_its_key_is_told() -> None:
    limit = server_bootstrap.Limit.of(600, time.time() - 1)
    told = told_after(dataclasses.replace(limit, asked=limit.deadline - 26))
    assert "no handshake within 26 s (dagrun_timeout, which leaves no more)" in told
    assert "or raise dagrun_timeout" in told
    assert server_bootstrap.Limit.of(600, time.time() + 3600).key == "timeouts.handshake"


def test_the_triggerer_is_told_since_when_servers_were_waited_for() -> None:
    given: dict[str, Any] = {"definition": {}, "login": {}, "wanted": [], "report": {}, "deadline": 160.0}
    trigger = server_work.HandshakeTrigger(**given, asked=100.0, limit="dagrun_timeout")
    _, kept = trigger.serialize()
    assert (kept["asked"], kept["deadline"], kept["limit"]) == (100.0, 160.0, "dagrun_timeout")
    assert server_work.HandshakeTrigger(**kept).serialize()[1] == kept


@pytest.mark.parametrize(
    "kind", [errors.HostKeyKindError, errors.ServerBusyError], ids=lambda each: each.__name__
)
def test_a_new_server_is_waited_for_while_its_ssh_server_is_not_what_it_will_be(
    monkeypatch: pytest.MonkeyPatch, kind: type[errors.ServerError]
) -> None:
    """And once it answers, no look before counts any more."""
    noted: list[str] = []
    tries = iter((False, True))
    looks = inventory.Ailing(RUNNING.launched_at, RUNNING.launched_at)
    new = dataclasses.replace(RUNNING, host_key=None, ailing=looks)

    class Cloud:
        place = PLACE

        def find(self) -> inventory.Inventory:
            return inventory.Inventory((new,))

        def console_host_key(self, _: inventory.Server) -> str:
            return "ssh-ed25519 AAAA"

        def pin_host_key(self, server: inventory.Server, key: str) -> None:
            noted.append(f"pinned {server.instance_id} {key}")

        def note_well(self, server: inventory.Server) -> None:
            assert server.ailing == looks
            noted.append(f"well {server.instance_id}")

    @contextlib.asynccontextmanager
    async def open_(self: job_runner.Agent, *_way: object) -> AsyncIterator[None]:
        if not next(tries):
            name, address = self.target.name, self.target.address
            if kind is errors.ServerBusyError:
                raise errors.ServerBusyError(name, address, "Connection lost")
            raise errors.HostKeyKindError(name, address, "ssh-ed25519 AAAA", "the tag", ["ssh-rsa"])
        yield None

    async def install(*_: object) -> list[str]:
        return []

    monkeypatch.setattr(job_runner.Agent, "open", open_)

    async def boots(_: object) -> str:
        return ""

    monkeypatch.setattr(bootstrap, "install_agent", install)
    monkeypatch.setattr(bootstrap, "still_boots", boots)
    monkeypatch.setattr(server_bootstrap, "_PAUSE", 0)
    said: list[str] = []
    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda _, line: said.append(line)
    )
    (guest,) = guests = server_bootstrap.everyone([new.name])
    assert asyncio.run(greeter.greet(guests, server_bootstrap.Limit.of(30, 0)))
    assert (guest.answered, guest.error) == (True, None)
    assert noted == ["pinned i-1 ssh-ed25519 AAAA", "well i-1"]
    assert said[0].startswith("waiting: ")


@pytest.mark.parametrize(
    ("error", "greeted", "waits"),
    [
        (errors.LoginShellError(RUNNING.name, "deploy", "c", 1, "System is booting up."), False, True),
        (errors.LoginShellError(RUNNING.name, "deploy", "c", 1, "no"), True, False),
        (errors.HostKeyKindError(RUNNING.name, "a", "ssh-ed25519 A", "the tag", ["ssh-rsa"]), False, True),
    ],
    ids=["a new one", "one that was greeted", "host keys to come"],
)
@pytest.mark.parametrize("on_the_way", [True, False], ids=["of the jump host", "of the server"])
def test_what_a_new_server_may_still_become_is_waited_for_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
    error: errors.ServerError,
    *,
    greeted: bool,
    waits: bool,
    on_the_way: bool,
) -> None:
    monkeypatch.setattr(error, "on_the_way", on_the_way, raising=False)
    server = RUNNING if greeted else dataclasses.replace(RUNNING, host_key=None)

    class Cloud:
        place = PLACE

        def find(self) -> inventory.Inventory:
            return inventory.Inventory((server,))

        def console_host_key(self, _: inventory.Server) -> str:
            return "ssh-ed25519 AAAA"

    def open_(_: job_runner.Agent, *_way: object) -> AsyncIterator[None]:
        raise error

    monkeypatch.setattr(job_runner.Agent, "open", open_)
    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda *_: None
    )
    (guest,) = guests = server_bootstrap.everyone([RUNNING.name])
    asyncio.run(greeter.greet(guests, server_bootstrap.Limit(time.time() - 9, time.time() - 1)))
    assert isinstance(guest.error, server_bootstrap.NoAnswerError) is (waits and not on_the_way)


def test_a_server_that_may_restart_is_no_server_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = iter(
        ["cloud-init is still at work", "cloud-init is still at work", "it is about to be restarted", ""]
    )

    class Cloud:
        place = PLACE

        def find(self) -> inventory.Inventory:
            return inventory.Inventory((RUNNING,))

    @contextlib.asynccontextmanager
    async def open_(_: job_runner.Agent, *_way: object) -> AsyncIterator[None]:
        yield None

    async def install(*_: object) -> list[str]:
        return []

    async def state(_: object) -> str:
        return next(boot)

    monkeypatch.setattr(job_runner.Agent, "open", open_)
    monkeypatch.setattr(bootstrap, "install_agent", install)
    monkeypatch.setattr(bootstrap, "still_boots", state)
    monkeypatch.setattr(server_bootstrap, "_BOOT_PAUSE", 0)
    said: list[str] = []
    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", Cloud()), cast("ssh.Access", None), lambda _, line: said.append(line)
    )
    assert asyncio.run(
        greeter.greet(server_bootstrap.everyone([RUNNING.name]), server_bootstrap.Limit.of(30, 0))
    )
    assert said[:2] == ["waiting: cloud-init is still at work", "waiting: it is about to be restarted"]
    assert list(boot) == []


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
