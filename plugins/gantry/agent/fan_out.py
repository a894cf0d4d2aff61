"""Several servers side by side: each goes through its jobs at its own pace, and none waits for another."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import TypeVar

from gantry import errors, names
from gantry.agent import connection_pool, job_runner, jobs, session, ssh
from gantry.agent import errors as agent_errors

T = TypeVar("T")
_CHECK_SECONDS = "20"
marks = job_runner.marks
Lines = connection_pool.Lines
OK = "OK"
"""What the check of a healthy service says."""


@dataclasses.dataclass(frozen=True)
class Held:
    """Something that has changed and is left as it is, since only a person may decide about it.

    Attributes:
        key: of the note that says what is there now.
        text: what has changed, why nothing is done, and how to have it done: one line.
    """

    key: str
    text: str


@dataclasses.dataclass(frozen=True)
class Work:
    """What a step wants of one server: files first, then jobs; and what it leaves as it is although it has changed."""

    files: tuple[session.RemoteFile, ...] = ()
    jobs: tuple[jobs.Job, ...] = ()
    held: tuple[Held, ...] = ()


@dataclasses.dataclass(frozen=True)
class Applied:
    """What a server says of itself.

    Attributes:
        marks: what succeeded jobs have noted there.
        healthy: whether the service in question says OK.
        digests: SHA-256 sums (hexadecimal) of the files in question, by path; absent and empty ones are left out.
    """

    marks: Mapping[str, str]
    healthy: bool = False
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Questions:
    """What a server is asked in addition to its marks: a service's check, the digests of files."""

    checked: names.ServiceId | None = None
    files: tuple[str, ...] = ()


Decide = Callable[[ssh.Target, Applied], Work]
"""From a server, and what is applied there, to the work that is left."""


Witness = Callable[[session.Session, ssh.Target, Applied, Work], Awaitable[None]]
"""Looks at a server when its work is decided and nothing of it is done. Called again if the connection breaks."""


class StepFailedError(errors.GantryError):
    """One or more servers did not get through a step; the others did."""

    def __init__(self, failures: Sequence[errors.Failure]) -> None:
        self._failures = tuple(failures)
        self.transient = all(each.transient for each in failures)
        super().__init__("\n".join(map(str, failures)))

    @property
    def failures(self) -> tuple[errors.Failure, ...]:
        """Of each server that did not get through."""
        return self._failures


def begin(targets: Sequence[ssh.Target], until: float = 0.0) -> list[jobs.ServerProgress]:
    """How far servers are of which nothing is known yet. `until`: see `jobs.ServerProgress`."""
    return [jobs.ServerProgress(target, (), until=until) for target in targets]


async def prepare(
    everything: Sequence[jobs.ServerProgress],
    access: ssh.Access,
    decide: Decide,
    output: jobs.Output,
    questions: Questions = Questions(),
    witness: Witness | None = None,
    kept: connection_pool.Lines | None = None,
) -> None:
    """Ask every server what is applied there, decide what is left, and put the files in place.

    A server that cannot be prepared within its patience has its error noted; the others go on. Who is stopped in
    the middle finds in `everything` what `kill` needs to take the files away again. The connections to those where
    something is left to do are kept open for `carry_out`, if there is something to keep them in.
    """

    async def one(progress: jobs.ServerProgress) -> None:
        agent = job_runner.Agent(progress.target, access, kept=kept)
        try:
            async with asyncio.timeout(access.patience):
                await _prepare(agent, progress, decide, output, questions, witness)
        except TimeoutError:
            name = progress.target.name
            said = f"{name}: no answer within {access.patience:g} s (ssh.reconnect_for)"
            progress.failure = errors.Failure(said, server=name, transient=True)
        except errors.GantryError as error:
            progress.failure = error.failure
            await _forget_secrets(agent, progress)
        if kept is not None and progress.done:
            await kept.close(progress.target.name)

    await asyncio.gather(*(one(each) for each in everything))


async def carry_out(  # noqa: PLR0913 - what a step has, each by its name
    everything: Sequence[jobs.ServerProgress],
    access: ssh.Access,
    key: jobs.StepKey,
    output: jobs.Output,
    *,
    seconds: float | None = None,
    reader: jobs.Reader | None = None,
    links: jobs.LinkMaker | None = None,
    kept: connection_pool.Lines | None = None,
) -> bool:
    """Drive the servers' jobs, for so many seconds at most; say whether all are done.

    What is not done then goes on on the servers; call again with the same progress to go on following.
    """

    async def one(progress: jobs.ServerProgress) -> None:
        agent = job_runner.Agent(progress.target, access, reader, links, kept)
        try:
            await agent.carry_out(progress, key, output)
        except errors.GantryError as error:
            progress.failure = error.failure
            await _forget_secrets(agent, progress)
        if kept is not None:
            await kept.close(progress.target.name)

    await side_by_side([one(each) for each in everything if not each.done], seconds)
    return all(each.done for each in everything)


async def side_by_side(work: Sequence[Coroutine[None, None, None]], seconds: float | None = None) -> None:
    """Run coroutines at the same time, for so many seconds at most; what is not done then is cancelled.

    Raises:
        Exception: what the first of them raised that was done.
    """
    tasks = [asyncio.create_task(each) for each in work]
    if not tasks:
        return
    try:
        finished, _ = await asyncio.wait(tasks, timeout=seconds)
    finally:
        # Also when this call is cancelled: nobody goes on behind the back of what comes next.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in finished:
        task.result()


def verdict(everything: Sequence[jobs.ServerProgress]) -> None:
    """Raise StepFailedError if a server did not get through."""
    found = failures(everything)
    if found:
        raise StepFailedError(found)


def failures(everything: Sequence[jobs.ServerProgress]) -> list[errors.Failure]:
    """What has stopped servers for good."""
    return [each.failure for each in everything if each.failure is not None]


async def kill(
    everything: Sequence[jobs.ServerProgress],
    access: ssh.Access,
    key: jobs.StepKey,
    unconfirmed: set[names.ServerName] | None = None,
) -> None:
    """End what is running on every server, children included. A server that does not answer is let be.

    Args:
        everything: how far the servers are.
        access: how they are reached.
        key: of the try whose jobs are ended. What another try follows by now is left alone.
        unconfirmed: filled with the servers on which something may run; who has confirmed the end is taken out.
    """
    unconfirmed = set() if unconfirmed is None else unconfirmed
    unconfirmed.update(each.target.name for each in everything if each.generation and not each.done)

    async def one(progress: jobs.ServerProgress) -> None:
        agent = job_runner.Agent(progress.target, access)
        with contextlib.suppress(errors.GantryError):
            await agent.kill(progress, key)
            unconfirmed.discard(progress.target.name)
        await _forget_secrets(agent, progress)

    await asyncio.gather(*(one(each) for each in everything))


async def _prepare(
    agent: job_runner.Agent,
    progress: jobs.ServerProgress,
    decide: Decide,
    output: jobs.Output,
    questions: Questions,
    witness: Witness | None,
) -> None:
    async def attempt() -> None:
        async with agent.open() as server:
            checked = questions.checked
            healthy = checked is not None and await check(server, checked) == OK
            sums = await digests(server, questions.files)
            applied = Applied(await marks(server), healthy, sums)
            work = decide(agent.target, applied)
            # Before the files are there: whoever is stopped now has to know them.
            progress.jobs, progress.held = work.jobs, bool(work.held)
            for each in work.held:
                output(agent.target.name, each.text)
            if witness is not None:
                await witness(server, agent.target, applied, work)
            await server.put(work.files)

    await _reconnecting(attempt, agent.target.name, output)


async def _reconnecting(
    attempt: Callable[[], Awaitable[T]], server: names.ServerName, output: jobs.Output
) -> T:
    """Repeat what may be repeated until the connection holds. The caller's timeout ends it."""
    last: agent_errors.ConnectionLostError | None = None
    try:
        while True:
            try:
                return await attempt()
            except agent_errors.ConnectionLostError as error:
                if last is None or error.reason != last.reason:
                    output(server, f"{error.reason}; connecting again")
                last = error
                await asyncio.sleep(1)
    except asyncio.CancelledError:
        if last is not None:
            raise last from None
        raise


async def digests(server: session.Session, paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 sums (hexadecimal) of those of the files that are there and hold something."""
    if not paths:
        return {}
    listing = await server.run(f"{session.BIN}/digests", *paths)
    return {path: digest for digest, path in session.pairs(listing)}


async def check(server: session.Session, service: names.ServiceId, *, quiet: bool = False) -> str:
    """What a service's check says: `OK`, or what is wrong.

    Args:
        server: where the service runs.
        service: its id.
        quiet: leave no line in the agent's journal.
    """
    # A check that hangs is an answer too: the service wants to be restarted.
    limit = ("timeout", "--kill-after=5", _CHECK_SECONDS)
    environment = ("env", "GANTRY_QUIET=1") if quiet else ()
    try:
        answer = await server.run(*environment, *limit, f"{session.BIN}/checkService", service)
    except agent_errors.CommandError as error:
        said = error.output.strip()
        # A check that fails is not OK, whatever it says.
        return said if said not in ("", OK) else f"it ended with exit code {error.code}"
    return answer.strip()


async def _forget_secrets(agent: job_runner.Agent, progress: jobs.ServerProgress) -> None:
    """Remove the files of jobs that will not run now.

    A job that was started removes its own when it ends; behind a lost connection it may still need them.
    """
    first = progress.index + (1 if progress.started else 0)
    waiting = [path for job in progress.jobs[first:] for path in job.secrets]
    if waiting:
        with contextlib.suppress(errors.GantryError):
            async with agent.open() as server:
                await server.run("rm", "-f", "--", *waiting)
