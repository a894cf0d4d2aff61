"""Which servers of a balanced service are updated together, and in which order. Pure arithmetic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from gantry import errors, names

Batch = tuple[names.ServerName, ...]


@dataclasses.dataclass(frozen=True)
class Node:
    """A server on which a service has run before.

    Attributes:
        serves: its check says OK, and its balancers send traffic to it.
        outdated: something is to be done there.
    """

    name: names.ServerName
    serves: bool
    outdated: bool


class TooFewHealthyError(errors.GantryError):
    """Not one server may leave, since too few serve already."""

    transient = True

    def __init__(self, service: names.ServiceName, serving: int, wanted: int) -> None:
        self.service = service
        self.serving = serving
        self.wanted = wanted
        super().__init__(
            f"service {service}: {serving} of its servers serve, min_healthy wants {wanted}: none may leave its load "
            f"balancers to be updated\nMend those that do not serve, or lower update.min_healthy."
        )


def batches(service: names.ServiceName, nodes: Sequence[Node], size: int, healthy: int) -> tuple[Batch, ...]:
    """The batches of a rollout.

    Those that serve nobody are first: it costs nothing to take them, and the others need them. Every outdated server
    is in one batch; within the two kinds the order of `nodes` is kept.

    Args:
        service: whose servers they are, for the error.
        nodes: in the order in which they should be updated.
        size: how many are updated together at most; at least 1.
        healthy: how many have to serve at any time.

    Raises:
        TooFewHealthyError: the first server that serves could not leave without going below `healthy`.
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
