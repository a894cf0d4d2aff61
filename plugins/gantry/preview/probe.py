"""Queries servers about what is applied there. Read-only: no handshake, no file, no line in the agent's journal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from gantry import errors, names
from gantry.agent import agent_bundle, bootstrap, config_snapshot, fan_out, job_runner, session, ssh
from gantry.preview.state import ServerState

T = TypeVar("T")

PATIENCE = 90.0
"""Seconds that a server has to answer everything; its own connection timeout comes first."""

_NEEDED = frozenset({"bin/marks", "bin/digests", "bin/checkService", "lib/agent.sh"})


class IncompleteAgentError(errors.GantryError):
    """A server's agent cannot answer: scripts are missing that the next handshake would send."""

    def __init__(self, server: names.ServerName, missing: Sequence[str]) -> None:
        self.server = server
        super().__init__(
            f"{server}: the agent lacks {', '.join(missing)}; a launch sends them, and only then the server can tell"
        )


@dataclasses.dataclass(frozen=True)
class Interest:
    """What a server is asked: checks of services, digests of files, contents of configuration files."""

    checked: tuple[names.ServiceId, ...] = ()
    files: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ProbeRequest(Generic[T]):
    """A server to query, with its login. `ask` may raise GantryError."""

    target: ssh.Target
    access: ssh.Access
    ask: Callable[[session.Session], Awaitable[T]]

    async def answer(self) -> T | errors.GantryError:
        """Return the server's answer, or the error."""
        try:
            async with asyncio.timeout(PATIENCE):
                # Only once: the user is waiting for the answer, and can ask again.
                async with job_runner.Agent(self.target, self.access).open() as server:
                    return await self.ask(server)
        except TimeoutError:
            return ProbeTimeoutError(self.target.name)
        except errors.GantryError as error:
            return error


def look(visits: Sequence[ProbeRequest[T]]) -> Mapping[names.ServerName, T | errors.GantryError]:
    """Return each server's answer, or the error, querying all in parallel."""

    async def everybody() -> list[T | errors.GantryError]:
        return list(await asyncio.gather(*(each.answer() for each in visits)))

    return dict(zip((each.target.name for each in visits), asyncio.run(everybody()), strict=True))


def reason(name: names.ServerName, error: errors.GantryError) -> str:
    """Return in one line why a server has not answered."""
    return error.failure.headline.removeprefix(f"{name}: ")


@dataclasses.dataclass(frozen=True)
class Answers:
    """What is applied on each server, why it is unknown on the others, and whom to ask for more."""

    states: Mapping[names.ServerName, ServerState]
    unknowns: Mapping[names.ServerName, str]
    asked: Mapping[names.ServerName, ProbeRequest[Any]]


class ProbeTimeoutError(errors.GantryError):
    """A server accepted the login, but did not answer in time."""

    transient = True

    def __init__(self, server: names.ServerName) -> None:
        self.server = server
        super().__init__(f"{server}: no answer within {PATIENCE:g} s")


def state(target: ssh.Target, access: ssh.Access, interest: Interest) -> ProbeRequest[ServerState]:
    """Return the question about what is applied on a server.

    An agent that cannot tell is an IncompleteAgentError.
    """

    async def ask(server: session.Session) -> ServerState:
        return await _state(server, target.name, interest)

    return ProbeRequest(target, access, ask)


async def _state(server: session.Session, name: names.ServerName, interest: Interest) -> ServerState:
    shipped = agent_bundle.bundle()
    folder = await server.run("find", "/", "-maxdepth", "1", "-name", session.HOME.removeprefix("/"))
    if not folder.strip():
        # There was no handshake with it: nothing of ours is there.
        return ServerState(stale=tuple(file.path for file in shipped.files))
    stale = tuple(file.path for file in await bootstrap.stale_scripts(server, shipped))
    missing = sorted(_NEEDED.intersection(stale) - await _present(server))
    if missing:
        raise IncompleteAgentError(name, missing)
    digests = await fan_out.digests(server, (*interest.files, *interest.configs))
    configs, unreadable = {}, {}
    for path in interest.configs:
        if path not in digests:
            continue
        found = await config_snapshot.content(server, path)
        if found is None:
            unreadable[path] = config_snapshot.UNREADABLE
        else:
            configs[path] = found
    return ServerState(
        marks=await fan_out.marks(server),
        checks={each: await fan_out.check(server, each, quiet=True) for each in interest.checked},
        digests=digests,
        configs=configs,
        unreadable=unreadable,
        stale=stale,
    )


async def _present(server: session.Session) -> frozenset[str]:
    listing = await server.run("find", f"{session.HOME}/bin", f"{session.HOME}/lib", "-type", "f")
    return frozenset(path.removeprefix(f"{session.HOME}/") for path in listing.splitlines())
