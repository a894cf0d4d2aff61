"""Whether servers answer: a look over SSH that changes nothing, not even their journals."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Mapping, Sequence

from gantry import errors as root
from gantry import names
from gantry.agent import drive, errors, jobs, ssh, work
from gantry.definition import models

_PATIENCE = 45.0
"""Seconds that a server has to answer everything."""

_TRIES = 2
"""A connection that breaks once proves nothing: sshd drops some when many come at the same time."""


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
class Answer:
    """How a server was met.

    Attributes:
        said: what went wrong, in one line; empty where nothing did.
        impaired: the services whose checks were asked for and do not say OK, with what they say.
    """

    contact: Contact
    said: str = ""
    impaired: Mapping[names.ServiceName, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Call:
    """A server to be looked at, the login for it, and the services whose checks are asked for."""

    target: ssh.Target
    access: ssh.Access
    checked: Mapping[names.ServiceName, models.Service] = dataclasses.field(default_factory=dict)


def call(calls: Sequence[Call]) -> dict[names.ServerName, Answer]:
    """How each server is met, all of them side by side."""

    async def everybody() -> list[Answer]:
        return list(await asyncio.gather(*(_call(each) for each in calls)))

    return dict(zip((each.target.name for each in calls), asyncio.run(everybody()), strict=True))


async def _call(wanted: Call) -> Answer:
    answer = await _once(wanted)
    for _ in range(_TRIES - 1):
        if answer.contact is not Contact.SILENT:
            break
        await asyncio.sleep(1)
        answer = await _once(wanted)
    return answer


async def _once(wanted: Call) -> Answer:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await _ask(wanted)
    except TimeoutError:
        return Answer(Contact.SILENT, f"no answer within {_PATIENCE:g} s")
    except errors.HostKeyMismatchError as error:
        return Answer(Contact.STRANGER, _line(wanted, error))
    except errors.ConnectionLostError as error:
        return Answer(Contact.SILENT, _line(wanted, error))
    except root.GantryError as error:
        return Answer(Contact.REFUSES, _line(wanted, error))


async def _ask(wanted: Call) -> Answer:
    async with jobs.Agent(wanted.target, wanted.access).open() as server:
        if not wanted.checked:
            await server.run("true")
            return Answer(Contact.ANSWERS)
        marks = await drive.marks(server)
        # What was never installed there has no check that could say something.
        there = {
            name: service for name, service in wanted.checked.items() if work.archive_mark(service) in marks
        }
        said = {name: await drive.check(server, service.id, quiet=True) for name, service in there.items()}
    return Answer(Contact.ANSWERS, impaired={name: text for name, text in said.items() if text != drive.OK})


def _line(wanted: Call, error: root.GantryError) -> str:
    return str(error).partition("\n")[0].removeprefix(f"{wanted.target.name}: ")
