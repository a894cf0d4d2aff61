"""Read the agent's log on a server over SSH, for the command line and for the pages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gantry import errors, inventory, names
from gantry.agent import session, ssh
from gantry.credentials import connections
from gantry.definition import models
from gantry.reconcile import step_run

AGENT_LOG = f"{session.HOME}/ws/log/agent.log"


class NoServerError(errors.GantryError):
    """The cloud has no readable server of that name."""

    def __init__(self, wanted: str, known: list[str], *, is_near: bool = False) -> None:
        self.wanted = wanted
        hint = f", did you mean {known[0]!r}?" if is_near else f"; it has {', '.join(known) or 'none'}"
        super().__init__(f"the cloud has no server {wanted!r} of this deployment{hint}")


class ServerNotReadyError(errors.GantryError):
    """A server cannot be reached yet, or can no longer be reached."""

    def __init__(self, name: names.ServerName, reason: str) -> None:
        self.server = name
        super().__init__(f"{name}: {reason}")


def read(
    definition: models.Definition,
    found: inventory.Inventory,
    wanted: str,
    show: Callable[[bytes], None],
    *,
    lines: int | None,
    follow: bool,
) -> None:
    """Stream the agent's log on a server, with the host key checked. Blocks.

    Args:
        definition: the deployment's definition.
        found: the deployment's servers.
        wanted: the server's name, with or without the deployment's name in front.
        show: called with each piece of the log.
        lines: the number of lines from the end of the log; None for all of it.
        follow: continue with new output until interrupted.

    Raises:
        NoServerError, ServerNotReadyError: the server does not exist, or does not run.
        ServerError, ConnectionFactError, UnknownConnectionError: it cannot be reached, or its key is missing.
    """
    # Leaving servers can be read too, unless their name now belongs to another server.
    known = {each.name: each for each in (*found.leaving, *found.servers)}
    name = names.ServerName(wanted if wanted in known else f"{definition.deployment}-{wanted}")
    server = known.get(name)
    if server is None:
        # Short or full, the name resembles the same names.
        near = errors.near(name, known)
        raise NoServerError(wanted, [near] if near else list(known), is_near=bool(near))
    if server.state is not inventory.InstanceState.RUNNING:
        raise ServerNotReadyError(name, f"its instance {server.instance_id} is {server.state}")
    if server.host_key is None:
        raise ServerNotReadyError(name, "no handshake yet, so there is neither a host key nor an agent")
    access = connections.access(definition.launch_configuration_of(server.tier).ssh)
    target = step_run.target(server, name)
    asyncio.run(_read(target, access, show, lines=lines, follow=follow))


async def _read(
    target: ssh.Target, access: ssh.Access, show: Callable[[bytes], None], *, lines: int | None, follow: bool
) -> None:
    # Start at the first line, or this many lines before the end.
    start = "+1" if lines is None else str(lines)
    async with ssh.connect(target, access) as connection:
        agent = session.Session(connection, target, access.login)
        await agent.stream("tail", *(("-F",) if follow else ()), "-n", start, AGENT_LOG, on_output=show)
