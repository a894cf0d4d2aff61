"""A launch of many servers asks EC2 little, and what EC2 refuses costs it time and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from gantry import definition, inventory, names
from gantry.agent import bootstrap, job_runner, ssh
from gantry.cloud import errors, pace, servers, shared_lookups
from gantry.operators import scale_up
from gantry.runtime import server_bootstrap
from tests.unit.invariants.stage import Policy, Stage, Time

AWS = names.ConnectionId("aws_shop")
WEB = names.TierName("web")
KEY = "ssh-ed25519 AAAA"
HANDS = 8
"""Triggers of one tier, with the default `fan_out`."""


def refusal(code: str) -> errors.CloudError:
    return errors.CloudError("asking", code, "-", AWS)


class Account:
    """EC2, as far as those who wait for servers ask it. Its consoles are empty for the first minute.

    `refuses` says what it answers to the next call, if anything else than it should.
    """

    place = servers.ServerScope(AWS, "eu-central-1", names.DeploymentName("shop"))

    def __init__(self, stage: Stage, count: int) -> None:
        self.stage, self.begun = stage, stage.clock
        self.calls: list[tuple[str, float]] = []
        self.refuses: Callable[[str], str | None] = lambda _: None
        self.servers = {
            f"i-{slot}": inventory.Server(
                name=names.ServerName(f"shop-web-{slot}"),
                tier=WEB,
                slot=names.Slot(slot),
                instance_id=f"i-{slot}",
                state=inventory.InstanceState.PENDING,
                image="ami-1",
                launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
                private_address=f"10.0.0.{slot}",
            )
            for slot in range(1, count + 1)
        }

    @property
    def age(self) -> float:
        return self.stage.clock - self.begun

    def _called(self, operation: str) -> None:
        self.calls.append((operation, self.age))
        if code := self.refuses(operation):
            raise refusal(code)

    def find(self) -> inventory.Inventory:
        self._called("DescribeInstances")
        state = inventory.InstanceState.RUNNING if self.age > 15 else inventory.InstanceState.PENDING
        return inventory.Inventory(
            tuple(dataclasses.replace(each, state=state) for each in self.servers.values())
        )

    def console_host_key(self, _: inventory.Server) -> str | None:
        self._called("GetConsoleOutput")
        return KEY if self.age > 60 else None

    def pin_host_key(self, server: inventory.Server, host_key: str) -> None:
        self._called("CreateTags")
        self.servers[server.instance_id] = dataclasses.replace(server, host_key=host_key)

    def made(self, operation: str) -> list[float]:
        return [when for what, when in self.calls if what == operation]


def most_in_a_second(moments: list[float]) -> int:
    return max(sum(begin <= other < begin + 0.999 for other in moments) for begin in moments)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A clock that nobody waits for, and servers that let everybody in as soon as their host keys are known."""
    found = Stage()
    for module in (shared_lookups, server_bootstrap, pace):
        monkeypatch.setattr(module, "time", Time(lambda: found))
    monkeypatch.setattr(pace, "_paces", {})

    @contextlib.asynccontextmanager
    async def open_(_: job_runner.Agent, *_way: object) -> AsyncIterator[None]:
        yield None

    async def install(*_: object) -> list[str]:
        return []

    async def booted(*_: object) -> str:
        return ""

    monkeypatch.setattr(job_runner.Agent, "open", open_)
    monkeypatch.setattr(bootstrap, "still_boots", booted)
    monkeypatch.setattr(bootstrap, "install_agent", install)
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy(lambda: found))
    yield found
    asyncio.set_event_loop_policy(before)


def launch(account: Account) -> list[server_bootstrap.PendingServer]:
    """The handshakes of a launch in one triggerer, to their end."""
    wanted = [str(each.name) for each in account.servers.values()]
    said: list[str] = []

    def greeter() -> server_bootstrap.Bootstrapper:
        return server_bootstrap.Bootstrapper(
            cast("servers.Servers", account), cast("ssh.Access", None), lambda _, line: said.append(line)
        )

    async def everybody() -> list[server_bootstrap.PendingServer]:
        parties = [server_bootstrap.everyone(each) for each in scale_up.deal(wanted, HANDS)]
        now = account.stage.clock
        limit = server_bootstrap.Limit(now, now + 600)
        await asyncio.gather(*(greeter().greet(each, limit) for each in parties))
        return [guest for each in parties for guest in each]

    return asyncio.run(everybody())


def test_a_launch_of_a_hundred_servers_makes_two_calls_a_second(stage: Stage) -> None:
    account = Account(stage, 100)
    assert all(guest.answered for guest in launch(account))
    assert {each.host_key for each in account.servers.values()} == {KEY}
    assert most_in_a_second(account.made("GetConsoleOutput")) <= 2
    assert len(account.calls) <= 2 * account.age + 10
    # All triggers share one look.
    assert len(account.made("DescribeInstances")) < account.age / 3
    # The minute that nobody can shorten, and two calls for each server.
    assert account.age < 60 + 2 * 100 / 2 + 60


def test_few_servers_are_not_kept_waiting(stage: Stage) -> None:
    account = Account(stage, 4)
    assert all(guest.answered for guest in launch(account))
    # A console is read again after 20 s at most.
    assert account.age < 60 + 30


@pytest.mark.parametrize("operation", ["DescribeInstances", "GetConsoleOutput", "CreateTags"])
@pytest.mark.parametrize("code", ["RequestLimitExceeded", "InvalidInstanceID.NotFound", "Unavailable"])
def test_an_answer_that_passes_by_itself_costs_time_and_no_server(
    stage: Stage, operation: str, code: str
) -> None:
    account = Account(stage, 10)
    # Somebody else in the account uses up its calls.
    account.refuses = lambda called: code if called == operation and account.age < 150 else None
    assert all(guest.answered for guest in launch(account))
    assert 150 < account.age < 250
    assert most_in_a_second(account.made("GetConsoleOutput")) <= 2


@pytest.mark.parametrize("transient", [True, False], ids=["silent", "no credentials"])
def test_a_cloud_that_is_silent_for_a_while_is_asked_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, *, transient: bool
) -> None:
    account, find = Account(stage, 3), Account.find

    def silent(asked: Account) -> inventory.Inventory:
        if asked.age < 100:
            raise errors.CloudUnreachableError("asking", "connect timeout", AWS, transient=transient)
        return find(asked)

    monkeypatch.setattr(Account, "find", silent)
    guests = launch(account)
    assert [guest.answered for guest in guests] == [transient] * 3
    assert (account.age > 100) is transient


def test_what_does_not_pass_is_told_at_once(stage: Stage) -> None:
    account = Account(stage, 10)
    account.refuses = lambda called: "UnauthorizedOperation" if called == "GetConsoleOutput" else None
    guests = launch(account)
    assert all("UnauthorizedOperation" in str(guest.error) for guest in guests)
    assert account.age < 60


def test_a_cloud_that_refuses_for_ever_is_named_in_the_end(stage: Stage) -> None:
    account = Account(stage, 2)
    account.refuses = lambda called: "RequestLimitExceeded" if called == "GetConsoleOutput" else None
    guests = launch(account)
    said = "Last seen: the cloud answered RequestLimitExceeded; the request is repeated"
    assert all(said in str(guest.error) for guest in guests)
    # Each console is asked for less and less often.
    assert len(account.made("GetConsoleOutput")) < 2 * 600 / 15


def test_as_many_processes_wait_as_there_are_hands() -> None:
    known = definition.loads(
        "deployment: shop\ncloud: {region: eu-central-1}\nfan_out: 3\n"
        "launch_configurations: {debian: {image: ami-1, ssh: {connection: c}}}\n"
        "tiers: {web: {launch_configuration: debian, servers: {min: 1, max: 9}}, "
        "db: {launch_configuration: debian, servers: 1}}\n"
    )
    run: Any = types.SimpleNamespace(definition=known, wanted={"web": 9, "db": 1})
    assert scale_up.hands(run) == 4
