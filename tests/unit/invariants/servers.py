"""Simulated servers: what the agent's scripts do there, as far as the control plane can see it; and what can happen to
a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any

from gantry.agent import agent_bundle, errors, session, ssh

if TYPE_CHECKING:
    from .cloud import S3
    from .stage import Stage

BOOT = 8.0
"""Seconds from its start to a server's running."""

_LONG = {"installDataSource": 60.0, "backupDataSource": 20.0}
"""Seconds that scripts take; all others take one."""


@dataclasses.dataclass(frozen=True)
class Content:
    """What a database holds: where it came from, and how often its customers have written to it since."""

    origin: str
    writes: int = 0

    @property
    def body(self) -> bytes:
        return f"{self.origin} with {self.writes} writes".encode()


@dataclasses.dataclass
class Job:
    """A job's folder on a server."""

    attempt: str
    script: str
    arguments: tuple[str, ...]
    mark: tuple[str, str] | None
    unmark: tuple[str, ...]
    ends: float
    state: str = "running"
    code: int = 0
    log: bytes = b""
    finish: Callable[[], None] = lambda: None


@dataclasses.dataclass
class Machine:
    """An instance, and the server on it."""

    id: str
    tags: dict[str, str]
    index: int
    token: str
    stage: Stage
    s3: S3
    listed_from: float
    begun: float
    address: str = ""
    stopped: bool = False
    ended: float | None = None
    dead: bool = False
    silent_until: float = 0.0
    impostor: bool = False
    cut: Callable[[], bool] = lambda: False
    has_agent: bool = False
    marks: dict[str, str] = dataclasses.field(default_factory=dict)
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    generations: dict[str, list[str | None]] = dataclasses.field(default_factory=dict)
    jobs: dict[str, Job] = dataclasses.field(default_factory=dict)
    services: set[str] = dataclasses.field(default_factory=set)
    data: dict[tuple[str, str], Content | None] = dataclasses.field(default_factory=dict)
    """By service id and datasource; None where a load has not come to its end."""

    written: dict[str, Content] = dataclasses.field(default_factory=dict)
    """Backups that are not uploaded yet, by file."""

    on_fill: Callable[[Machine, str, str, Any], None] = lambda *_: None
    on_filled: Callable[[Machine, str, str], None] = lambda *_: None
    on_change: Callable[[str], None] = lambda _: None
    on_probe: Callable[[Machine, bool], None] = lambda *_: None

    @property
    def launched(self) -> Any:
        return _moment(self.begun)

    @property
    def state(self) -> str:
        if self.ended is not None:
            return "shutting-down" if self.stage.clock - self.ended < BOOT else "terminated"
        if self.stopped:
            return "stopped"
        return "pending" if self.stage.clock - self.begun < BOOT else "running"

    @property
    def key(self) -> str:
        return f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5{hashlib.sha256(self.id.encode()).hexdigest()[:48]}"

    @property
    def is_well(self) -> bool:
        """Whether the server is there and does what it should, whatever is between it and us."""
        return self.state == "running" and not self.dead and self.stage.clock >= self.silent_until

    @property
    def answers(self) -> bool:
        """Whether who connects from Airflow gets an answer."""
        return self.is_well and not self.cut()

    def console(self) -> str:
        if self.state != "running" or self.dead:
            return ""
        begin, end = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"
        return f"{begin}\n{self.key}\n{end}\n"

    # --- what happens to it

    def terminate(self) -> None:
        self.ended = self.stage.clock
        self._lose_jobs()

    def start(self) -> None:
        if self.stopped:
            self.stopped, self.begun, self.dead = False, self.stage.clock, False

    def stop(self) -> None:
        self.stopped = True
        self._lose_jobs()

    def reboot(self, seconds: float) -> None:
        self.silent_until = self.stage.clock + seconds
        self._lose_jobs()

    def die(self) -> None:
        self.dead = True
        self._lose_jobs()

    def _lose_jobs(self) -> None:
        self.settle()
        for job in self.jobs.values():
            if job.state == "running":
                job.state = "lost"

    def settle(self) -> None:
        """Let jobs end whose time is over."""
        for job in self.jobs.values():
            if job.state == "running" and job.ends <= self.stage.clock:
                job.state = "succeeded"
                job.finish()
                if job.code:
                    job.state = "failed"
                elif job.mark is not None:
                    self.marks[job.mark[0]] = job.mark[1]

    # --- its agent

    def open_step(self, step: str, epoch: str) -> str:
        known = self.generations.setdefault(step, [])
        if not known or known[-1] not in (None, epoch):
            known.append(None)
        return str(len(known))

    def close_step(self, generation: str, epoch: str) -> None:
        step, _, number = generation.rpartition("/")
        self.generations[step][int(number) - 1] = epoch

    def start_job(self, identity: str, attempt: str, options: Sequence[str]) -> str:
        split = list(options).index("--")
        told, (script, *arguments) = options[:split], options[split + 1 :]
        pairs = list(zip(told[::2], told[1::2], strict=True))
        known = self.jobs.get(identity)
        if known is not None and known.state in ("succeeded", "running"):
            if known.state == "running":
                # From now on it is this try's.
                known.attempt = attempt
            return known.state
        if known is not None and known.attempt == attempt:
            return "failed"
        marks = [each.split("=", 1) for option, each in pairs if option == "--mark"]
        job = Job(
            attempt,
            script,
            tuple(arguments),
            (marks[0][0], marks[0][1]) if marks else None,
            tuple(each for option, each in pairs if option == "--unmark"),
            self.stage.clock + max((_LONG.get(each, 1.0) for each in (script, *arguments)), default=1.0),
        )
        self.jobs[identity] = job
        for each in job.unmark:
            self.marks.pop(each, None)
        self._begin(job)
        return "started"

    def kill_job(self, identity: str, attempt: str | None) -> str:
        job = self.jobs[identity]
        if job.state == "running" and attempt in (None, job.attempt):
            job.state, job.code = "killed", 143
            if job.script == "uploadBackup":
                # It takes its file along.
                self.written.pop(job.arguments[1], None)
            return "killed 143"
        return job.state if job.state != "failed" else f"failed {job.code}"

    def _begin(self, job: Job) -> None:
        match (job.script, *job.arguments):
            case ("withDownload", link, _, digest, *call):
                self._download(job, link, digest, call)
            case ("backupDataSource", service, datasource, _, file):
                job.finish = lambda: self._write(job, service, datasource, file)
            case ("uploadBackup", link, file):
                job.finish = lambda: self._upload(job, link, file)
            case ("startService" | "awaitService", service, *_):
                job.finish = lambda: self.services.add(service)
            case ("stopService", service, *_):
                job.finish = lambda: self.services.discard(service)
            case ("marks", prefix):
                job.log = "".join(
                    f"{key} {value}\n" for key, value in sorted(self.marks.items()) if key.startswith(prefix)
                ).encode()

    def _download(self, job: Job, link: str, digest: str, call: list[str]) -> None:
        """As `withDownload`, with what is called in turn: `applyObject`, `compareObject`, or a script."""
        found = self._fetch(job, link, digest)
        if found is None:
            return
        content = hashlib.sha256(found.body).hexdigest()
        notes: dict[str, str] = {}
        match call:
            case ["compareObject", key, version, *_]:
                call, notes = [], {_beside("object", key): f"{version} {content}"}
            case ["applyObject", key, version, noted, how, forget, _, *rest]:
                call, notes = rest, {_beside("object", key): f"{version} {content}"}
                if how == "changed" and content in (
                    self.marks.get(_beside("content", key)),
                    self.marks.get(key),
                ):
                    call = []
                else:
                    notes |= {_beside("content", key): content, key: content if noted == "SUM" else noted}
                    for each in forget.split(","):
                        self.marks.pop(each, None)
        job.finish = lambda: self.marks.update(notes)
        match call:
            case ["installDataSource", service, config, _]:
                self._load(link, found, service, _named(config), job)

    def _fetch(self, job: Job, link: str, digest: str) -> Any:
        url = self.files[link].decode().strip().removeprefix("link:")
        found = self.s3.objects.get(url)
        if found is None or digest not in ("NULL", hashlib.sha256(found.body).hexdigest()):
            job.code, job.log = 1, b"withDownload: it cannot be had\n"
            return None
        return found

    def _load(self, link: str, found: Any, service: str, datasource: str, job: Job) -> None:
        noting = job.finish
        url = self.files[link].decode().strip().removeprefix("link:")
        self.on_fill(self, service, datasource, url)
        self.data[service, datasource] = None

        def finish() -> None:
            self.data[service, datasource] = found.meaning
            noting()
            self.on_filled(self, service, datasource)

        job.finish = finish

    def _write(self, job: Job, service: str, datasource: str, file: str) -> None:
        held = self.data.get((service, datasource))
        if held is None:
            job.code, job.log = 1, b"backupDataSource: there is no data\n"
            return
        self.written[file] = held

    def _upload(self, job: Job, link: str, file: str) -> None:
        held = self.written.pop(file, None)
        if held is None:
            job.code, job.log = 26, b"uploadBackup: nothing was written\n"
            return
        url = self.files[link].decode().strip().removeprefix("link:")
        self.s3.lay(url, held.body, held)
        digest = hashlib.sha256(held.body).hexdigest()
        job.log = f"uploadBackup: {len(held.body)} bytes, SHA-256 {digest}\n".encode()


def _beside(what: str, key: str) -> str:
    """The key of what belongs to a mark, as `lib/marks.sh` has it."""
    service, _, name = key.partition("/")
    return f"{service}/{what}.{name}"


def _named(config: str) -> str:
    """The datasource that a file of secrets is for: `datasource-a1001-catalog-0a1b.cfg`."""
    return config.rpartition("/")[2].split("-")[2]


def _moment(seconds: float) -> Any:
    import datetime  # noqa: PLC0415 - whose class the product's modules have another one of

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


class Session:
    """One connection to a server: as `gantry.agent.session.Session`."""

    def __init__(self, machine: Machine, target: ssh.Target) -> None:
        self._machine = machine
        self._target = target

    @property
    def is_closed(self) -> bool:
        return False

    def _reach(self) -> Machine:
        self._machine.stage.effect()
        if not self._machine.answers:
            raise errors.ConnectionLostError(self._target.name, self._target.address, "the connection broke")
        self._machine.settle()
        return self._machine

    async def probe(self) -> None:
        self._reach()

    async def run(self, *command: str, stdin: bytes = b"") -> str:  # noqa: ARG002 - as the real one
        machine = self._reach()
        environment = dict(each.split("=", 1) for each in command if each.startswith("GANTRY_"))
        # What stands before a script of the agent: env, timeout and their arguments.
        while command[0] in ("env", "timeout") or "=" in command[0] or command[0].startswith("--kill"):
            command = command[2:] if command[0].startswith("--kill") else command[1:]
        if command[0] == "find":
            return self._found(machine, command)
        if command[0] in ("install", "rm", "true"):
            return ""
        script, *arguments = command[0].removeprefix(f"{session.BIN}/"), *command[1:]
        match script, *arguments:
            case ("job", *order):
                return self._job(machine, order, environment)
            case ("marks", *prefix):
                return "".join(
                    f"{key} {value}\n"
                    for key, value in sorted(machine.marks.items())
                    if not prefix or key.startswith(prefix[0])
                )
            case ("digests", *_) | ("bootState",) | ("cat", "/proc/self/mounts"):
                return ""
            case ("checkService", service):
                if service in machine.services:
                    return "OK"
                raise errors.CommandError(self._target.name, command[0], 1, "not running")
        raise NotImplementedError(command)

    @staticmethod
    def _found(machine: Machine, command: Sequence[str]) -> str:
        """What `find` says of the agent's own files."""
        if command[1] == session.TEMPORARY or not machine.has_agent:
            return ""
        return _digests() if "sha256sum" in command else _modes()

    @staticmethod
    def _job(machine: Machine, order: Sequence[str], environment: dict[str, str]) -> str:
        answer = ""
        match order:
            case ["open", step, epoch]:
                answer = machine.open_step(step, epoch)
            case ["close", generation, epoch]:
                machine.close_step(generation, epoch)
            case ["start", identity, attempt, *options]:
                machine.on_change(f"job {identity} on {machine.id}")
                answer = machine.start_job(identity, attempt, options)
            case ["kill", identity, *_]:
                answer = machine.kill_job(identity, environment.get("GANTRY_JOB_ATTEMPT"))
            case ["prune", _]:
                pass
            case _:
                raise NotImplementedError(order)
        return answer

    async def put(self, files: Sequence[session.RemoteFile]) -> None:
        if not files:
            return
        machine = self._reach()
        machine.files.update({each.path: each.content for each in files})
        if any(each.path == f"{session.BIN}/job" for each in files):
            machine.has_agent = True

    async def follow(self, job: str, offset: int, on_output: Callable[[bytes], None]) -> session.JobEnd:
        machine = self._reach()
        known = machine.jobs.get(job)
        if known is None:
            return session.JobEnd(None)
        while known.state == "running":
            await asyncio.sleep(max(0.5, min(known.ends - machine.stage.clock, 20.0)))
            machine = self._reach()
        on_output(known.log[offset:])
        if known.state == "lost":
            return session.JobEnd(None)
        return session.JobEnd(known.code, killed=known.state == "killed")


@contextlib.asynccontextmanager
async def connect(machine: Machine, target: ssh.Target) -> AsyncIterator[None]:
    """A connection, or how there is none."""
    machine.stage.effect()
    machine.on_probe(machine, machine.answers)
    if not machine.answers:
        await asyncio.sleep(5)
        raise errors.ConnectionLostError(target.name, target.address, "No route to host")
    if machine.impostor or target.host_key != machine.key:
        raise errors.HostKeyMismatchError(target.name, target.address, target.host_key)
    yield


def _digests() -> str:
    return "".join(f"{each.sha256}  {session.HOME}/{each.path}\n" for each in agent_bundle.bundle().files)


def _modes() -> str:
    return "".join(f"{each.mode:o}:0:0 {session.HOME}/{each.path}\n" for each in agent_bundle.bundle().files)
