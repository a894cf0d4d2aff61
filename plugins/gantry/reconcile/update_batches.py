"""Batches and order in which servers of a balanced service are updated. Pure arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gantry import errors, names

Batch = tuple[names.ServerName, ...]


@dataclasses.dataclass(frozen=True)
class Node:
    """A server on which a service has run before.

    Attributes:
        serves: its check succeeds, and its balancers send traffic to it.
        outdated: it has something to update.
    """

    name: names.ServerName
    serves: bool
    outdated: bool


class TooFewHealthyError(errors.GantryError):
    """No server may leave because too few are serving already."""

    transient = True

    def __init__(self, service: names.ServiceName, serving: int, wanted: int) -> None:
        self.service = service
        self.serving = serving
        self.wanted = wanted
        super().__init__(
            f"service {service}: {serving} of its servers are healthy, min_healthy requires {wanted}: none may leave "
            f"its load balancers to be updated\nRepair the unhealthy ones, or lower update.min_healthy."
        )


def batches(service: names.ServiceName, nodes: Sequence[Node], size: int, healthy: int) -> tuple[Batch, ...]:
    """Return the batches of a rollout.

    Servers that do not serve come first: taking them costs nothing, and the others depend on them. Every outdated
    server is in exactly one batch; within both groups, the order of `nodes` is kept.

    Args:
        service: the servers' service, for the error.
        nodes: the servers in the preferred order of updating.
        size: the maximum number that is updated together; at least 1.
        healthy: the number that has to serve at any time.

    Raises:
        TooFewHealthyError: the first serving server could not leave without falling below `healthy`.
    """
    idle = [node.name for node in nodes if node.outdated and not node.serves]
    serving = [node.name for node in nodes if node.outdated and node.serves]
    # By then the idle ones have been updated, or the rollout has been stopped.
    able = len(idle) + sum(node.serves for node in nodes)
    room = min(size, able - healthy)
    if serving and room < 1:
        raise TooFewHealthyError(service, able, healthy)
    return (*_dealt(idle, size), *_dealt(serving, room))


def _dealt(servers: Sequence[names.ServerName], size: int) -> tuple[Batch, ...]:
    return tuple(tuple(servers[at : at + size]) for at in range(0, len(servers), max(size, 1)))
