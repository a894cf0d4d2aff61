"""Runs jobs on a server and follows them, over connections that are reopened when they break.

The state is on the server (`/enstratus/bin/job`): whether a job was started, its log, its exit code. Everything here
can therefore be repeated: a lost connection is reopened, a retried task finds the same jobs, and the triggerer
continues where the worker stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable

from gantry import errors as root
from gantry.agent import connection_pool, errors, session, ssh
from gantry.agent.jobs import MOST_REBOOTS, LinkMaker, Output, Reader, ServerProgress, StepKey

_TAIL_LINES = 20
_TAIL_BYTES = 16384
_LONGEST_LINE = 65536
"""Maximum bytes of a line before it is split: some programs never end theirs."""

_KILL_GRACE = "3"
_MARGIN = 120.0
"""Seconds beyond a job's timeout after which the server kills it, if its follower has not."""

_CONCLUDED = "concluded"
"""An epoch that no try has. It makes a retry run the step's jobs again, not only a cleared task."""

_RENEWED = "renewed"
"""The attempt of a job whose first link was refused."""

_HOLDS = 10.0
"""Seconds after which a connection counts as stable."""

_MOST_KEPT = 2000
"""Maximum number of log lines kept for the reader: they are passed on with the step."""

_CONCLUSIONS = (
    errors.ScriptFailedError,
    errors.ScriptTimeoutError,
    errors.RunOverError,
    errors.NoLinkError,
    errors.LinkEndedError,
)
"""Errors that end a job for good. After a lost connection, the job may continue."""


class Agent:
    """A server's agent: runs commands and jobs over a connection that is reopened when it breaks."""

    def __init__(
        self,
        target: ssh.Target,
        access: ssh.Access,
        reader: Reader | None = None,
        links: LinkMaker | None = None,
        kept: connection_pool.Lines | None = None,
    ) -> None:
        self.target = target
        self._access = access
        self._reader = reader
        self._links = links
        self._kept = kept

    @contextlib.asynccontextmanager
    async def open(self, way: ssh.LoginProgress | None = None) -> AsyncIterator[session.Session]:
        """Yield a connection for consecutive commands; an existing one, if connections are kept.

        Args:
            way: see `ssh.connect`.
        """
        if self._kept is not None:
            async with self._kept.to(self.target, self._access, way) as server:
                yield server
            return
        async with ssh.connect(self.target, self._access, way) as connection:
            yield session.Session(connection, self.target, self._access.login)

    async def carry_out(self, progress: ServerProgress, key: StepKey, output: Output) -> None:
        """Run the remaining jobs one after the other, and record that the step has a result.

        May be cancelled at any point and called again with the same progress.

        Raises:
            ScriptFailedError, ScriptTimeoutError: a job did not succeed.
            ServerError: the connection or a command failed.
        """
        lost_since: float | None = None
        said = ""
        while True:
            connected: float | None = None
            way = ssh.LoginProgress()
            try:
                async with self.open(way) as server:
                    connected = time.monotonic()
                    await self._carry_out(server, progress, key, output)
                    return
            except errors.ConnectionLostError as error:
                now = time.monotonic()
                if lost_since is None or (connected is not None and now - connected > _HOLDS):
                    lost_since, said = now, ""
                else:
                    # While others log in, nothing is known of this one.
                    lost_since += way.waited
                if now - lost_since > self._access.patience:
                    raise
                if error.reason != said:
                    output(self.target.name, f"{error.reason}; connecting again")
                    said = error.reason
                await asyncio.sleep(1)

    async def kill(self, progress: ServerProgress, key: StepKey) -> None:
        """Kill the running job with all its children, unless another try has taken it over."""
        if progress.generation and not progress.done:
            async with self.open() as server:
                mine = f"GANTRY_JOB_ATTEMPT={_attempt(progress, key)}"
                ended = await self._kill(server, progress, key, mine)
                if ended.startswith("killed") and progress.jobs[progress.index].kept:
                    # The inputs of the job are gone with it, and are created again by the jobs before it.
                    await self._close(server, progress, key, _CONCLUDED)

    async def _carry_out(
        self, server: session.Session, progress: ServerProgress, key: StepKey, output: Output
    ) -> None:
        if not progress.generation:
            progress.generation = (
                await server.run(f"{session.BIN}/job", "open", key.step, key.epoch)
            ).strip()
        while progress.index < len(progress.jobs):
            job = progress.jobs[progress.index]
            try:
                await self._one(server, progress, key, output)
            except _CONCLUSIONS:
                if job.conclusive:
                    await self._close(server, progress, key, _CONCLUDED)
                raise
            if job.notes:
                progress.found |= await marks(server, job.notes[0][0].partition("/")[0])
            # Before it counts as done: finished jobs are not read again.
            if job is progress.jobs[-1]:
                await self._close(server, progress, key, key.epoch)
            progress.index, progress.offset = progress.index + 1, 0
            progress.asked, progress.started, progress.renewed = False, 0.0, False

    async def _close(
        self, server: session.Session, progress: ServerProgress, key: StepKey, epoch: str
    ) -> None:
        """Record that the step has its result: a call with another epoch starts a new generation."""
        await server.run(f"{session.BIN}/job", "close", f"{key.step}/{progress.generation}", epoch)

    async def _one(
        self, server: session.Session, progress: ServerProgress, key: StepKey, output: Output
    ) -> None:
        job = progress.jobs[progress.index]
        is_of_another_try = False
        if not progress.started:
            if _limit(progress) <= 0:
                raise errors.RunOverError(self.target.name, job.call)
            await self._put_link(server, progress)
            asked, progress.asked = progress.asked, True
            said = await self._start(server, progress, key)
            # The end of a job that was first requested in this try has not been reported yet.
            if said == "succeeded" and not asked:
                output(self.target.name, f"{job.call}: done before, not run again")
                if self._reader is not None:
                    # The process that ran it may have died before it read all of the output.
                    await self._follow(server, progress, _identity(progress, key), output)
                return
            is_of_another_try = said == "running" and not asked
            progress.started = time.time()
            output(self.target.name, f"$ {job.call}")
        ended, overdue = await self._await_end(server, progress, key, output)
        # A person cleared the task, and only now the previous try killed the script: it runs again.
        if is_of_another_try and ended.killed:
            # Its inputs were removed when it ended.
            await self._put_link(server, progress)
            if await self._start(server, progress, key) == "started":
                progress.offset, progress.started = 0, time.time()
                ended, overdue = await self._await_end(server, progress, key, output)
        if ended.code is None and not overdue and job.outlives_reboots and progress.reboots < MOST_REBOOTS:
            progress.asked, progress.started, progress.offset = False, 0.0, 0
            progress.reboots += 1
            output(self.target.name, "the server was restarted meanwhile: running it again")
            await self._one(server, progress, key, output)
            return
        if overdue or ended.killed or ended.code != 0:
            tail = await self._tail(server, progress, _identity(progress, key))
            if not overdue and self._renew(progress, ended, tail):
                output(self.target.name, "its link has expired: running it again with a new one")
                await self._one(server, progress, key, output)
                return
            raise self._failure(progress, ended, tail, overdue=overdue)

    async def _await_end(
        self, server: session.Session, progress: ServerProgress, key: StepKey, output: Output
    ) -> tuple[session.JobEnd, bool]:
        """Follow a job to its end, or kill it when its time is up; return its end and whether time was up."""
        identity = _identity(progress, key)
        try:
            async with asyncio.timeout(max(progress.started + _limit(progress) - time.time(), 0)):
                return await self._follow(server, progress, identity, output), False
        except TimeoutError:
            # It may have ended by itself while it was not followed (the triggerer was down, say): then killing does
            # nothing, and its own result counts.
            overdue = (await self._kill(server, progress, key)).startswith("killed")
            return await self._follow(server, progress, identity, output), overdue

    def _failure(
        self, progress: ServerProgress, ended: session.JobEnd, tail: str, *, overdue: bool
    ) -> root.GantryError:
        job, name = progress.jobs[progress.index], self.target.name
        if overdue and _limit(progress) < job.timeout:
            return errors.RunOverError(name, job.call, tail)
        if overdue:
            return errors.ScriptTimeoutError(name, job.call, job.timeout, tail)
        if (
            job.link is not None
            and self._links is not None
            and progress.renewed
            and _is_link_ended(ended, tail)
        ):
            return errors.LinkEndedError(name, job.link.url, self._links.whose, tail)
        failure = errors.ScriptFailedError(name, job.call, ended.code, tail, killed=ended.killed)
        if self._reader is None or ended.killed or ended.code is None:
            return failure
        worded = self._reader.failure(failure, progress.kept)
        worded.__cause__ = failure
        return worded

    async def _put_link(self, server: session.Session, progress: ServerProgress) -> None:
        """Write the job's link to the server. The job has not started, so this may be repeated."""
        job = progress.jobs[progress.index]
        if job.link is None:
            return
        if self._links is None:
            raise LookupError(f"{job.name} needs a download link, and none was created")
        try:
            link = await asyncio.to_thread(
                self._links.link, job.link.url, upload=job.link.upload, renewed=progress.renewed
            )
        except root.GantryError as error:
            raise errors.NoLinkError(self.target.name, error) from error
        await server.put((session.RemoteFile(job.link.path, f"{link}\n".encode()),))

    def _renew(self, progress: ServerProgress, ended: session.JobEnd, tail: str) -> bool:
        """Rerun a job whose first link was refused as expired; return whether it reruns."""
        job = progress.jobs[progress.index]
        if job.link is None or self._links is None or progress.renewed or not _is_link_ended(ended, tail):
            return False
        progress.asked, progress.started, progress.offset, progress.renewed = False, 0.0, 0, True
        return True

    async def _follow(
        self, server: session.Session, progress: ServerProgress, identity: str, output: Output
    ) -> session.JobEnd:
        """Output the job's log, line by line, from where the last reader stopped until the job has ended."""

        def on_line(line: str) -> None:
            if self._reader is not None and self._reader.keeps(line, progress.kept):
                progress.kept.append(line)
                # The end of the log shows how it went.
                del progress.kept[:-_MOST_KEPT]
            output(self.target.name, line)

        lines = _Lines(on_line)

        def on_output(chunk: bytes) -> None:
            progress.offset += lines.feed(chunk)

        ended = await server.follow(identity, progress.offset, on_output)
        progress.offset += lines.end()
        return ended

    async def _start(self, server: session.Session, progress: ServerProgress, key: StepKey) -> str:
        """Start a job, once; return the output of `job start`."""
        job = progress.jobs[progress.index]
        # Passed as an environment variable, which an older Gantry's agent ignores.
        deadline = ("env", f"GANTRY_JOB_SECONDS={math.ceil(_limit(progress) + _MARGIN)}")
        start = (f"{session.BIN}/job", "start", _identity(progress, key), _attempt(progress, key))
        options = job.options(last=progress.renewed)
        said = await server.run(*deadline, *start, *options, "--", job.script, *job.arguments)
        return said.strip()

    async def _kill(
        self, server: session.Session, progress: ServerProgress, key: StepKey, *environment: str
    ) -> str:
        """Kill a job with all its children; return its end as reported by `job status`."""
        kill = (f"{session.BIN}/job", "kill", _identity(progress, key), _KILL_GRACE)
        return await server.run(*(("env", *environment) if environment else ()), *kill)

    async def _tail(self, server: session.Session, progress: ServerProgress, identity: str) -> str:
        """Read the end of a finished job's log again: this connection may have seen only a part of it."""
        begin = max(0, progress.offset - _TAIL_BYTES)
        log = bytearray()
        with contextlib.suppress(errors.ConnectionLostError):
            await server.follow(identity, begin, log.extend)
        lines = log.decode(errors="replace").splitlines()
        # Unless it starts at the beginning of the log, the first line is incomplete.
        return "\n".join((lines[1:] or lines if begin else lines)[-_TAIL_LINES:])


class _Lines:
    """Splits a stream of bytes into lines; an unterminated last line is output at the end.

    `feed` and `end` return how many bytes they output, so that the next reader starts with a whole line.
    """

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, chunk: bytes) -> int:
        before = len(self._rest) + len(chunk)
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        for line in whole:
            self._on_line(line.decode(errors="replace").rstrip("\r"))
        while len(self._rest) >= _LONGEST_LINE:
            self._on_line(self._rest[:_LONGEST_LINE].decode(errors="replace"))
            self._rest = self._rest[_LONGEST_LINE:]
        return before - len(self._rest)

    def end(self) -> int:
        given = len(self._rest)
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
            self._rest = b""
        return given


async def marks(server: session.Session, prefix: str = "") -> dict[str, str]:
    """Return the server's marks at or below a prefix."""
    listing = await server.run(f"{session.BIN}/marks", *((prefix,) if prefix else ()))
    return dict(session.pairs(listing))


def _identity(progress: ServerProgress, key: StepKey) -> str:
    return f"{key.step}/{progress.generation}/{progress.jobs[progress.index].name}"


def _attempt(progress: ServerProgress, key: StepKey) -> str:
    """Return the server's name for the try. A failed job reruns only under another attempt."""
    renewed = f".{_RENEWED}" if progress.renewed else ""
    rebooted = f".reboot{progress.reboots}" if progress.reboots else ""
    return f"{key.attempt}{renewed}{rebooted}"


def _is_link_ended(ended: session.JobEnd, tail: str) -> bool:
    return not ended.killed and ended.code == session.LINK_ENDED and session.is_link_ended(tail)


def _limit(progress: ServerProgress) -> float:
    """Return the seconds that the job may take from its start: its own limit, or until the run's time is up."""
    own = progress.jobs[progress.index].timeout
    return min(own, progress.until - (progress.started or time.time())) if progress.until else own
