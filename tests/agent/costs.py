"""What a step costs: the connections and commands of the control side, the forks and the processor of a server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar
from unittest import mock

import asyncssh

from gantry import names
from gantry.agent import fan_out, jobs, session

from .machines import Machine, Said, errors_of, job, key

T = TypeVar("T")
SERVICE = names.ServiceId("a4100")
FILE = f"{session.TEMPORARY}/cost.cfg"
DIGEST = "0" * 64


@dataclasses.dataclass
class Cost:
    """What something has cost.

    Attributes:
        connections, commands: SSH connections, and requests to run a command, of this process.
        forks: processes that the server has made, threads included.
        seconds, cpu: of wall time, and of the server's processors.
        causes: forks by what was asked for. What a job does beside its follower counts for whoever waits for it.
    """

    connections: int = 0
    commands: int = 0
    forks: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    causes: dict[str, int] = dataclasses.field(default_factory=dict)


class Meter:
    """Counts the processes of a container: the kernel numbers them one after the other."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._looks = 0
        # What a look takes by itself.
        self._own = min(-self._newest() + self._newest() for _ in range(3))

    def _newest(self) -> int:
        # Not by the machine's shell: it makes processes of its own.
        code, out = self._machine.container.exec_run(["cat", "/proc/sys/kernel/ns_last_pid"])
        assert code == 0, out
        assert isinstance(out, bytes)
        return int(out)

    def forks(self) -> int:
        """Grows by one with each fork from one call to the next, the calls themselves taken off."""
        found = self._newest()
        self._looks += 1
        return found - self._own * self._looks

    def cpu(self) -> float:
        """Seconds of processors, so far."""
        stats: Mapping[str, Any] = self._machine.container.stats(stream=False, one_shot=True)  # type: ignore[assignment]
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


@contextlib.contextmanager
def counted(cost: Cost) -> Iterator[None]:
    """Count connections and commands of this process."""
    connect, run = asyncssh.connect, asyncssh.SSHClientConnection.create_process

    def connects(*arguments: Any, **more: Any) -> Any:
        cost.connections += 1
        return connect(*arguments, **more)

    def runs(*arguments: Any, **more: Any) -> Any:
        cost.commands += 1
        return run(*arguments, **more)

    with (
        mock.patch.object(asyncssh, "connect", connects),
        mock.patch.object(asyncssh.SSHClientConnection, "create_process", runs),
    ):
        yield


@contextlib.contextmanager
def by_cause(meter: Meter, cost: Cost) -> Iterator[None]:
    """Write down the forks of each call of a session. It takes time: looks into the container come between."""

    def watched(name: Callable[..., str], call: Callable[..., Awaitable[T]]) -> Callable[..., Awaitable[T]]:
        async def wrapper(*arguments: Any, **more: Any) -> T:
            before = await asyncio.to_thread(meter.forks)
            try:
                return await call(*arguments, **more)
            finally:
                said = name(*arguments[1:])
                cost.causes[said] = cost.causes.get(said, 0) + await asyncio.to_thread(meter.forks) - before

        return wrapper

    def command(*words: str) -> str:
        named = [word.rpartition("/")[2] for word in words if word.startswith("/enstratus/bin/")]
        if not named:
            return words[0]
        return f"job {words[words.index('/enstratus/bin/job') + 1]}" if named[0] == "job" else named[0]

    with (
        mock.patch.object(session.Session, "run", watched(command, session.Session.run)),
        mock.patch.object(
            session.Session, "follow", watched(lambda *_: "job follow", session.Session.follow)
        ),
    ):
        yield


def serve(machine: Machine) -> None:
    """Put a service on a server whose scripts do nothing: what is left is the cost of the way there."""
    folder = f"/mnt/services/{SERVICE}"
    scripts = " ".join(f"{folder}/bin/enstratus-{verb}" for verb in ("configure", "start", "stop", "check"))
    machine.sh(
        f"mkdir -p {folder}/bin {folder}/cfg; for each in {scripts}; do printf '#!/bin/sh\\n' > $each; done;"
        f"echo 'echo OK' >> {folder}/bin/enstratus-check; chmod 755 {scripts}"
    )


def configure() -> fan_out.Work:
    """What a service's redeploy has left on a server: its file, and the five jobs of `service_work.configure`."""
    return fan_out.Work(
        (session.RemoteFile(FILE, b"[enStratus]\n"),),
        (
            job("putConfig", SERVICE, FILE, remove=(FILE,), mark=(f"{SERVICE}/handed", "root"),
                unmark=(f"{SERVICE}/applied", f"{SERVICE}/configured")),
            job("configureService", "1", "c1", SERVICE, mark=(f"{SERVICE}/configured", DIGEST)),
            job("stopService", SERVICE, unmark=(f"{SERVICE}/applied",)),
            job("startService", SERVICE),
            job("awaitService", SERVICE, "20", mark=(f"{SERVICE}/applied", DIGEST), conclusive=True),
        ),
    )  # fmt: skip


def step(machine: Machine, name: str, work: fan_out.Work, cost: Cost) -> None:
    """Have a server asked, decided about and worked on, as a task does it."""
    questions = fan_out.Questions(checked=SERVICE, files=("/etc/hostname", "/etc/os-release"))

    async def go() -> list[jobs.ServerProgress]:
        everything = fan_out.begin([machine.target])
        async with fan_out.Lines() as kept:
            await fan_out.prepare(everything, machine.access, lambda *_: work, Said(), questions, kept=kept)
            await fan_out.carry_out(everything, machine.access, key(name), Said(), kept=kept)
        return everything

    with counted(cost):
        began = time.monotonic()
        everything = asyncio.run(go())
        cost.seconds = time.monotonic() - began
    assert errors_of(everything) == [""]
    assert everything[0].done


def measured(machine: Machine, name: str, work: fan_out.Work) -> Cost:
    """A step's cost, without its causes: nothing comes between."""
    meter, cost = Meter(machine), Cost()
    cpu, forks = meter.cpu(), meter.forks()
    step(machine, name, work, cost)
    cost.forks = meter.forks() - forks
    cost.cpu = meter.cpu() - cpu
    return cost


def causes(machine: Machine, name: str, work: fan_out.Work) -> dict[str, int]:
    """Forks of a step by what was asked for."""
    meter, cost = Meter(machine), Cost()
    with by_cause(meter, cost):
        step(machine, name, work, cost)
    return cost.causes
