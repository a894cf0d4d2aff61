"""A look at servers: who answers, and how busy they are. All are asked side by side, and nothing is touched there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gantry import names
from gantry.agent import errors as agent_errors
from gantry.agent import reachability, session, ssh
from gantry.agent.reachability import Contact

PATIENCE = 20.0
"""Seconds that a server has to answer everything."""

_MEASURING_SECONDS = "10"
"""A script that measures takes no longer: it is called at each look."""


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
class MetricsResult:
    """What a look has found out about a server.

    Attributes:
        why: what is wrong, where it does not answer.
        cpu: its counters, where it was asked for them.
        number: what a service has measured, where it was asked for that.
        unmeasured: why it could not be measured, though it answers.
    """

    server: names.ServerName
    instance_id: str
    answer: Contact
    why: str = ""
    cpu: Counters | None = None
    number: float | None = None
    unmeasured: str = ""


@dataclasses.dataclass(frozen=True)
class MetricsRequest:
    """A server to be looked at, with the login for it, and what it is asked."""

    target: ssh.Target
    access: ssh.Access
    question: Question | None = None


async def look(visits: Sequence[MetricsRequest]) -> list[MetricsResult]:
    """Look at servers, in their order. One that does not answer is a finding, and no failure."""
    return await reachability.side_by_side(map(_look, visits))


async def _look(visit: MetricsRequest) -> MetricsResult:
    seen = MetricsResult(visit.target.name, visit.target.instance_id, Contact.ANSWERS)

    async def ask(server: session.Session) -> MetricsResult:
        if visit.question is None:
            await server.run("true")
            return seen
        return await _measured(server, seen, visit.question)

    met = await reachability.meet(visit.target, visit.access, ask, PATIENCE)
    return met.found or dataclasses.replace(seen, answer=met.contact, why=met.said)


async def _measured(server: session.Session, seen: MetricsResult, question: Question) -> MetricsResult:
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
