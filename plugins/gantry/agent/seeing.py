"""A look at servers: who answers, and how busy they are. All are asked side by side, and nothing is touched there."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Sequence

from gantry import errors, names
from gantry.agent import errors as agent_errors
from gantry.agent import jobs, session, ssh

PATIENCE = 20.0
"""Seconds that a server has to answer everything."""

_MEASURING_SECONDS = "10"
"""A script that measures takes no longer: it is called at each look."""

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
class Question:
    """What a server is measured by: its CPU, or the service whose `enstratus-measure` prints a number."""

    service: names.ServiceId | None = None


@dataclasses.dataclass(frozen=True)
class Counters:
    """What `measureCpu` prints, in milliseconds: how long the processors have worked, and could have."""

    busy: int
    possible: int

    def percent(self, before: Counters) -> float | None:
        """How much was used since; None where that cannot be known, as after a restart."""
        busy, possible = self.busy - before.busy, self.possible - before.possible
        return 100 * min(busy / possible, 1) if busy >= 0 and possible > 0 else None


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a look has found out about a server.

    Attributes:
        why: what is wrong, where it does not answer.
        cpu: its counters, where it was asked for them.
        number: what a service has measured, where it was asked for that.
        unmeasured: why it could not be measured, though it answers.
    """

    server: names.ServerName
    instance_id: str
    answer: Answer
    why: str = ""
    cpu: Counters | None = None
    number: float | None = None
    unmeasured: str = ""


@dataclasses.dataclass(frozen=True)
class Visit:
    """A server to be looked at, with the login for it, and what it is asked."""

    target: ssh.Target
    access: ssh.Access
    question: Question | None = None


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
            if visit.question is None:
                await server.run("true")
                return seen
            return await _measured(server, seen, visit.question)
    except TimeoutError:
        return dataclasses.replace(seen, answer=Answer.SILENT, why=f"no answer within {PATIENCE:g} s")
    except agent_errors.ConnectionLostError as error:
        return dataclasses.replace(seen, answer=Answer.SILENT, why=_first_line(error, target))
    except errors.GantryError as error:
        return dataclasses.replace(seen, answer=Answer.REFUSES, why=_first_line(error, target))


async def _measured(server: session.Session, seen: Seen, question: Question) -> Seen:
    """Ask an answering server. Its agent's journal gets no line: it would be one for each look."""
    script = ("measureCpu",) if question.service is None else ("measureService", question.service)
    limit = ("timeout", "--kill-after=5", _MEASURING_SECONDS)
    try:
        answer = await server.run("env", "GANTRY_QUIET=1", *limit, f"{session.BIN}/{script[0]}", *script[1:])
    except agent_errors.CommandError as error:
        return dataclasses.replace(seen, unmeasured=_worded(script[0], error))
    try:
        if question.service is not None:
            return dataclasses.replace(seen, number=float(answer))
        busy, possible = answer.split()
        return dataclasses.replace(seen, cpu=Counters(int(busy), int(possible)))
    except ValueError:
        # Somebody has put another script in its place.
        return dataclasses.replace(seen, unmeasured=f"{script[0]} has printed {answer[:80]!r}")


def _worded(script: str, error: agent_errors.CommandError) -> str:
    if error.code == _TIMED_OUT:
        return f"{script} took longer than {_MEASURING_SECONDS} s"
    if error.code in _NO_SUCH_SCRIPT:
        return f"its agent has no {script} yet; a launch brings it"
    return error.output.strip().rpartition("\n")[2] or f"{script} ended with exit code {error.code}"


_TIMED_OUT = 124
_NO_SUCH_SCRIPT = (126, 127)


def _first_line(error: errors.GantryError, target: ssh.Target) -> str:
    return str(error).partition("\n")[0].removeprefix(f"{target.name}: ")
