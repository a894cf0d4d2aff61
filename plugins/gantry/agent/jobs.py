"""Run-once jobs: scripts that run at most once each, whatever dies in between, and that can be followed.

The server keeps the truth (`/enstratus/bin/job`): whether a job was started, its log, its exit code. Everything
here can therefore be repeated: a lost connection is opened again, a retried task finds the same jobs, and the
triggerer goes on where the worker stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from gantry import errors as root
from gantry import names
from gantry.agent import errors, session, ssh

_TAIL_LINES = 20
_TAIL_BYTES = 16384
_LONGEST_LINE = 65536
"""Bytes after which a line is given out in parts: some programs never end theirs."""

_KILL_GRACE = "3"
_CONCLUDED = "concluded"
"""Nobody's epoch. After it also a retry gets the step's jobs anew, and not only who clears the task."""

_HOLDS = 10.0
"""Seconds after which a connection counts as one that held."""

Output = Callable[[names.ServerName, str], None]
"""Takes one line of a script's output, as it comes."""


_MOST_KEPT = 2000
"""Lines of a log that are kept for its reader at most: they travel with a step."""


class Reader(Protocol):
    """Makes sense of what a step's scripts print."""

    def keeps(self, line: str) -> bool:
        """Whether a line is wanted at the end."""
        ...

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:
        """A script's failure, worded from the lines that were kept."""
        ...


@dataclasses.dataclass(frozen=True)
class Job:
    """One script call on one server.

    Attributes:
        name: unique among the jobs of its step on this server.
        timeout: seconds after which its process group is killed.
        remove: files that go when the job ends, however it ends.
        mark: a key and a value that the server notes when the job succeeds.
        unmark: keys of notes that stop being true when the job begins.
        conclusive: its failure is the step's result (the service was started and is not healthy). Whoever
            clears or retries the task then gets the step's jobs anew, those that succeeded too.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    timeout: float
    remove: tuple[str, ...] = ()
    mark: tuple[str, str] | None = None
    unmark: tuple[str, ...] = ()
    conclusive: bool = False

    @property
    def call(self) -> str:
        """The call as people read it. Arguments hold no secrets."""
        return " ".join((self.script, *self.arguments))

    def options(self) -> tuple[str, ...]:
        """The options of `job start`."""
        return (
            *(part for path in self.remove for part in ("--remove", path)),
            *(("--mark", "=".join(self.mark)) if self.mark else ()),
            *(part for key in self.unmark for part in ("--unmark", key)),
        )


@dataclasses.dataclass(frozen=True)
class StepKey:
    """What makes a step's jobs the same jobs again.

    Attributes:
        step: from the run and the step: the jobs of another run are other jobs.
        epoch: changes when a person clears the task. A step that had reported its result then runs anew;
            one that had not goes on where it stopped.
        attempt: changes with every try. A job that failed in an earlier try runs again.
    """

    step: str
    epoch: str
    attempt: str


@dataclasses.dataclass
class Progress:
    """How far one server is: the one thing here that changes.

    Attributes:
        generation: of the step on the server; empty before the first job.
        index: the job that is next, or runs.
        offset: bytes of its log that were given out, whole lines only.
        asked: whether the server was asked to start it. The answer may have been lost with a connection, or with
            the worker's attention, while the job ran.
        started: when it was started (seconds since 1970), or 0.
        error, passing: what stopped it for good, and whether that may go away by itself.
        kept: the lines that the step's reader wanted.
    """

    target: ssh.Target
    jobs: tuple[Job, ...]
    generation: str = ""
    index: int = 0
    offset: int = 0
    asked: bool = False
    started: float = 0.0
    error: str = ""
    passing: bool = False
    kept: list[str] = dataclasses.field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do here, for better or worse."""
        return bool(self.error) or self.index >= len(self.jobs)


class Agent:
    """A server's agent: commands and jobs over a connection that is opened again when it breaks."""

    def __init__(self, target: ssh.Target, access: ssh.Access, reader: Reader | None = None) -> None:
        self.target = target
        self._access = access
        self._reader = reader

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[session.Session]:
        """One connection, for commands that belong together."""
        async with ssh.connect(self.target, self._access) as connection:
            yield session.Session(connection, self.target, self._access.login.user)

    async def carry_out(self, progress: Progress, key: StepKey, output: Output) -> None:
        """Run the jobs that are left, one after the other, and note that the step has its result.

        May be cancelled at any point and called again with the same progress.

        Raises:
            ScriptFailedError, ScriptTimeoutError: a job did not succeed.
            ServerError: the server could not be worked with.
        """
        lost_since: float | None = None
        said = ""
        while True:
            connected: float | None = None
            try:
                async with self.open() as server:
                    connected = time.monotonic()
                    await self._carry_out(server, progress, key, output)
                    return
            except errors.ConnectionLostError as error:
                now = time.monotonic()
                if lost_since is None or (connected is not None and now - connected > _HOLDS):
                    lost_since, said = now, ""
                if now - lost_since > self._access.patience:
                    raise
                if error.reason != said:
                    output(self.target.name, f"{error.reason}; connecting again")
                    said = error.reason
                await asyncio.sleep(1)

    async def kill(self, progress: Progress, key: StepKey) -> None:
        """End the job that is running, with all its children."""
        if progress.generation and not progress.done:
            async with self.open() as server:
                await self._kill(server, progress, key)

    async def _carry_out(
        self, server: session.Session, progress: Progress, key: StepKey, output: Output
    ) -> None:
        if not progress.generation:
            progress.generation = (
                await server.run(f"{session.BIN}/job", "open", key.step, key.epoch)
            ).strip()
        while progress.index < len(progress.jobs):
            job = progress.jobs[progress.index]
            try:
                await self._one(server, progress, key, output)
            except errors.ScriptFailedError:
                if job.conclusive:
                    await self._close(server, progress, key, _CONCLUDED)
                raise
            # Before it counts as done: what is done is not looked at again.
            if job is progress.jobs[-1]:
                await self._close(server, progress, key, key.epoch)
            progress.index, progress.offset = progress.index + 1, 0
            progress.asked, progress.started = False, 0.0

    async def _close(self, server: session.Session, progress: Progress, key: StepKey, epoch: str) -> None:
        """Note that the step has its result: whoever comes with another epoch begins a new generation."""
        await server.run(f"{session.BIN}/job", "close", f"{key.step}/{progress.generation}", epoch)

    async def _one(self, server: session.Session, progress: Progress, key: StepKey, output: Output) -> None:
        job = progress.jobs[progress.index]
        identity = _identity(progress, key)
        if not progress.started:
            asked, progress.asked = progress.asked, True
            said = await server.run(
                f"{session.BIN}/job", "start", identity, key.attempt, *job.options(), "--", job.script, *job.arguments
            )  # fmt: skip
            # What ended since it was first asked for in this try has told nobody yet.
            if said.strip() == "succeeded" and not asked:
                output(self.target.name, f"{job.call}: done before, not run again")
                if self._reader is not None:
                    # Whoever ran it may have died before it read all of it.
                    await self._follow(server, progress, identity, output)
                return
            progress.started = time.time()
            output(self.target.name, f"$ {job.call}")
        overdue = False
        try:
            async with asyncio.timeout(max(progress.started + job.timeout - time.time(), 0)):
                ended = await self._follow(server, progress, identity, output)
        except TimeoutError:
            # It may have ended by itself while nobody was looking (the triggerer was down, say): then killing
            # does nothing, and its own result counts.
            overdue = (await self._kill(server, progress, key)).startswith("killed")
            ended = await self._follow(server, progress, identity, output)
        if overdue:
            tail = await self._tail(server, progress, identity)
            raise errors.ScriptTimeoutError(self.target.name, job.call, job.timeout, tail)
        if ended.code != 0 or ended.killed:
            tail = await self._tail(server, progress, identity)
            failure = errors.ScriptFailedError(
                self.target.name, job.call, ended.code, tail, killed=ended.killed
            )
            if self._reader is None or ended.killed or ended.code is None:
                raise failure
            raise self._reader.failure(failure, progress.kept) from failure

    async def _follow(
        self, server: session.Session, progress: Progress, identity: str, output: Output
    ) -> session.Ended:
        """Give out the job's log from where the last reader stopped, line by line, until it has ended."""

        def on_line(line: str) -> None:
            if self._reader is not None and self._reader.keeps(line):
                progress.kept.append(line)
                # The end is what tells how it went.
                del progress.kept[:-_MOST_KEPT]
            output(self.target.name, line)

        lines = _Lines(on_line)

        def on_output(chunk: bytes) -> None:
            progress.offset += lines.feed(chunk)

        ended = await server.follow(identity, progress.offset, on_output)
        progress.offset += lines.end()
        return ended

    async def _kill(self, server: session.Session, progress: Progress, key: StepKey) -> str:
        """End a job with all its children; how it ended, as `job status` says it."""
        return await server.run(f"{session.BIN}/job", "kill", _identity(progress, key), _KILL_GRACE)

    async def _tail(self, server: session.Session, progress: Progress, identity: str) -> str:
        """The end of an ended job's log, read anew: this connection may have seen only a part of it."""
        begin = max(0, progress.offset - _TAIL_BYTES)
        log = bytearray()
        with contextlib.suppress(errors.ConnectionLostError):
            await server.follow(identity, begin, log.extend)
        lines = log.decode(errors="replace").splitlines()
        # Where it does not begin with the log, the first line is only the end of one.
        return "\n".join((lines[1:] or lines if begin else lines)[-_TAIL_LINES:])


class _Lines:
    """Cuts a stream of bytes into lines; a last line without an end comes out at the end.

    `feed` and `end` tell how many bytes they gave out, so that a reader who takes over begins with a whole line.
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


def _identity(progress: Progress, key: StepKey) -> str:
    return f"{key.step}/{progress.generation}/{progress.jobs[progress.index].name}"
