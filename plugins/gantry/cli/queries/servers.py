"""A deployment's servers without Airflow's API: from the cloud's tags, and over SSH."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gantry import inventory
from gantry.cli.support import console
from gantry.cloud import clients, servers
from gantry.cloud import errors as cloud_errors
from gantry.definition import models
from gantry.runtime import agent_log as agent_logs

_log = logging.getLogger(__name__)


def find(definition: models.Definition) -> inventory.Inventory:
    """Return all servers of a deployment that are not terminated, according to the cloud's tags.

    Raises:
        CloudError, CloudUnreachableError: the cloud refused, or did not answer.
    """
    cloud = definition.cloud
    try:
        ec2 = clients.ec2(cloud)
    except cloud_errors.CloudConnectionError:
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
    """Stream the agent's log on a server; see `gantry.runtime.agent_log`."""
    agent_logs.read(definition, find(definition), wanted, show, lines=lines, follow=follow)
