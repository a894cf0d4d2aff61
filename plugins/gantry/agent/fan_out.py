"""Jobs on several servers in parallel: each server proceeds at its own pace, independently of the others."""

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
"""Output of the check of a healthy service."""


@dataclasses.dataclass(frozen=True)
class Held:
    """A change that is not applied because only a person may decide about it.

    Attributes:
        key: the key of the mark that names the current state.
        text: what has changed, why nothing is done, and how to apply it, in one line.
    """

    key: str
    text: str


@dataclasses.dataclass(frozen=True)
class Work:
    """A step's work on one server: first files, then jobs; and changes that are held back."""

    files: tuple[session.RemoteFile, ...] = ()
    jobs: tuple[jobs.Job, ...] = ()
    held: tuple[Held, ...] = ()


@dataclasses.dataclass(frozen=True)
class Applied:
    """A server's own report.

    Attributes:
        marks: the marks that succeeded jobs have left there.
        healthy: whether the check of the service in question succeeds.
        digests: SHA-256 digests (hexadecimal) of the files in question, by path, without missing and empty ones.
    """

    marks: Mapping[str, str]
    healthy: bool = False
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Questions:
    """What a server is asked besides its marks: a service's check, the digests of files."""

    checked: names.ServiceId | None = None
    files: tuple[str, ...] = ()


Decide = Callable[[ssh.Target, Applied], Work]
"""Returns the remaining work for a server and its report of what is applied there."""


Witness = Callable[[session.Session, ssh.Target, Applied, Work], Awaitable[None]]
"""Called after a server's work is decided and before it begins. Called again if the connection breaks."""


class StepFailedError(errors.GantryError):
    """A step failed on one or more servers; it succeeded on the others."""

    def __init__(self, failures: Sequence[errors.Failure]) -> None:
        self._failures = tuple(failures)
        self.transient = all(each.transient for each in failures)
        super().__init__("\n".join(map(str, failures)))

    @property
    def failures(self) -> tuple[errors.Failure, ...]:
        """The failure of each server that failed."""
        return self._failures


def begin(targets: Sequence[ssh.Target], until: float = 0.0) -> list[jobs.ServerProgress]:
    """Return the initial progress of servers. `until`: see `jobs.ServerProgress`."""
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
    """Ask every server what is applied there, decide about the remaining work, and write the files.

    If a server cannot be prepared within its patience, its error is stored; the others continue. After an
    interruption, `everything` has what `kill` needs to remove the files. With `kept`, the connections to servers with
    remaining work stay open for `carry_out`.
    """

    async def one(progress: jobs.ServerProgress) -> None:
        agent = job_runner.Agent(progress.target, access, kept=kept)
        try:
            async with asyncio.timeout(access.patience) as limit:
                await _prepare(agent, progress, limit, decide, output, questions, witness)
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
    """Run the servers' jobs, for at most that many seconds; return whether all are done.

    Unfinished jobs continue on the servers; call again with the same progress to continue following them.
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
    """Run coroutines in parallel, for at most that many seconds; then cancel unfinished ones.

    Raises:
        Exception: the one raised by the first coroutine that failed.
    """
    tasks = [asyncio.create_task(each) for each in work]
    if not tasks:
        return
    try:
        finished, _ = await asyncio.wait(tasks, timeout=seconds)
    finally:
        # Also when this call is cancelled: no coroutine may continue in the background.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in finished:
        task.result()


def verdict(everything: Sequence[jobs.ServerProgress]) -> None:
    """Raise StepFailedError if a server failed."""
    found = failures(everything)
    if found:
        raise StepFailedError(found)


def failures(everything: Sequence[jobs.ServerProgress]) -> list[errors.Failure]:
    """Return the failures of the servers that failed for good."""
    return [each.failure for each in everything if each.failure is not None]


async def kill(
    everything: Sequence[jobs.ServerProgress],
    access: ssh.Access,
    key: jobs.StepKey,
    unconfirmed: set[names.ServerName] | None = None,
) -> None:
    """Kill the running jobs, with their children, on every server. A server that does not answer is skipped.

    Args:
        everything: the servers' progress.
        access: the login for them.
        key: identifies the try whose jobs are killed. Jobs that another try has taken over are not.
        unconfirmed: filled with the servers on which jobs may be running; those that confirm the end are removed from
            it.
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
    limit: asyncio.Timeout,
    decide: Decide,
    output: jobs.Output,
    questions: Questions,
    witness: Witness | None,
) -> None:
    async def attempt() -> None:
        async with agent.open(ssh.LoginProgress(limit)) as server:
            checked = questions.checked
            healthy = checked is not None and await check(server, checked) == OK
            sums = await digests(server, questions.files)
            applied = Applied(await marks(server), healthy, sums)
            work = decide(agent.target, applied)
            # Before the files are written: if the task is stopped now, it has to know them.
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
    """Retry an idempotent operation until the connection holds. The caller's timeout ends it."""
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
    """Return SHA-256 digests (hexadecimal) of those files that exist and are not empty."""
    if not paths:
        return {}
    listing = await server.run(f"{session.BIN}/digests", *paths)
    return {path: digest for digest, path in session.pairs(listing)}


async def check(server: session.Session, service: names.ServiceId, *, quiet: bool = False) -> str:
    """Return the output of a service's check: `OK`, or what is wrong.

    Args:
        server: the server on which the service runs.
        service: the service's id.
        quiet: whether to write no line to the agent's journal.
    """
    # A check that hangs counts as a failure: the service has to be restarted.
    limit = ("timeout", "--kill-after=5", _CHECK_SECONDS)
    environment = ("env", "GANTRY_QUIET=1") if quiet else ()
    try:
        answer = await server.run(*environment, *limit, f"{session.BIN}/checkService", service)
    except agent_errors.CommandError as error:
        said = error.output.strip()
        # A failing check is not OK, whatever it prints.
        return said if said not in ("", OK) else f"it ended with exit code {error.code}"
    return answer.strip()


async def _forget_secrets(agent: job_runner.Agent, progress: jobs.ServerProgress) -> None:
    """Remove the files of jobs that will not run now.

    A job that was started removes its own when it ends; after a lost connection it may still need them.
    """
    first = progress.index + (1 if progress.started else 0)
    waiting = [path for job in progress.jobs[first:] for path in job.secrets]
    if waiting:
        with contextlib.suppress(errors.GantryError):
            async with agent.open() as server:
                await server.run("rm", "-f", "--", *waiting)
