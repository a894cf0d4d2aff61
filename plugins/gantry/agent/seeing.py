"""A look at servers: who answers, asked side by side and each within a time limit. Nothing is touched there."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Sequence

from gantry import errors, names
from gantry.agent import errors as agent_errors
from gantry.agent import jobs, ssh

PATIENCE = 20.0
"""Seconds that a server has to answer everything."""

_AT_ONCE = 50
"""Servers that are asked at the same time: each is a connection, and a key exchange on this machine."""


class Answer(enum.StrEnum):
    """How a server answers."""

    ANSWERS = "answers"
    SILENT = "silent"
    """It runs, the cloud says, and nobody there answers."""

    REFUSES = "refuses"
    """Somebody answers, and does not let us in or is somebody else: a matter of keys, and not of a lost server."""

    NOT_RUNNING = "not running"
    """The cloud says that its instance does not run, or that it has no address, or nobody has shaken hands yet."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a look has found out about a server.

    Attributes:
        why: what is wrong, where it does not answer.
    """

    server: names.ServerName
    instance_id: str
    answer: Answer
    why: str = ""


@dataclasses.dataclass(frozen=True)
class Visit:
    """A server to be looked at, with the login for it."""

    target: ssh.Target
    access: ssh.Access


async def look(visits: Sequence[Visit]) -> list[Seen]:
    """Look at servers, in their order. One that does not answer is a finding, and no failure."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(visit: Visit) -> Seen:
        async with places:
            return await _look(visit)

    return list(await asyncio.gather(*(one(each) for each in visits)))


async def _look(visit: Visit) -> Seen:
    target = visit.target
    seen = Seen(target.name, target.instance_id, Answer.ANSWERS)
    try:
        async with asyncio.timeout(PATIENCE), jobs.Agent(target, visit.access).open() as server:
            await server.run("true")
            return seen
    except TimeoutError:
        return dataclasses.replace(seen, answer=Answer.SILENT, why=f"no answer within {PATIENCE:g} s")
    except agent_errors.ConnectionLostError as error:
        return dataclasses.replace(seen, answer=Answer.SILENT, why=_first_line(error, target))
    except errors.GantryError as error:
        return dataclasses.replace(seen, answer=Answer.REFUSES, why=_first_line(error, target))


def _first_line(error: errors.GantryError, target: ssh.Target) -> str:
    return str(error).partition("\n")[0].removeprefix(f"{target.name}: ")
