"""Waiting for servers: from "the cloud was asked" to "the agent answers". Same code in worker and triggerer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

from gantry import errors, inventory, names
from gantry.agent import drive, handshake, jobs, ssh
from gantry.agent import errors as agent_errors
from gantry.cloud import servers

_PAUSE = 0.5
_INVENTORY_AGE = 1.0
"""Seconds. Many servers wait side by side; the cloud is asked once for all of them."""


class NoAnswerError(errors.GantryError):
    """A server that did not answer in time."""

    def __init__(self, name: names.ServerName, seconds: float, seen: str) -> None:
        self.name = name
        self.seconds = seconds
        self.seen = seen
        super().__init__(
            f"{name}: no handshake within {seconds:.0f} s. Last seen: {seen}\n"
            f"Look at the instance's console output and network (security group, subnet, route), then clear "
            f"this task; or raise timeouts.handshake. One that stays like that is replaced by the next launch after "
            f"its tier's recovery_delay."
        )


@dataclasses.dataclass
class Guest:
    """One awaited server: what was last seen of it, and how it ended."""

    name: names.ServerName
    seen: str = "nothing yet"
    answered: bool = False
    error: errors.GantryError | None = None

    @property
    def done(self) -> bool:
        """Whether waiting is over."""
        return self.answered or self.error is not None


def everyone(wanted: Sequence[str]) -> list[Guest]:
    """Guests to wait for."""
    return [Guest(names.ServerName(name)) for name in wanted]


def failures(guests: Sequence[Guest]) -> list[tuple[str, bool]]:
    """What went wrong, as (message, whether it may pass)."""
    return [(str(guest.error), guest.error.passing) for guest in guests if guest.error is not None]


class Greeter:
    """Greets servers side by side."""

    def __init__(self, cloud: servers.Servers, access: ssh.Access, output: jobs.Output) -> None:
        self._cloud = cloud
        self._access = access
        self._output = output
        self._asked = 0.0
        self._inventory = inventory.Inventory(())
        self._asking = asyncio.Lock()

    async def greet(self, guests: Sequence[Guest], deadline: float, seconds: float | None = None) -> bool:
        """Wait until each guest has answered or `deadline` (seconds since 1970) is over; say whether all are done.

        With `seconds`, return then at the latest; what is not done can be greeted again.
        """
        started = time.time()
        waiting = [self._greet(each, deadline, started) for each in guests if not each.done]
        await drive.side_by_side(waiting, seconds)
        return all(guest.done for guest in guests)

    async def _greet(self, guest: Guest, deadline: float, started: float) -> None:
        try:
            while not await self._try(guest):
                if time.time() > deadline:
                    raise NoAnswerError(guest.name, time.time() - started, guest.seen)
                await asyncio.sleep(_PAUSE)
        except errors.GantryError as error:
            guest.error = error

    async def _try(self, guest: Guest) -> bool:
        server = (await self._servers()).named(guest.name)
        if server is None:
            # A new instance may not be listed for some seconds; one that is gone for good is not either.
            self._see(guest, "the cloud does not list it")
            return False
        if server.state is not inventory.InstanceState.RUNNING:
            self._see(guest, f"instance {server.instance_id} is {server.state}")
            return False
        address = server.ssh_address
        if address is None:
            kind = "public" if server.reached_in_public else "private"
            self._see(guest, f"instance {server.instance_id} runs; the cloud has given it no {kind} address")
            return False
        host_key = server.host_key or await asyncio.to_thread(self._cloud.console_host_key, server)
        if host_key is None:
            self._see(guest, f"instance {server.instance_id} runs; no host key on its console yet")
            return False
        target = ssh.Target(server.name, server.instance_id, address, host_key)
        try:
            async with jobs.Agent(target, self._access).open() as session:
                sent = await handshake.install_agent(session, server.name)
        except (agent_errors.ConnectionLostError, agent_errors.AccessRefusedError) as error:
            # sshd may be up before the account is: refused now is not refused for good.
            self._see(guest, str(error).partition("\n")[0].removeprefix(f"{guest.name}: "))
            return False
        if server.host_key is None:
            await asyncio.to_thread(self._cloud.pin_host_key, server, host_key)
        self._output(guest.name, f"agent STARTING → RUNNING at {address} ({server.instance_id})")
        self._output(guest.name, f"agent scripts sent: {' '.join(sent) or 'none, all are up to date'}")
        guest.answered = True
        return True

    async def _servers(self) -> inventory.Inventory:
        async with self._asking:
            if time.monotonic() - self._asked > _INVENTORY_AGE:
                self._inventory = await asyncio.to_thread(self._cloud.find)
                self._asked = time.monotonic()
            return self._inventory

    def _see(self, guest: Guest, what: str) -> None:
        if what != guest.seen:
            guest.seen = what
            self._output(guest.name, f"waiting: {what}")
