"""Waiting for servers: from "the cloud was asked" to "the agent answers". Same code in worker and triggerer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

from gantry import errors, inventory, names
from gantry.agent import bootstrap, fan_out, job_runner, jobs, session, ssh
from gantry.agent import errors as agent_errors
from gantry.cloud import end_reasons, servers, shared_lookups
from gantry.cloud import errors as cloud_errors

_PAUSE = 0.5
"""Seconds between two tries of a server. Not each of them asks the cloud."""
_UNSURE = 15.0
"""Seconds. A new instance may not be listed so long, and be shown as stopped so long after it was started: what the
cloud has shown of it before is not taken for its end until then."""


_SHELL_PATIENCE = 30.0
"""Seconds for which a new server may refuse to run commands: its account may not be finished (`/etc/nologin`)."""

_BOOT_PAUSE = 2.0
"""Seconds between two looks at what a server's first boot still does."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """How long servers are waited for.

    Attributes:
        asked: since when (seconds since 1970). Worker and triggerer wait one after the other.
        deadline: until when.
        key: of the definition, which sets that.
    """

    asked: float
    deadline: float
    key: str = "timeouts.handshake"

    @classmethod
    def of(cls, timeout: float, run_ends: float) -> Limit:
        """One that begins now: so many seconds, or until the run's time is up (0: no limit)."""
        now = time.time()
        if run_ends and run_ends < now + timeout:
            return cls(now, run_ends, "dagrun_timeout")
        return cls(now, now + timeout)


class NoAnswerError(errors.GantryError):
    """A server that did not answer in time."""

    def __init__(self, name: names.ServerName, limit: Limit, seen: str) -> None:
        self.name = name
        self.limit = limit
        self.seen = seen
        seconds = limit.deadline - limit.asked
        left = ", which leaves no more" if limit.key == "dagrun_timeout" else ""
        super().__init__(
            f"{name}: no handshake within {seconds:.0f} s ({limit.key}{left}). Last seen: {seen}\n"
            f"Look at the instance's console output and network (security group, subnet, route), then clear "
            f"this task; or raise {limit.key}. One that stays like that is replaced by the next launch that "
            f"finds it so for its tier's recovery_delay; or at once if you name it in NAME.recover."
        )


@dataclasses.dataclass
class PendingServer:
    """One awaited server: what was last seen of it, and how it ended.

    Attributes:
        instance_id: of the instance that the cloud has listed for it, or None so far.
        down_since: since when (monotonic) it is not listed, or stopped, or None.
    """

    name: names.ServerName
    seen: str = "nothing yet"
    instance_id: str | None = None
    down_since: float | None = None
    answered: bool = False
    without_shell: float = 0.0
    """Since when (seconds since 1970) commands are refused, or 0."""

    error: errors.GantryError | None = None

    @property
    def done(self) -> bool:
        """Whether waiting is over."""
        return self.answered or self.error is not None


def everyone(wanted: Sequence[str]) -> list[PendingServer]:
    """Guests to wait for."""
    return [PendingServer(names.ServerName(name)) for name in wanted]


def failures(guests: Sequence[PendingServer]) -> list[errors.Failure]:
    """What went wrong."""
    return [guest.error.failure for guest in guests if guest.error is not None]


class Bootstrapper:
    """Greets servers side by side.

    `started` are the instances (by ids) that were started lately, as far as that is known: once each of them is listed
    or has ended, what is not listed has ended too.
    """

    def __init__(
        self,
        cloud: servers.Servers,
        access: ssh.Access,
        output: jobs.Output,
        started: frozenset[str] = frozenset(),
    ) -> None:
        self._started = started
        self._asker = shared_lookups.SharedLookup(cloud)
        self._access = access
        self._output = output

    async def greet(
        self, guests: Sequence[PendingServer], limit: Limit, seconds: float | None = None
    ) -> bool:
        """Wait until each guest has answered or the limit is over; say whether all are done.

        With `seconds`, return then at the latest; what is not done can be greeted again.
        """
        waiting = [self._greet(each, limit) for each in guests if not each.done]
        await fan_out.side_by_side(waiting, seconds)
        return all(guest.done for guest in guests)

    async def _greet(self, guest: PendingServer, limit: Limit) -> None:
        try:
            while not await self._patiently(guest, limit.deadline):
                if time.time() > limit.deadline:
                    raise NoAnswerError(guest.name, limit, guest.seen)
                await asyncio.sleep(_PAUSE)
        except errors.GantryError as error:
            guest.error = error

    async def _patiently(self, guest: PendingServer, deadline: float) -> bool:
        """Try once. A cloud that is asked too often, or does not know an instance yet, costs time and nothing else."""
        try:
            return await self._try(guest, deadline)
        except cloud_errors.CloudError as error:
            if not error.waits:
                raise
            self._see(guest, f"the cloud answered {error.code}; it is asked again")
        except cloud_errors.CloudUnreachableError as error:
            if not error.waits:
                raise
            self._see(guest, f"the cloud does not answer ({error.reason}); it is asked again")
        return False

    async def _try(self, guest: PendingServer, deadline: float) -> bool:
        server = (await self._asker.servers()).named(guest.name)
        if server is None:
            # A new instance may not be listed for some seconds; one that is gone for good is not either.
            await self._refuse_ended(guest)
            self._see(guest, "the cloud does not list it")
            return False
        guest.instance_id = server.instance_id
        if server.state is not inventory.InstanceState.RUNNING:
            # EC2 stops again what it cannot start.
            if server.state is not inventory.InstanceState.STOPPED:
                guest.down_since = None
            elif _is_down_for_sure(guest) and end_reasons.is_by_itself(server.reason):
                raise end_reasons.EndedServerError(server)
            self._see(guest, f"instance {server.instance_id} is {server.state}")
            return False
        guest.down_since = None
        address = server.ssh_address
        if address is None:
            kind = "public" if server.reached_in_public else "private"
            self._see(guest, f"instance {server.instance_id} runs; the cloud has given it no {kind} address")
            return False
        host_key = await self._asker.host_key(server)
        if host_key is None:
            self._see(guest, f"instance {server.instance_id} runs; no host key on its console yet")
            return False
        target = ssh.Target(server.name, server.instance_id, address, host_key)
        sent = await self._install(guest, server, target, deadline)
        if sent is None:
            return False
        await self._asker.note(server, host_key)
        self._output(guest.name, f"agent STARTING → RUNNING at {address} ({server.instance_id})")
        self._output(guest.name, f"agent scripts sent: {' '.join(sent) or 'none, all are up to date'}")
        guest.answered = True
        return True

    async def _install(
        self, guest: PendingServer, server: inventory.Server, target: ssh.Target, deadline: float
    ) -> tuple[str, ...] | None:
        """Give a server the agent; which scripts were sent, or None where it is not ready yet."""
        try:
            async with job_runner.Agent(target, self._access).open() as agent:
                sent = await bootstrap.install_agent(agent, server.name)
                return sent if await self._booted(guest, agent, deadline) else None
        except (
            agent_errors.ConnectionLostError,
            agent_errors.AccessRefusedError,
            agent_errors.HostKeyKindError,
            agent_errors.LoginShellError,
        ) as error:
            if not self._may_pass(guest, server, error):
                raise
            if isinstance(error, agent_errors.HostKeyKindError):
                self._asker.doubt(server)
            self._see(guest, str(error).partition("\n")[0].removeprefix(f"{guest.name}: "))
            return None

    async def _booted(self, guest: PendingServer, server: session.Session, deadline: float) -> bool:
        """Wait for the end of the first boot, whose user data may reboot the server under the first job."""
        while busy := await bootstrap.still_boots(server):
            self._see(guest, busy)
            if time.time() > deadline:
                return False
            await asyncio.sleep(_BOOT_PAUSE)
        return True

    def _may_pass(
        self, guest: PendingServer, server: inventory.Server, error: agent_errors.ServerError
    ) -> bool:
        """Whether a server that is not worked with now may be later.

        sshd may be up before the account is, and before all host keys are made: refused now is not refused for good.
        One that was greeted before has had its host keys, and its account. A jump host is no new server.
        """
        if error.on_the_way and not isinstance(error, agent_errors.ConnectionLostError):
            return False
        if not isinstance(error, agent_errors.LoginShellError):
            return not isinstance(error, agent_errors.HostKeyKindError) or server.host_key is None
        guest.without_shell = guest.without_shell or time.time()
        return server.host_key is None and time.time() - guest.without_shell < _SHELL_PATIENCE

    async def _refuse_ended(self, guest: PendingServer) -> None:
        """Raise EndedServerError if the instance that was started for a guest has ended."""
        is_sure = _is_down_for_sure(guest)
        ended = await self._asker.ended()
        gone = [each for each in ended if each.name == guest.name]
        own = [each for each in gone if each.instance_id == guest.instance_id]
        if own or (gone and (is_sure or await self._is_all_accounted_for(ended))):
            raise end_reasons.EndedServerError(max(own or gone, key=lambda each: each.launched_at))

    async def _is_all_accounted_for(self, ended: Sequence[inventory.Server]) -> bool:
        listed = (await self._asker.servers()).everything
        return bool(self._started) and self._started <= {each.instance_id for each in (*listed, *ended)}

    def _see(self, guest: PendingServer, what: str) -> None:
        if what != guest.seen:
            guest.seen = what
            self._output(guest.name, f"waiting: {what}")


def _is_down_for_sure(guest: PendingServer) -> bool:
    """Whether a guest is down, or not listed, longer than the cloud takes to show what is true."""
    now = time.monotonic()
    guest.down_since = guest.down_since or now
    return now - guest.down_since > _UNSURE
