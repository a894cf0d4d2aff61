"""Run-once jobs: scripts that run at most once each, whatever dies in between; and how far a server is with its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gantry import errors as root
from gantry import names
from gantry.agent import errors, ssh

Output = Callable[[names.ServerName, str], None]
"""Takes one line of a script's output, as it comes."""

MOST_REBOOTS = 3
"""Restarts of a server under one step that are taken for what was asked for."""


class Reader(Protocol):
    """Makes sense of what a step's scripts print."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:
        """Whether a line is wanted at the end. `kept`: what was wanted before it."""
        ...

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:
        """A script's failure, worded from the lines that were kept."""
        ...


@dataclasses.dataclass(frozen=True)
class PresignedLink:
    """A presigned URL that a job works with. It is a secret, and made when the job's turn has come.

    Attributes:
        path: the file on the server that it is put into.
        url: the object, `s3://…`.
        upload: whether the server puts the object, and does not fetch it.
    """

    path: str
    url: str
    upload: bool = False


class LinkMaker(Protocol):
    """Makes presigned URLs."""

    @property
    def whose(self) -> str:
        """Whose credentials they are signed with, for a person."""
        ...

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        """A URL for an object. Blocks. `renewed`: with credentials that are read again. Raises GantryError."""
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
        notes: what the script itself notes when it succeeds (see `contents`): keys, and values as far as they are
            known beforehand.
        forgets: keys of notes that the script itself removes before it changes anything.
        conclusive: its failure is the step's result (the service was started and is not healthy). Whoever
            clears or retries the task then gets the step's jobs again, those that succeeded too.
        link: what it fetches or puts, if anything.
        kept: files that it needs once more if its link has ended. Otherwise its script removes them.
        outlives_reboots: whether it is run again when the server was restarted under it. It must do no harm by that.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    timeout: float
    remove: tuple[str, ...] = ()
    mark: tuple[str, str] | None = None
    unmark: tuple[str, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    forgets: tuple[str, ...] = ()
    conclusive: bool = False
    link: PresignedLink | None = None
    kept: tuple[str, ...] = ()
    outlives_reboots: bool = False

    @property
    def secrets(self) -> tuple[str, ...]:
        """The files that have to go if it does not run."""
        return (*self.remove, *self.kept)

    @property
    def longest(self) -> float:
        """Seconds that it may take in all: each run has its timeout."""
        return self.timeout * (1 + MOST_REBOOTS if self.outlives_reboots else 1)

    @property
    def call(self) -> str:
        """The call as people read it. Arguments hold no secrets."""
        return " ".join((self.script, *self.arguments))

    @property
    def noted(self) -> tuple[tuple[str, str], ...]:
        """All that the server is expected to note when the job has succeeded; what the job is about comes first."""
        return (*self.notes, *((self.mark,) if self.mark else ()))

    def options(self, *, last: bool = False) -> tuple[str, ...]:
        """The options of `job start`. `last`: whether it gets no other link."""
        remove = self.secrets if last else self.remove
        return (
            *(part for path in remove for part in ("--remove", path)),
            *(("--mark", "=".join(self.mark)) if self.mark else ()),
            *(part for key in self.unmark for part in ("--unmark", key)),
        )


@dataclasses.dataclass(frozen=True)
class StepKey:
    """What makes a step's jobs the same jobs again.

    Attributes:
        step: from the run and the step: the jobs of another run are other jobs.
        epoch: changes when a person clears the task. A step that had reported its result then runs again;
            one that had not goes on where it stopped.
        attempt: changes with every try. A job that failed in an earlier try runs again.
    """

    step: str
    epoch: str
    attempt: str


@dataclasses.dataclass
class ServerProgress:
    """How far one server is: the one thing here that changes.

    Attributes:
        generation: of the step on the server; empty before the first job.
        index: the job that is next, or runs.
        offset: bytes of its log that were given out, whole lines only.
        asked: whether the server was asked to start it. The answer may have been lost with a connection, or with
            the worker's attention, while the job ran.
        started: when it was started (seconds since 1970), or 0.
        renewed: whether its link was refused once, as one that has ended, and it has got another one.
        reboots: how often the server was restarted under a job that outlives it.
        until: when the run's time is up (seconds since 1970), or 0: no job works longer than that.
        failure: what stopped it for good.
        kept: the lines that the step's reader wanted.
        held: whether something that has changed is left as it is.
        found: what the server has really noted for jobs whose scripts note something themselves.
    """

    target: ssh.Target
    jobs: tuple[Job, ...]
    generation: str = ""
    index: int = 0
    offset: int = 0
    asked: bool = False
    started: float = 0.0
    renewed: bool = False
    reboots: int = 0
    until: float = 0.0
    failure: root.Failure | None = None
    kept: list[str] = dataclasses.field(default_factory=list)
    held: bool = False
    found: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left to do here, for better or worse."""
        return self.failure is not None or self.index >= len(self.jobs)


def after(before: Mapping[str, str], done: Iterable[Job]) -> dict[str, str]:
    """What a server is expected to have noted when jobs have succeeded, from what it has noted before."""
    found = dict(before)
    for job in done:
        for key in (*job.unmark, *job.forgets):
            found.pop(key, None)
        found.update(job.noted)
    return found
