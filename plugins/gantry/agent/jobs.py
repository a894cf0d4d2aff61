"""Run-once jobs: scripts that run at most once despite crashes; and a server's progress through its jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from gantry import errors as root
from gantry import names
from gantry.agent import errors, ssh

Output = Callable[[names.ServerName, str], None]
"""Receives the lines of a script's output, one by one."""

MOST_REBOOTS = 3
"""Maximum number of server reboots during one step that count as intended."""


class Reader(Protocol):
    """Interprets the output of a step's scripts."""

    def keeps(self, line: str, kept: Sequence[str]) -> bool:
        """Return whether to keep a line until the end. `kept`: the lines kept before."""
        ...

    def failure(self, error: errors.ScriptFailedError, kept: Sequence[str]) -> root.GantryError:
        """Return a script's failure, worded from the kept lines."""
        ...


@dataclasses.dataclass(frozen=True)
class PresignedLink:
    """A presigned URL that a job uses. It is a secret, and created just before the job starts.

    Attributes:
        path: the file on the server that it is written to.
        url: the object, `s3://…`.
        upload: whether the server uploads the object instead of downloading it.
    """

    path: str
    url: str
    upload: bool = False


class LinkMaker(Protocol):
    """Creates presigned URLs."""

    @property
    def whose(self) -> str:
        """Return whose credentials sign them, for people."""
        ...

    def link(self, url: str, *, upload: bool = False, renewed: bool = False) -> str:
        """Return a URL for an object. Blocks. `renewed`: reload the credentials first. Raises GantryError."""
        ...


@dataclasses.dataclass(frozen=True)
class Job:
    """One script call on one server.

    Attributes:
        name: unique among the jobs of its step on this server.
        timeout: seconds after which its process group is killed.
        remove: files to remove when the job ends, with any result.
        mark: a key and a value that the server records when the job succeeds.
        unmark: keys of marks that become invalid when the job starts.
        notes: marks that the script itself writes when it succeeds (see `contents`): keys, and values as far as they
            are known beforehand.
        forgets: keys of marks that the script itself removes before it changes anything.
        conclusive: whether its failure is the step's result (the service was started and is not healthy). A cleared or
            retried task then runs all of the step's jobs again, including those that succeeded.
        link: what it downloads or uploads, if anything.
        kept: files that it needs once more if its link has expired. Otherwise its script removes them.
        outlives_reboots: whether it is rerun after a reboot of the server. Rerunning it must be harmless.
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
        """Return the files that have to be removed if it does not run."""
        return (*self.remove, *self.kept)

    @property
    def longest(self) -> float:
        """Return the maximum duration in seconds: each run has its timeout."""
        return self.timeout * (1 + MOST_REBOOTS if self.outlives_reboots else 1)

    @property
    def call(self) -> str:
        """Return the call for people. Arguments contain no secrets."""
        return " ".join((self.script, *self.arguments))

    @property
    def noted(self) -> tuple[tuple[str, str], ...]:
        """Return all expected marks after the job has succeeded; the job's own comes first."""
        return (*self.notes, *((self.mark,) if self.mark else ()))

    def options(self, *, last: bool = False) -> tuple[str, ...]:
        """Return the options of `job start`. `last`: whether it gets no other link."""
        remove = self.secrets if last else self.remove
        return (
            *(part for path in remove for part in ("--remove", path)),
            *(("--mark", "=".join(self.mark)) if self.mark else ()),
            *(part for key in self.unmark for part in ("--unmark", key)),
        )


@dataclasses.dataclass(frozen=True)
class StepKey:
    """Identifies a step's jobs across tries.

    Attributes:
        step: derived from the run and the step: the jobs of another run are different jobs.
        epoch: changes when a person clears the task. A step that had reported its result then runs again; one that had
            not resumes where it stopped.
        attempt: changes with every try. A job that failed in an earlier try runs again.
    """

    step: str
    epoch: str
    attempt: str


@dataclasses.dataclass
class ServerProgress:
    """The progress of one server: the only mutable object here.

    Attributes:
        generation: the step's generation on the server; empty before the first job.
        index: the next or running job.
        offset: bytes of its log that were output, whole lines only.
        asked: whether the server was asked to start it. The answer may have been lost with a connection or with the
            worker, while the job ran.
        started: when it was started (seconds since 1970), or 0.
        renewed: whether its link was refused as expired once, and replaced.
        reboots: how often the server rebooted during a job that outlives reboots.
        until: when the run's time is up (seconds since 1970), or 0: a job's time limit ends then.
        failure: what stopped it for good, or None.
        kept: the lines that the step's reader keeps.
        held: whether a change is held back.
        found: the marks that scripts have written themselves, as read from the server.
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
        """Return whether nothing is left to do here, successfully or not."""
        return self.failure is not None or self.index >= len(self.jobs)


def after(before: Mapping[str, str], done: Iterable[Job]) -> dict[str, str]:
    """Return a server's expected marks after jobs have succeeded, given the marks before."""
    found = dict(before)
    for job in done:
        for key in (*job.unmark, *job.forgets):
            found.pop(key, None)
        found.update(job.noted)
    return found
