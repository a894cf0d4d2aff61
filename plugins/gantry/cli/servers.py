"""A deployment's servers, looked at without Airflow's API: by the cloud's tags, and over SSH."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import Callable

from gantry import errors, inventory, names
from gantry.agent import session, ssh
from gantry.cli import console
from gantry.cloud import clients, servers
from gantry.cloud import errors as cloud_errors
from gantry.definition import models
from gantry.operators import connections
from gantry.operators import run as runs

AGENT_LOG = f"{session.HOME}/ws/log/agent.log"
_log = logging.getLogger(__name__)


class NoServerError(errors.GantryError):
    """The cloud has no server of that name that one could look at."""

    def __init__(self, wanted: str, known: list[str], *, is_near: bool = False) -> None:
        self.wanted = wanted
        hint = f", did you mean {known[0]!r}?" if is_near else f"; it has {', '.join(known) or 'none'}"
        super().__init__(f"the cloud has no server {wanted!r} of this deployment{hint}")


class NotReadyError(errors.GantryError):
    """A server that cannot be asked yet, or any more."""

    def __init__(self, name: names.ServerName, reason: str) -> None:
        self.name = name
        super().__init__(f"{name}: {reason}")


def find(definition: models.Definition) -> inventory.Inventory:
    """All servers of a deployment that are not gone, as the cloud's tags tell.

    Raises:
        CloudError, CloudUnreachableError: the cloud refused, or did not answer.
    """
    cloud = definition.cloud
    try:
        ec2 = clients.ec2(cloud)
    except cloud_errors.UnknownConnectionError:
        console.complain(
            f"The Airflow connection {cloud.connection!r} is not known here; asking with this machine's own AWS "
            f"credentials."
        )
        ec2 = clients.ec2_of_this_machine(cloud)
    return servers.Servers(ec2, definition, _log).find()


def agent_log(
    definition: models.Definition,
    wanted: str,
    show: Callable[[bytes], None],
    *,
    lines: int | None,
    follow: bool,
) -> None:
    """Hand on the agent's log on a server, with the host key checked.

    Args:
        definition: of the deployment.
        wanted: the server's name, with or without the deployment's in front.
        show: is handed the log piece by piece.
        lines: so many from its end; None for all of it.
        follow: go on with what comes, until interrupted.

    Raises:
        NoServerError, NotReadyError: there is no such server, or it does not run.
        ServerError, ConnectionFactError, UnknownConnectionError: it cannot be reached, or not without a key.
    """
    found = find(definition)
    # Who leaves can be looked at too, unless its name is another one's by now.
    known = {each.name: each for each in (*found.leaving, *found.servers)}
    name = names.ServerName(wanted if wanted in known else f"{definition.deployment}-{wanted}")
    server = known.get(name)
    if server is None:
        # Short or whole, it is near to the same names.
        near = difflib.get_close_matches(name, known, n=1)
        raise NoServerError(wanted, near or list(known), is_near=bool(near))
    if server.state is not inventory.InstanceState.RUNNING:
        raise NotReadyError(name, f"its instance {server.instance_id} is {server.state}")
    if server.host_key is None:
        raise NotReadyError(name, "no handshake yet, so there is neither a host key nor an agent")
    access = connections.access(definition.launch_configuration_of(server.tier).ssh)
    target = runs.target(server, name)
    asyncio.run(_read(target, access, show, lines=lines, follow=follow))


async def _read(
    target: ssh.Target, access: ssh.Access, show: Callable[[bytes], None], *, lines: int | None, follow: bool
) -> None:
    # From the first line on, or so many from the last one.
    start = "+1" if lines is None else str(lines)
    async with ssh.connect(target, access) as connection:
        agent = session.Session(connection, target, access.login.user)
        await agent.stream("tail", *(("-F",) if follow else ()), "-n", start, AGENT_LOG, on_output=show)
