"""Whether servers answer: a look over SSH that changes nothing, not even their journals."""

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
"""A connection that does not come about once proves nothing."""

_PAUSE = 1.0
"""Seconds between these tries."""

_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds before a busy SSH server is asked again; the last one also from then on. Each is spread, so that those who
were turned away at the same time do not come back at the same time."""

_AT_ONCE = 50
"""Servers that are asked at the same time: each is a connection, and a key exchange on this machine."""


class Contact(enum.StrEnum):
    """What becomes of an attempt to reach a server. Only silence can be a sign of a loss."""

    ANSWERS = "answers"
    SILENT = "silent"
    """No connection: nothing is there, or nothing that is able to answer."""

    REFUSES = "refuses"
    """It answers and does not let us in. The cause may be our key, so it is no sign of a loss."""

    STRANGER = "stranger"
    """An SSH server answers that has another host key than the server, or none of its kind."""

    BUSY = "busy"
    """It takes the connection and closes it, again and again, as an SSH server does that has too many of them."""

    UNREACHED = "unreached"
    """The server was not asked at all: a jump host, a name or this machine's own network was in the way."""


@dataclasses.dataclass(frozen=True)
class ProbeResult(Generic[T]):
    """How a server was met.

    Attributes:
        said: what went wrong, in one line; empty where nothing did.
        found: what came of the question, where it answers.
    """

    contact: Contact
    said: str = ""
    found: T | None = None


async def meet(
    target: ssh.Target, access: ssh.Access, ask: Callable[[session.Session], Awaitable[T]], patience: float
) -> ProbeResult[T]:
    """Ask a server something that changes nothing there. That it does not answer is a finding, and no failure.

    Args:
        target: the server.
        access: the login for it.
        ask: the question. Called again if the connection breaks.
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
                Contact.UNREACHED, f"its turn has not come within {patience:g} s: the way to it is slow"
            )
        return ProbeResult(Contact.SILENT, f"no answer within {patience:g} s")


class _Attempts(Generic[T]):
    """Attempts to ask a server, until one has a result.

    Attributes:
        busy: the last attempt that has met a busy server. It was there then, whatever has come after.
        progress: how far any attempt has come.
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
        """Try until the server has been met, or has stayed silent for some attempts. A busy one is asked on."""
        pauses, failures = iter(_PAUSES), 0
        while True:
            met = await self._once()
            if met.contact is Contact.BUSY:
                self.busy = met
                pause = next(pauses, _PAUSES[-1])
                # Not a secret: it only has to differ from one connection to the next.
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
                # Who lets us in and hangs up is there.
                return Contact.BUSY if self.progress.logged_in else Contact.SILENT
        return Contact.REFUSES


def _line(target: ssh.Target, error: root.GantryError) -> str:
    return str(error).partition("\n")[0].removeprefix(f"{target.name}: ")


async def side_by_side(meetings: Iterable[Awaitable[T]]) -> list[T]:
    """Have servers met at the same time, as many as this machine bears; what came of each, in their order."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(meeting: Awaitable[T]) -> T:
        async with places:
            return await meeting

    return list(await asyncio.gather(*map(one, meetings)))


Impaired = Mapping[names.ServiceName, str]
"""The services whose checks do not say OK, with what they say."""


@dataclasses.dataclass(frozen=True)
class ServerProbe:
    """A server to be looked at, the login for it, and the services whose checks are asked for."""

    target: ssh.Target
    access: ssh.Access
    checked: Mapping[names.ServiceName, models.Service] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ServerAnswer:
    """How a server was met, and which of the services that were asked for are not well there.

    Attributes:
        by_cloud: whether the cloud says so, and not the way to the server.
    """

    contact: Contact
    said: str = ""
    impaired: Impaired = dataclasses.field(default_factory=dict)
    by_cloud: bool = False


def call(calls: Sequence[ServerProbe]) -> dict[names.ServerName, ServerAnswer]:
    """How each server is met, all of them side by side."""
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
        # What was never installed there has no check that could say something.
        there = {
            name: service for name, service in wanted.checked.items() if layout.archive_mark(service) in marks
        }
        said = {name: await fan_out.check(server, service.id, quiet=True) for name, service in there.items()}
        return {name: text for name, text in said.items() if text != fan_out.OK}

    return ask
