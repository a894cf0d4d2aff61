"""Reachability of servers: a check over SSH that changes nothing, not even their journals."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from gantry import errors as root
from gantry import names
from gantry.agent import errors, fan_out, layout, session, ssh
from gantry.definition import models

T = TypeVar("T")

_PATIENCE = 45.0
"""Seconds that a server has to answer all its checks."""

_TRIES = 2
"""A single failed connection proves nothing."""

_PAUSE = 1.0
"""Seconds between these attempts."""

_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before a busy SSH server is tried again; the last value also for later attempts. Each is randomized, so that
clients rejected at the same time do not return at the same time."""

_AT_ONCE = 50
"""Number of servers checked in parallel: each needs a connection, and a key exchange on this machine."""


class Contact(enum.StrEnum):
    """The result of an attempt to reach a server. Only silence can be a sign of a loss."""

    ANSWERS = "answers"
    SILENT = "silent"
    """No connection: nothing is there, or nothing that is able to answer."""

    REFUSES = "refuses"
    """It answers and refuses the login. The cause may be our key, so this is no sign of a loss."""

    STRANGER = "stranger"
    """An SSH server answers with a different host key, or with none of the pinned kind."""

    BUSY = "busy"
    """It repeatedly accepts the connection and closes it, as an SSH server with too many connections does."""

    UNREACHED = "unreached"
    """The server was not contacted at all, because of a jump host, a name or this machine's own network."""


@dataclasses.dataclass(frozen=True)
class ProbeResult(Generic[T]):
    """The result of probing a server.

    Attributes:
        said: what went wrong, in one line; empty if nothing did.
        found: the result of the query, if the server answers.
    """

    contact: Contact
    said: str = ""
    found: T | None = None


async def meet(
    target: ssh.Target, access: ssh.Access, ask: Callable[[session.Session], Awaitable[T]], patience: float
) -> ProbeResult[T]:
    """Query a server without changing anything there. A silent server is a result, not an error.

    Args:
        target: the server.
        access: the login for it.
        ask: the query. Called again if the connection breaks.
        patience: seconds that the server has for all of it.
    """
    attempts = _Attempts(target, access, ask)
    try:
        async with asyncio.timeout(patience):
            return await attempts.make()
    except TimeoutError:
        if attempts.busy is not None:
            return attempts.busy
        if not attempts.progress.tried:
            return ProbeResult(
                Contact.UNREACHED,
                f"it was not attempted within {patience:g} s: the way to it is slow, or this machine is busy",
            )
        return ProbeResult(Contact.SILENT, f"no answer within {patience:g} s")


class _Attempts(Generic[T]):
    """Attempts to query a server, until one has a result.

    Attributes:
        busy: the last attempt that found the server busy. It was there then, whatever came after.
        progress: the furthest progress of any attempt.
    """

    def __init__(
        self, target: ssh.Target, access: ssh.Access, ask: Callable[[session.Session], Awaitable[T]]
    ) -> None:
        self._target = target
        self._access = access
        self._ask = ask
        self.busy: ProbeResult[T] | None = None
        self.progress = ssh.LoginProgress()

    async def make(self) -> ProbeResult[T]:
        """Try until the server has answered, or was silent in several attempts. A busy one is tried further."""
        pauses, failures = iter(_PAUSES), 0
        while True:
            met = await self._once()
            if met.contact is Contact.BUSY:
                self.busy = met
                pause = next(pauses, _PAUSES[-1])
                # Not a secret: it only has to differ between connections.
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
                continue
            failures += met.contact in (Contact.SILENT, Contact.UNREACHED)
            if met.contact in (Contact.SILENT, Contact.UNREACHED) and failures < _TRIES:
                await asyncio.sleep(_PAUSE)
                continue
            return self.busy if met.contact is Contact.SILENT and self.busy is not None else met

    async def _once(self) -> ProbeResult[T]:
        self.progress.logged_in = False
        try:
            async with ssh.connect(self._target, self._access, self.progress) as connection:
                server = session.Session(connection, self._target, self._access.login)
                return ProbeResult(Contact.ANSWERS, found=await self._ask(server))
        except root.GantryError as error:
            return ProbeResult(self._contact(error), _line(self._target, error))

    def _contact(self, error: root.GantryError) -> Contact:
        if isinstance(error, ssh.UnusableKeyError) or (
            isinstance(error, errors.ServerError) and error.on_the_way
        ):
            return Contact.UNREACHED
        match error:
            case errors.HostKeyMismatchError():
                return Contact.STRANGER
            case errors.ServerBusyError():
                return Contact.BUSY
            case errors.ConnectionLostError():
                # A server that accepts the login and hangs up is there.
                return Contact.BUSY if self.progress.logged_in else Contact.SILENT
        return Contact.REFUSES


def _line(target: ssh.Target, error: root.GantryError) -> str:
    return error.failure.headline.removeprefix(f"{target.name}: ")


async def side_by_side(meetings: Iterable[Awaitable[T]]) -> list[T]:
    """Probe servers in parallel, as many as this machine can handle; return the results in their order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(meeting: Awaitable[T]) -> T:
        async with places:
            return await meeting

    return list(await asyncio.gather(*map(one, meetings)))


Impaired = Mapping[names.ServiceName, str]
"""The services whose checks fail, with the checks' output."""


@dataclasses.dataclass(frozen=True)
class ServerProbe:
    """A server to probe, its login, and the services whose checks are requested."""

    target: ssh.Target
    access: ssh.Access
    checked: Mapping[names.ServiceName, models.Service] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ServerAnswer:
    """How a server answered, and which of the requested services are unhealthy there.

    Attributes:
        by_cloud: whether this comes from the cloud and not from the connection to the server.
    """

    contact: Contact
    said: str = ""
    impaired: Impaired = dataclasses.field(default_factory=dict)
    by_cloud: bool = False


def call(calls: Sequence[ServerProbe]) -> dict[names.ServerName, ServerAnswer]:
    """Probe servers in parallel; return how each answers."""
    met = asyncio.run(
        side_by_side(meet(each.target, each.access, _checks(each), _PATIENCE) for each in calls)
    )
    return {
        each.target.name: ServerAnswer(found.contact, found.said, found.found or {})
        for each, found in zip(calls, met, strict=True)
    }


def _checks(wanted: ServerProbe) -> Callable[[session.Session], Awaitable[Impaired]]:
    async def ask(server: session.Session) -> Impaired:
        if not wanted.checked:
            await server.run("true")
            return {}
        marks = await fan_out.marks(server)
        # A service that was never installed there has no check.
        there = {
            name: service for name, service in wanted.checked.items() if layout.archive_mark(service) in marks
        }
        said = {name: await fan_out.check(server, service.id, quiet=True) for name, service in there.items()}
        return {name: text for name, text in said.items() if text != fan_out.OK}

    return ask
