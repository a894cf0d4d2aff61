"""A server that will never answer is not waited for: its instance's state reason says why, at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import cast

import pytest

from gantry import inventory, names
from gantry.agent import errors as agent_errors
from gantry.agent import ssh
from gantry.cloud import end_reasons, pace, servers, shared_lookups
from gantry.runtime import server_bootstrap

State = inventory.InstanceState
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
PENDING = inventory.Server(
    name=names.ServerName("shop-web-1"),
    tier=names.TierName("web"),
    slot=names.Slot(1),
    instance_id="i-new",
    state=State.PENDING,
    image="ami-1",
    launched_at=NOON,
)
YESTERDAYS = dataclasses.replace(
    PENDING,
    instance_id="i-old",
    state=State.TERMINATED,
    launched_at=NOON - datetime.timedelta(days=1),
    reason=inventory.StateReason("Client.InternalError", "Client.InternalError: Client error on launch"),
)


def ended(code: str, message: str = "Words of EC2's") -> inventory.Server:
    reason = inventory.StateReason(code, f"{code}: {message}")
    return dataclasses.replace(PENDING, state=State.TERMINATED, reason=reason)


class Cloud:
    """Lists a server in one state after the other, and then in the last one for good; None: it does not list it."""

    place = servers.ServerScope(names.ConnectionId("aws_shop"), "eu-central-1", names.DeploymentName("shop"))

    def __init__(self, *states: inventory.Server | None, gone: tuple[inventory.Server, ...] = ()) -> None:
        self._states = iter(states)
        self._now: inventory.Server | None = None
        self._gone = gone

    def find(self) -> inventory.Inventory:
        self._now = next(self._states, self._now)
        return inventory.Inventory((self._now,) if self._now else ())

    def ended(self) -> tuple[inventory.Server, ...]:
        return self._gone


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_bootstrap, "_PAUSE", 0)
    for age in ("_YOUNGEST", "_OLDEST"):
        monkeypatch.setattr(shared_lookups, age, -1)
    monkeypatch.setattr(pace.Pace, "reserve", lambda *_: 0)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let a minute pass between two looks."""
    clock: Iterator[int] = iter(range(0, 10**9, 60))

    def begin() -> None:
        monkeypatch.setattr(server_bootstrap, "time", _Clock(clock))

    return begin


class _Clock:
    def __init__(self, ticks: Iterator[int]) -> None:
        self._ticks = ticks
        self.time = time.time

    def monotonic(self) -> float:
        return 1.0 + next(self._ticks)


def greet(
    cloud: Cloud,
    seconds: float = 0.3,
    started: frozenset[str] = frozenset(),
    limit: server_bootstrap.Limit | None = None,
) -> server_bootstrap.PendingServer:
    greeter = server_bootstrap.Bootstrapper(
        cast("servers.Servers", cloud), cast("ssh.Access", None), lambda _name, _line: None, started
    )
    (guest,) = guests = server_bootstrap.everyone([PENDING.name])
    asyncio.run(greeter.greet(guests, limit or server_bootstrap.Limit.of(seconds, 0)))
    return guest


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("Client.InternalError", "KMS key"),
        ("Client.VolumeLimitExceeded", "quota of EBS storage"),
        ("Client.InvalidSnapshot.NotFound", "from a snapshot that was deleted"),
        ("Server.InsufficientInstanceCapacity", "name subnets in several zones"),
        ("Client.UserInitiatedShutdown", "CloudTrail"),
        ("Server.NobodyKnows", "Fix the cause"),
    ],
)
def test_an_instance_that_ends_is_told_of_at_once_with_its_reason_and_advice(code: str, advice: str) -> None:
    guest = greet(Cloud(PENDING, None, gone=(ended(code), YESTERDAYS)), seconds=20)
    assert isinstance(guest.error, end_reasons.EndedServerError)
    assert (guest.error.code, guest.error.instance_id, guest.error.transient) == (code, "i-new", False)
    first, _, rest = str(guest.error).partition("\n")
    assert first == (
        f"shop-web-1: instance i-new is terminated before it has answered: {code}: Words of EC2's"
    )
    assert advice in rest
    assert "scale_up" in rest


def test_one_that_has_ended_before_anybody_looked_is_told_of_when_it_cannot_be_a_late_list_any_more(
    later: Callable[[], None],
) -> None:
    later()
    guest = greet(Cloud(gone=(YESTERDAYS, ended("Client.VolumeLimitExceeded"))), seconds=20)
    assert isinstance(guest.error, end_reasons.EndedServerError)
    assert guest.error.code == "Client.VolumeLimitExceeded"


def test_one_that_has_ended_before_anybody_looked_is_told_of_at_once_if_nothing_else_can_be_late() -> None:
    gone = (YESTERDAYS, ended("Client.VolumeLimitExceeded"))
    guest = greet(Cloud(gone=gone), seconds=20, started=frozenset({"i-new"}))
    assert isinstance(guest.error, end_reasons.EndedServerError)
    assert guest.error.instance_id == "i-new"
    # One more that was started may be its successor.
    guest = greet(Cloud(gone=gone), started=frozenset({"i-new", "i-newer"}))
    assert isinstance(guest.error, server_bootstrap.NoAnswerError)


def test_a_server_of_yesterday_is_not_taken_for_one_that_is_not_listed_yet() -> None:
    guest = greet(Cloud(None, gone=(YESTERDAYS,)))
    assert isinstance(guest.error, server_bootstrap.NoAnswerError)
    assert guest.error.seen == "the cloud does not list it"


def test_one_that_flickers_in_the_list_is_waited_for() -> None:
    guest = greet(Cloud(PENDING, None, PENDING, None, gone=(YESTERDAYS,)))
    assert isinstance(guest.error, server_bootstrap.NoAnswerError)


def test_a_stopped_server_that_ec2_cannot_start_again_is_told_of_and_one_that_somebody_stopped_is_waited_for(
    later: Callable[[], None],
) -> None:
    stopped = dataclasses.replace(
        PENDING, state=State.STOPPED, reason=inventory.StateReason("Client.InternalError", "on launch")
    )
    # What it was stopped for yesterday may still be shown for a moment.
    assert isinstance(greet(Cloud(stopped)).error, server_bootstrap.NoAnswerError)
    later()
    guest = greet(Cloud(stopped), seconds=20)
    assert isinstance(guest.error, end_reasons.EndedServerError)
    assert "is stopped before it has answered: Client.InternalError: on launch" in str(guest.error)
    by_hand = dataclasses.replace(
        stopped, reason=inventory.StateReason("Client.UserInitiatedShutdown", "User initiated (NOW)")
    )
    assert isinstance(greet(Cloud(by_hand)).error, server_bootstrap.NoAnswerError)


def test_an_instance_without_a_reason_is_said_to_have_none() -> None:
    gone = dataclasses.replace(PENDING, state=State.SHUTTING_DOWN)
    guest = greet(Cloud(PENDING, None, gone=(gone,)), seconds=20)
    assert "is shutting-down before it has answered: the cloud reports no reason\nFix" in str(guest.error)


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have a login break off after others had the turn for half a minute, and the one after that be the last."""
    tries: list[str] = []

    def attempt(target: ssh.Target, progress: ssh.LoginProgress) -> None:
        tries.append(target.address)
        if len(tries) == 1:
            progress.waited = 30
            raise agent_errors.ConnectionLostError(target.name, target.address, "it broke off")
        raise ssh.UnusableKeyError("shop_ssh", "that is enough")

    @contextlib.asynccontextmanager
    async def connect(target: ssh.Target, _: ssh.Access, progress: ssh.LoginProgress) -> AsyncIterator[None]:
        attempt(target, progress)
        yield

    monkeypatch.setattr(ssh, "connect", connect)
    return tries


RUNNING = dataclasses.replace(
    PENDING, state=State.RUNNING, private_address="10.0.0.9", host_key="ssh-ed25519 AAAA"
)


def test_time_in_which_others_log_in_does_not_count_towards_the_handshake(held_up: list[str]) -> None:
    assert isinstance(greet(Cloud(RUNNING), seconds=0).error, ssh.UnusableKeyError)
    assert len(held_up) == 2


def test_the_time_of_the_run_is_up_whoever_was_waited_for(held_up: list[str]) -> None:
    limit = server_bootstrap.Limit.of(600, time.time())
    assert limit.key == "dagrun_timeout"
    assert isinstance(greet(Cloud(RUNNING), limit=limit).error, server_bootstrap.NoAnswerError)
    assert len(held_up) == 1


def test_the_limit_that_is_handed_over_is_as_long_as_before() -> None:
    limit = server_bootstrap.Limit(1000, 1600)
    assert limit.later(30) == server_bootstrap.Limit(1030, 1630)
