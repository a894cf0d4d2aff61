"""The agent's own log on a server, read over SSH by a person: from the terminal, or on a page."""

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
    """The cloud has no server of that name that one could look at."""

    def __init__(self, wanted: str, known: list[str], *, is_near: bool = False) -> None:
        self.wanted = wanted
        hint = f", did you mean {known[0]!r}?" if is_near else f"; it has {', '.join(known) or 'none'}"
        super().__init__(f"the cloud has no server {wanted!r} of this deployment{hint}")


class ServerNotReadyError(errors.GantryError):
    """A server that cannot be asked yet, or any more."""

    def __init__(self, name: names.ServerName, reason: str) -> None:
        self.name = name
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
    """Hand on the agent's log on a server, with the host key checked. Blocks.

    Args:
        definition: of the deployment.
        found: its servers.
        wanted: the server's name, with or without the deployment's in front.
        show: is handed the log piece by piece.
        lines: so many from its end; None for all of it.
        follow: go on with what comes, until interrupted.

    Raises:
        NoServerError, NotReadyError: there is no such server, or it does not run.
        ServerError, ConnectionFactError, UnknownConnectionError: it cannot be reached, or not without a key.
    """
    # Who leaves can be looked at too, unless its name is another one's by now.
    known = {each.name: each for each in (*found.leaving, *found.servers)}
    name = names.ServerName(wanted if wanted in known else f"{definition.deployment}-{wanted}")
    server = known.get(name)
    if server is None:
        # Short or whole, it is near to the same names.
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
    # From the first line on, or so many from the last one.
    start = "+1" if lines is None else str(lines)
    async with ssh.connect(target, access) as connection:
        agent = session.Session(connection, target, access.login)
        await agent.stream("tail", *(("-F",) if follow else ()), "-n", start, AGENT_LOG, on_output=show)
