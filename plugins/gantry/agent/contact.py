"""Whether servers answer: a look over SSH that changes nothing, not even their journals."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from gantry import errors as root
from gantry import names
from gantry.agent import drive, errors, jobs, session, ssh, work
from gantry.definition import models

T = TypeVar("T")

_PATIENCE = 45.0
"""Seconds that a server has to answer all its checks."""

_TRIES = 2
"""A connection that breaks once proves nothing: sshd drops some when many come at the same time."""

_AT_ONCE = 50
"""Servers that are asked at the same time: each is a connection, and a key exchange on this machine."""


class Contact(enum.StrEnum):
    """What becomes of an attempt to reach a server."""

    ANSWERS = "answers"
    SILENT = "silent"
    """No connection: nobody is there, or nobody that is able to answer."""

    REFUSES = "refuses"
    """It answers and does not let us in. The cause may be our key, so it is no sign of a loss."""

    STRANGER = "stranger"
    """Somebody answers who has another host key than the server."""


@dataclasses.dataclass(frozen=True)
class Met(Generic[T]):
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
) -> Met[T]:
    """Ask a server something that changes nothing there. That it does not answer is a finding, and no failure.

    Args:
        target: the server.
        access: the login for it.
        ask: the question. Called again if the connection breaks.
        patience: seconds that the server has for all of it.
    """
    try:
        async with asyncio.timeout(patience):
            for _ in range(_TRIES - 1):
                try:
                    return await _ask(target, access, ask)
                except errors.ConnectionLostError:
                    await asyncio.sleep(1)
            return await _ask(target, access, ask)
    except TimeoutError:
        return Met(Contact.SILENT, f"no answer within {patience:g} s")
    except errors.HostKeyMismatchError as error:
        return Met(Contact.STRANGER, _line(target, error))
    except errors.ConnectionLostError as error:
        return Met(Contact.SILENT, _line(target, error))
    except root.GantryError as error:
        return Met(Contact.REFUSES, _line(target, error))


async def _ask(
    target: ssh.Target, access: ssh.Access, ask: Callable[[session.Session], Awaitable[T]]
) -> Met[T]:
    async with jobs.Agent(target, access).open() as server:
        return Met(Contact.ANSWERS, found=await ask(server))


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
class Call:
    """A server to be looked at, the login for it, and the services whose checks are asked for."""

    target: ssh.Target
    access: ssh.Access
    checked: Mapping[names.ServiceName, models.Service] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a server was met, and which of the services that were asked for are not well there."""

    contact: Contact
    said: str = ""
    impaired: Impaired = dataclasses.field(default_factory=dict)


def call(calls: Sequence[Call]) -> dict[names.ServerName, Answer]:
    """How each server is met, all of them side by side."""
    met = asyncio.run(
        side_by_side(meet(each.target, each.access, _checks(each), _PATIENCE) for each in calls)
    )
    return {
        each.target.name: Answer(found.contact, found.said, found.found or {})
        for each, found in zip(calls, met, strict=True)
    }


def _checks(wanted: Call) -> Callable[[session.Session], Awaitable[Impaired]]:
    async def ask(server: session.Session) -> Impaired:
        if not wanted.checked:
            await server.run("true")
            return {}
        marks = await drive.marks(server)
        # What was never installed there has no check that could say something.
        there = {
            name: service for name, service in wanted.checked.items() if work.archive_mark(service) in marks
        }
        said = {name: await drive.check(server, service.id, quiet=True) for name, service in there.items()}
        return {name: text for name, text in said.items() if text != drive.OK}

    return ask
