"""Server bootstrap: from the cloud's acceptance of the request until the agent answers; in worker and triggerer."""

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
"""Seconds between two attempts to reach a server. Not every attempt asks the cloud."""
_UNSURE = 15.0
"""Seconds for which a new instance may not be listed, or may be shown as stopped after it was started: during that
time, the state that the cloud reports is not taken as final."""


_SHELL_PATIENCE = 30.0
"""Seconds for which a new server may refuse to run commands: its account may be incomplete (`/etc/nologin`)."""

_BOOT_PAUSE = 2.0
"""Seconds between two checks of a server's first boot."""

_RUN_LIMIT = "dagrun_timeout"


@dataclasses.dataclass(frozen=True)
class Limit:
    """The time limit of a wait for servers.

    Attributes:
        asked: start of the wait (seconds since 1970). Worker and triggerer wait one after the other.
        deadline: end of the wait.
        key: the definition's key that sets the limit.
    """

    asked: float
    deadline: float
    key: str = "timeouts.handshake"

    @classmethod
    def of(cls, timeout: float, run_ends: float) -> Limit:
        """Return a limit that starts now: this many seconds, or until the run's time is up (0: no limit)."""
        now = time.time()
        if run_ends and run_ends < now + timeout:
            return cls(now, run_ends, _RUN_LIMIT)
        return cls(now, now + timeout)

    def later(self, waited: float) -> Limit:
        """Return the limit for a server whose turn to log in did not come for so many seconds.

        They say nothing about the server. The run's own time is up nevertheless.
        """
        if self.key == _RUN_LIMIT:
            return self
        return dataclasses.replace(self, asked=self.asked + waited, deadline=self.deadline + waited)


class NoAnswerError(errors.GantryError):
    """A server did not answer in time."""

    def __init__(self, name: names.ServerName, limit: Limit, seen: str) -> None:
        self.server = name
        self.limit = limit
        self.seen = seen
        seconds = limit.deadline - limit.asked
        left = ", which leaves no more" if limit.key == _RUN_LIMIT else ""
        super().__init__(
            f"{name}: no handshake within {seconds:.0f} s ({limit.key}{left}). Last seen: {seen}\n"
            f"Look at the instance's console output and network (security group, subnet, route), then clear "
            f"this task; or raise {limit.key}. One that stays like that is replaced by the next launch that "
            f"finds it so for its tier's recovery_delay; or at once if you name it in NAME.recover."
        )


@dataclasses.dataclass
class PendingServer:
    """The state of one awaited server: what was last seen of it, and how the wait ended.

    Attributes:
        instance_id: the instance that the cloud has listed for it, or None so far.
        down_since: since when (monotonic) it is unlisted or stopped, or None.
        waited: seconds for which others of this process had the turn to log in.
    """

    name: names.ServerName
    seen: str = "nothing yet"
    instance_id: str | None = None
    down_since: float | None = None
    answered: bool = False
    waited: float = 0.0
    without_shell: float = 0.0
    """Since when (seconds since 1970) it refuses commands, or 0."""

    error: errors.GantryError | None = None

    @property
    def done(self) -> bool:
        """Return whether the wait for this server is over."""
        return self.answered or self.error is not None


def everyone(wanted: Sequence[str]) -> list[PendingServer]:
    """Return a pending server for each name."""
    return [PendingServer(names.ServerName(name)) for name in wanted]


def failures(guests: Sequence[PendingServer]) -> list[errors.Failure]:
    """Return the failures."""
    return [guest.error.failure for guest in guests if guest.error is not None]


class Bootstrapper:
    """Connects to servers in parallel and installs the agent.

    `started` has the ids of the recently started instances, as far as they are known: once each of them is listed or
    has ended, unlisted servers have ended too.
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
        """Wait until each server has answered or the limit is over; return whether all are done.

        If `seconds` is given, return after that time at the latest; call again for servers that are not done.
        """
        waiting = [self._greet(each, limit) for each in guests if not each.done]
        await fan_out.side_by_side(waiting, seconds)
        return all(guest.done for guest in guests)

    async def _greet(self, guest: PendingServer, limit: Limit) -> None:
        try:
            while not await self._patiently(guest, limit):
                if time.time() > limit.later(guest.waited).deadline:
                    raise NoAnswerError(guest.name, limit, guest.seen)
                await asyncio.sleep(_PAUSE)
        except errors.GantryError as error:
            guest.error = error

    async def _patiently(self, guest: PendingServer, limit: Limit) -> bool:
        """Try once. Throttling, or an instance that the cloud does not know yet, only costs time."""
        try:
            return await self._try(guest, limit)
        except cloud_errors.CloudError as error:
            if not error.waits:
                raise
            self._see(guest, f"the cloud answered {error.code}; the request is repeated")
        except cloud_errors.CloudUnreachableError as error:
            if not error.waits:
                raise
            self._see(guest, f"the cloud does not answer ({error.reason}); the request is repeated")
        return False

    async def _try(self, guest: PendingServer, limit: Limit) -> bool:
        server = (await self._asker.servers()).named(guest.name)
        if server is None:
            # A new instance may not be listed for some seconds; neither is one that is gone for good.
            await self._refuse_ended(guest)
            self._see(guest, "the cloud does not list it")
            return False
        guest.instance_id = server.instance_id
        if server.state is not inventory.InstanceState.RUNNING:
            # EC2 stops an instance again if it cannot start it.
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
        sent = await self._install(guest, server, target, limit)
        if sent is None:
            return False
        await self._asker.note(server, host_key)
        self._output(guest.name, f"agent STARTING → RUNNING at {address} ({server.instance_id})")
        self._output(guest.name, f"agent scripts sent: {' '.join(sent) or 'none, all are up to date'}")
        guest.answered = True
        return True

    async def _install(
        self, guest: PendingServer, server: inventory.Server, target: ssh.Target, limit: Limit
    ) -> tuple[str, ...] | None:
        """Install the agent on a server; return which scripts were sent, or None if the server is not ready yet."""
        before, way = guest.waited, ssh.LoginProgress()
        try:
            async with job_runner.Agent(target, self._access).open(way) as agent:
                guest.waited = before + way.waited
                sent = await bootstrap.install_agent(agent, server.name)
                return sent if await self._booted(guest, agent, limit) else None
        except (
            agent_errors.ConnectionLostError,
            agent_errors.AccessRefusedError,
            agent_errors.HostKeyKindError,
            agent_errors.LoginShellError,
        ) as error:
            guest.waited = before + way.waited
            if not self._may_pass(guest, server, error):
                raise
            if isinstance(error, agent_errors.HostKeyKindError):
                self._asker.doubt(server)
            self._see(guest, error.failure.headline.removeprefix(f"{guest.name}: "))
            return None

    async def _booted(self, guest: PendingServer, server: session.Session, limit: Limit) -> bool:
        """Wait for the end of the first boot: its user data may reboot the server during the first job."""
        while busy := await bootstrap.still_boots(server):
            self._see(guest, busy)
            if time.time() > limit.later(guest.waited).deadline:
                return False
            await asyncio.sleep(_BOOT_PAUSE)
        return True

    def _may_pass(
        self, guest: PendingServer, server: inventory.Server, error: agent_errors.ServerError
    ) -> bool:
        """Return whether an error may pass.

        sshd may be up before the account is complete and before all host keys exist, so a refusal may be temporary. A
        server that was greeted before already had its host keys and its account. A jump host is not a new server.
        """
        if error.on_the_way and not isinstance(error, agent_errors.ConnectionLostError):
            return False
        if not isinstance(error, agent_errors.LoginShellError):
            return not isinstance(error, agent_errors.HostKeyKindError) or server.host_key is None
        guest.without_shell = guest.without_shell or time.time()
        return server.host_key is None and time.time() - guest.without_shell < _SHELL_PATIENCE

    async def _refuse_ended(self, guest: PendingServer) -> None:
        """Raise EndedServerError if the instance that was started for this server has ended."""
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
    """Return whether a server has been down, or unlisted, for longer than the cloud's list may be outdated."""
    now = time.monotonic()
    guest.down_since = guest.down_since or now
    return now - guest.down_since > _UNSURE
