"""Forty servers arrive within the calls that EC2 allows an account, also while somebody else uses them up.

The product's own client, scaling and handshakes, over HTTP. Only what comes behind the host keys is left out: servers
that nobody can log in to need no boot.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

import pytest

from gantry import definition, local
from gantry.agent import bootstrap, job_runner, ssh
from gantry.cloud import clients, instance_start, pace, servers
from gantry.local.cloud import behavior
from gantry.operators import scale_up
from gantry.runtime import server_bootstrap
from tests import quiet as quiet_servers

from .conftest import DEFINITION, KEY, WEB, Shop

pytestmark = pytest.mark.docker

COUNT, FAN_OUT = 40, 8
BOOT = 15.0
"""Seconds until consoles show host keys: EC2's minute, for tests."""
CROWDED = 20.0
"""Seconds for which others in the account use up nineteen of twenty calls: they leave one console a second."""


def test_forty_servers_arrive_within_ec2s_own_limits(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AWS_SHOP", shop.cloud.aws_connection_json())
    monkeypatch.setattr(pace, "_paces", {})
    let_everybody_in(monkeypatch)
    text = DEFINITION.replace("max: 9", f"max: {COUNT}")
    known = definition.loads(
        text.format(
            deployment=shop.name, server_name=shop.server_name, region=shop.cloud.region, image=shop.image,
            more="", ssh_more="", size="t3.small",
        )
    )  # fmt: skip
    client = clients.ec2(known.cloud)
    calls: list[tuple[str, float]] = []

    def note(event_name: str, **_: Any) -> None:
        calls.append((event_name.rpartition(".")[2], time.monotonic()))

    client.meta.events.register("before-send.ec2", note)
    cloud = servers.Servers(client, known, logging.getLogger("gantry"))
    realistic = dataclasses.replace(behavior.REALISTIC, console_after=BOOT)
    with shop.cloud.behaving(realistic):
        begun = time.monotonic()
        started = cloud.scale_up(WEB, COUNT, KEY, "deploy", instance_start.StartOrder("run-1")).started
        assert len(started) == COUNT
        dealt = scale_up.deal([str(each.name) for each in started], FAN_OUT)
        parties = [server_bootstrap.everyone(each) for each in dealt]
        crowded = dataclasses.replace(realistic, allowance=0.05)
        asyncio.run(greet(cloud, parties, crowding(shop.cloud, crowded)))
        took = time.monotonic() - begun
    made = tuple(calls)
    guests = [guest for each in parties for guest in each]
    assert [(guest.answered, guest.error) for guest in guests] == [(True, None)] * COUNT
    assert {each.host_key for each in cloud.find().servers} == {quiet_servers.HOST_KEY}
    assert "throttled: GetConsoleOutput" in shop.cloud.log_file.read_text()
    assert len(made) <= 2 * took + 10
    consoles = [when for what, when in made if what == "GetConsoleOutput"]
    assert len(consoles) <= 2 * took + 1


async def greet(
    cloud: servers.Servers,
    parties: list[list[server_bootstrap.PendingServer]],
    meanwhile: Coroutine[None, None, None],
) -> None:
    """The handshakes of a tier, as its triggers do them in one triggerer."""
    limit = server_bootstrap.Limit.of(300, 0)
    greeters = [
        server_bootstrap.Bootstrapper(cloud, cast("ssh.Access", None), lambda *_: None) for _ in parties
    ]
    waiting = [one.greet(guests, limit) for one, guests in zip(greeters, parties, strict=True)]
    await asyncio.gather(meanwhile, *waiting)


async def crowding(cloud: local.EmbeddedCloud, crowded: behavior.Manners) -> None:
    """Others are at work in the account, for a while."""
    with cloud.behaving(crowded):
        await asyncio.sleep(CROWDED)


def let_everybody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.asynccontextmanager
    async def open_(_: job_runner.Agent, *_way: object) -> AsyncIterator[None]:
        yield None

    async def install(*_: object) -> list[str]:
        return []

    async def booted(*_: object) -> str:
        return ""

    monkeypatch.setattr(job_runner.Agent, "open", open_)
    monkeypatch.setattr(bootstrap, "install_agent", install)
    monkeypatch.setattr(bootstrap, "still_boots", booted)
