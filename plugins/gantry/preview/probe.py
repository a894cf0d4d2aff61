"""Queries servers about what is applied there. Read-only: no handshake, no file, no line in the agent's journal."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from gantry import errors, names
from gantry.agent import agent_bundle, bootstrap, config_snapshot, fan_out, job_runner, session, ssh
from gantry.preview.state import ServerState

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
class ProbeRequest:
    """A server to query, with its login."""

    target: ssh.Target
    access: ssh.Access
    interest: Interest


def look(visits: Sequence[ProbeRequest]) -> Mapping[names.ServerName, ServerState | errors.GantryError]:
    """Return each server's answers, or the error, querying all in parallel."""

    async def everybody() -> list[ServerState | errors.GantryError]:
        return list(await asyncio.gather(*(_visit(each) for each in visits)))

    return dict(zip((each.target.name for each in visits), asyncio.run(everybody()), strict=True))


class ProbeTimeoutError(errors.GantryError):
    """A server accepted the login, but did not answer in time."""

    transient = True

    def __init__(self, server: names.ServerName) -> None:
        self.server = server
        super().__init__(f"{server}: no answer within {PATIENCE:g} s")


async def _visit(visit: ProbeRequest) -> ServerState | errors.GantryError:
    try:
        async with asyncio.timeout(PATIENCE):
            # Only once: the user is waiting for the answer, and can ask again.
            async with job_runner.Agent(visit.target, visit.access).open() as server:
                return await _ask(server, visit.target.name, visit.interest)
    except TimeoutError:
        return ProbeTimeoutError(visit.target.name)
    except errors.GantryError as error:
        return error


async def _ask(server: session.Session, name: names.ServerName, interest: Interest) -> ServerState:
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
