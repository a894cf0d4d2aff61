"""Start of new servers: exactly once per generation of a step, even if instances end at once.

EC2 recognizes a repeated RunInstances by its client token, and remembers the token for at least a day after the
instance is terminated, while DescribeInstances shows a terminated instance for about an hour. So a token encodes what
is requested and by whom: the run, and the generation of its step, which each clear of the step increases. If the
response contains ended instances, their slots are requested again with the next token of the same sequence, so a retry
follows the same tokens.

If a subnet has no room, the next one is tried, with a token sequence of its own: EC2 remembers a token per zone, so it
would start a second server for a token that comes with a subnet of another zone, and refuse one that comes with
another subnet of the same zone. Full subnets are recorded before the next one is tried, so a retry starts where the
previous try ended, even if the first subnet has room again meanwhile: otherwise it would start a second server there.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gantry import errors, inventory, names
from gantry.cloud import end_reasons, requests, tags
from gantry.cloud.errors import CloudError, worded
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import InstanceTypeDef, RunInstancesRequestTypeDef

DEAD = (inventory.InstanceState.SHUTTING_DOWN, inventory.InstanceState.TERMINATED)

_MISMATCH = "IdempotentParameterMismatch"
_ENDED = "IdempotentInstanceTerminated"
"""An answer of EC2 that has been observed instead of the terminated instance's description (boto3 issue 4406)."""
_MOST_TOKENS = 20
"""Maximum number of tokens in a sequence. Each stands for instances that were started and have ended since."""

_NO_ROOM = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "InsufficientFreeAddressesInSubnet",
        "Unsupported",  # the size is not offered in the zone
    }
)
"""Error codes of EC2 when another subnet may have room."""


class DeadServersError(errors.GantryError):
    """Instances repeatedly ended right after they were started."""

    def __init__(
        self, server_names: Sequence[names.ServerName], reason: inventory.StateReason | None = None
    ) -> None:
        self.servers = tuple(server_names)
        self.reason = reason
        super().__init__(
            f"{', '.join(server_names)}: {_MOST_TOKENS} instances were started for this task, and all of them have "
            f"ended; the last one: {end_reasons.worded(reason)}\n"
            f"Look at the terminated instances in the cloud, fix the cause, then clear this task."
        )


class HiddenServersError(errors.GantryError):
    """An earlier try has started servers with other parameters, and the cloud does not show them."""

    transient = True

    def __init__(self, server_names: Sequence[names.ServerName]) -> None:
        self.servers = tuple(server_names)
        super().__init__(
            f"{', '.join(server_names)}: an earlier try of this task has started them with other settings, and the "
            f"cloud does not show them yet\nThe task is tried again. If it still fails, look for these servers in the "
            f"cloud, then clear the task: it starts them with the current settings."
        )


class NoRoomError(errors.GantryError):
    """None of the subnets has room for a tier's servers. `refusals` has the cloud's errors, by subnet, in order."""

    def __init__(
        self, server_names: Sequence[names.ServerName], size: str, refusals: Mapping[str, CloudError]
    ) -> None:
        self.servers = tuple(server_names)
        self.size = size
        self.refusals = dict(refusals)
        self.transient = any(each.transient for each in refusals.values())
        said = "; ".join(f"{subnet}: {each.code}: {each.reason}" for subnet, each in refusals.items())
        super().__init__(
            f"{', '.join(server_names)}: no subnet has room for a {size}: {said}\n"
            f"{'This may be temporary; the task is tried again. ' if self.transient else ''}"
            f"Name subnets of other zones (network.subnets), or another size."
        )


def _nobody(_: Collection[object]) -> None:
    """Ignore the servers."""


@dataclasses.dataclass(frozen=True)
class StartOrder:
    """On whose behalf servers are started.

    Attributes:
        run: the run's digest.
        generation: the generation of the step. A retry has the same one, a clear another one.
        before: the ids of the instances that were started before, and that the cloud may not list yet.
        tell: called with servers as soon as the cloud returns their ids.
        full: the subnets that earlier tries of the same generation have found full.
        tell_full: called with full subnets before another one is tried.
    """

    run: str
    generation: str = ""
    before: frozenset[str] = frozenset()
    tell: Callable[[Sequence[inventory.Server]], None] = _nobody
    full: frozenset[str] = frozenset()
    tell_full: Callable[[frozenset[str]], None] = _nobody


class Starter:
    """Starts servers of one tier."""

    def __init__(
        self, ec2: EC2Client, definition: models.Definition, tier: names.TierName, log: logging.Logger
    ) -> None:
        self._ec2 = ec2
        self._definition = definition
        self._tier = tier
        self._log = log
        self._connection = definition.cloud.connection
        self._ended: inventory.StateReason | None = None
        self._full: dict[str, CloudError | None] = {}

    def start(
        self, slots: Sequence[names.Slot], image_id: str, boot: str, order: StartOrder
    ) -> tuple[inventory.Server, ...]:
        """Start the servers of some slots: one call, and further ones for slots whose instances end or find no room.

        Args:
            slots: the slots of one call, as grouped by `requests.calls`.
            image_id: the image that they boot from.
            boot: the user data.
            order: on whose behalf.

        Raises:
            DeadServersError: their instances ended each time.
            HiddenServersError: see there.
            NoRoomError: no subnet has room.
            CloudError: the cloud refused.
        """
        network = self._definition.launch_configuration_of(self._tier).network
        self._full = {**dict.fromkeys(order.full), **self._full}
        found: list[inventory.Server] = []
        left, ended = list(slots), 0
        while left:
            if ended == _MOST_TOKENS:
                raise DeadServersError(self._names(left), self._ended)
            place, subnet = self._place(requests.rotation(network, left[0]))
            request = requests.run_instances(
                self._definition,
                self._tier,
                left,
                image_id=image_id,
                boot=boot,
                token=self._token(left, order, place, ended),
                run=order.run,
            )
            if place and subnet is not None:
                request = requests.in_subnet(request, subnet)
            try:
                alive = self._ask(request, self._names(left))
            except CloudError as error:
                if error.code not in _NO_ROOM or subnet is None or len(network.subnets) == 1:
                    raise
                self._go_on(network, left, subnet, error, order)
                ended = 0
                continue
            if alive:
                order.tell(alive)
            found += alive
            filled = {each.slot for each in alive}
            # The remaining slots are fewer, so their token sequence is a different one.
            ended = 0 if filled else ended + 1
            left = [slot for slot in left if slot not in filled]
        return tuple(sorted(found, key=lambda each: each.slot))

    def _place(self, subnets: Sequence[str | None]) -> tuple[int, str | None]:
        """Return the index of the first subnet that is not known to be full, and the subnet."""
        free = [each for each in enumerate(subnets) if each[1] not in self._full]
        return free[0] if free else (0, subnets[0])

    def _go_on(
        self,
        network: models.Network,
        slots: Sequence[names.Slot],
        subnet: str,
        error: CloudError,
        order: StartOrder,
    ) -> None:
        """Record that a subnet is full. Raises NoRoomError if all of them are."""
        self._full[subnet] = error
        wanted = self._names(slots)
        if set(network.subnets) <= set(self._full):
            # Nothing is in progress anywhere, so the next try may start over.
            order.tell_full(frozenset())
            refusals = {each: known for each, known in self._full.items() if known is not None}
            raise NoRoomError(
                wanted, self._definition.launch_configuration_of(self._tier).size, refusals
            ) from error
        order.tell_full(frozenset(self._full))
        self._log.warning(
            "%s has no room for %s (%s: %s); requesting them in the next subnet",
            subnet, ", ".join(wanted), error.code, error.reason,
        )  # fmt: skip

    def _ask(
        self, request: RunInstancesRequestTypeDef, wanted: Sequence[names.ServerName]
    ) -> list[inventory.Server]:
        """Return the living servers among those that this call starts, or has started before."""
        launch = self._definition.launch_configuration_of(self._tier)
        self._log.info(
            "RunInstances: %d of %s from %s in %s for %s",
            len(wanted),
            launch.size,
            launch.image,
            requests.subnet_in(request) or "the default subnet",
            ", ".join(wanted),
        )
        try:
            with worded(f"starting {', '.join(wanted)} from {launch.image}", self._connection):
                instances = self._ec2.run_instances(**request)["Instances"]
        except CloudError as error:
            if error.code == _ENDED:
                self._log.info(
                    "the servers that were started for this task before have ended; requesting again"
                )
                return []
            if error.code != _MISMATCH:
                raise
            instances = list(self._started_with(request["ClientToken"]))
            if not instances:
                raise HiddenServersError(wanted) from error
            self._log.warning("an earlier try of this task has started servers with other settings")
        return list(self._alive(instances))

    def _alive(self, instances: Sequence[InstanceTypeDef]) -> Iterator[inventory.Server]:
        for instance in instances:
            server = tags.server(self._definition, instance)
            if server.state in DEAD or tags.is_leaving(instance):
                self._ended = server.reason
                why = f" ({end_reasons.worded(server.reason)})" if server.reason else ""
                self._log.info(
                    "instance %s was started for this task before and is %s%s; requesting again",
                    server.instance_id, server.state if server.state in DEAD else "leaving", why,
                )  # fmt: skip
                continue
            self._log.info("server %s is instance %s, %s", server.name, server.instance_id, server.state)
            yield server

    def _started_with(self, token: str) -> Iterator[InstanceTypeDef]:
        """Yield the instances of a token, as far as the cloud shows them."""
        with worded("looking for servers that an earlier try has started", self._connection):
            for page in self._ec2.get_paginator("describe_instances").paginate(
                Filters=[{"Name": "client-token", "Values": [token]}]
            ):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def _token(self, slots: Sequence[names.Slot], order: StartOrder, place: int, ended: int) -> str:
        """Return EC2's idempotency token: the same slots in the same generation of the same run make one call.

        `place` is the number of full subnets before, `ended` how often the instances started for them have ended.
        """
        facts = "\n".join(
            [
                self._definition.deployment,
                self._tier,
                " ".join(map(str, slots)),
                order.run,
                order.generation,
                str(ended),
                *([f"place {place}"] if place else []),
            ]
        )
        return hashlib.sha256(facts.encode()).hexdigest()

    def _names(self, slots: Sequence[names.Slot]) -> list[names.ServerName]:
        return [self._definition.name_of(self._tier, slot) for slot in slots]
