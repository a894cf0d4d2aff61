"""Measurements of servers: which ones answer, and their load.

All are queried in parallel, without changing anything.
"""

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
"""Timeout of a measuring script: it is called in each check."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is measured: the CPU, or a service whose `enstratus-measure` prints a number."""

    service: names.ServiceId | None = None


@dataclasses.dataclass(frozen=True)
class Counters:
    """Output of `measureCpu`, in milliseconds: the processors' busy time and total time."""

    busy: int
    possible: int

    def percent(self, before: Counters) -> float | None:
        """Return the CPU usage since then; None if it is unknown, as after a reboot."""
        busy, possible = self.busy - before.busy, self.possible - before.possible
        return 100 * min(busy / possible, 1) if busy >= 0 and possible > 0 else None


@dataclasses.dataclass(frozen=True)
class MetricsResult:
    """The result of checking a server.

    Attributes:
        why: what is wrong, if it does not answer.
        cpu: its counters, if requested.
        number: the number that a service has measured, if requested.
        unmeasured: why the measurement failed although the server answers.
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
    """A server to check, with its login and the requested measurement."""

    target: ssh.Target
    access: ssh.Access
    question: Question | None = None


async def look(visits: Sequence[MetricsRequest]) -> list[MetricsResult]:
    """Check servers; return results in the same order. A silent server is a result, not an error."""
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
    """Measure a server that answers, without a line in its agent's journal: each check would add one."""
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
        # The script was replaced by another one.
        return dataclasses.replace(seen, unmeasured=f"{script[0]} has printed {answer[:80]!r}")


def _worded(script: str, error: agent_errors.CommandError) -> str:
    if error.code == _TIMED_OUT:
        return f"{script} took longer than {_MEASURING_SECONDS} s"
    if error.code in _NO_SUCH_SCRIPT:
        return f"its agent has no {script} yet; a launch brings it"
    return error.output.strip().rpartition("\n")[2] or f"{script} ended with exit code {error.code}"


_TIMED_OUT = 124
_NO_SUCH_SCRIPT = (126, 127)
