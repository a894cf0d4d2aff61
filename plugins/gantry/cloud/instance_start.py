"""New servers: started exactly once for each generation of a step, and never answered for by a dead instance.

EC2 knows a repeated RunInstances by its client token, and remembers the token for at least a day after the instance
is terminated, while DescribeInstances shows a terminated instance for about an hour. So a token names what is asked
for, and who asks: the run, and the generation of its step, which each clear of the step raises. What comes back dead
for it is asked for again with the next token of the same row, so a try that is repeated goes along the same tokens.

Where a subnet has no room, the next one is asked, with a row of tokens of its own: EC2 remembers a token by zone, so it
would start a second server for one that comes with a subnet of another zone, and refuse one that comes with another
subnet of the same zone. Which subnets are full is noted before the next one is asked, so a try that is repeated begins
where the one before it has ended, also if meanwhile the first subnet has room again: else it would start a second
server there.
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
"""What EC2 has been seen to answer instead of describing the terminated instance (boto3 issue 4406)."""
_MOST_TOKENS = 20
"""Tokens of one row. Each of them stands for instances that were started and have ended since."""

_NO_ROOM = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientCapacity",
        "InsufficientHostCapacity",
        "InsufficientFreeAddressesInSubnet",
        "Unsupported",  # the size is not offered in the zone
    }
)
"""What EC2 answers where another subnet may have room."""


class DeadServersError(errors.GantryError):
    """Instances that end as soon as they are started, each time."""

    def __init__(
        self, server_names: Sequence[names.ServerName], reason: inventory.StateReason | None = None
    ) -> None:
        self.servers = tuple(server_names)
        self.reason = reason
        super().__init__(
            f"{', '.join(server_names)}: {_MOST_TOKENS} instances were started for this task, and all of them have "
            f"ended; the last one: {end_reasons.worded(reason)}\n"
            f"Look at the terminated instances in the cloud, mend the cause, then clear this task."
        )


class HiddenServersError(errors.GantryError):
    """An earlier try has started servers in another way, and the cloud does not show them."""

    transient = True

    def __init__(self, server_names: Sequence[names.ServerName]) -> None:
        self.servers = tuple(server_names)
        super().__init__(
            f"{', '.join(server_names)}: an earlier try of this task has started them with other settings, and the "
            f"cloud does not show them yet\nThe task is tried again. If it fails still, look for these servers in the "
            f"cloud, then clear the task: it starts them with the settings of now."
        )


class NoRoomError(errors.GantryError):
    """None of the subnets has room for a tier's servers. `refusals` are the cloud's, by subnet, in order."""

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
            f"{'This may pass; the task is tried again. ' if self.transient else ''}"
            f"Name subnets of other zones (network.subnets), or another size."
        )


def _nobody(_: Collection[object]) -> None:
    """Hear nothing."""


@dataclasses.dataclass(frozen=True)
class StartOrder:
    """Who has servers started.

    Attributes:
        run: the digest of the run.
        generation: of the step that asks. A retry has the same one, a clear another one.
        before: the instances (by ids) that were started before, and that the cloud may not list yet.
        tell: hears of servers as soon as the cloud has named them.
        full: the subnets that earlier tries of the same generation have found without room.
        tell_full: hears which subnets have no room, before another one is asked.
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
        """Start the servers of some slots: by one call, and by further ones for what comes back dead or finds no room.

        Args:
            slots: those of one call, as `requests.calls` has them.
            image_id: of the image that they boot from.
            boot: the user data.
            order: who asks.

        Raises:
            DeadServersError: they end each time.
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
            # Those that are left are fewer slots, so their row of tokens is another one.
            ended = 0 if filled else ended + 1
            left = [slot for slot in left if slot not in filled]
        return tuple(sorted(found, key=lambda each: each.slot))

    def _place(self, subnets: Sequence[str | None]) -> tuple[int, str | None]:
        """The first of some subnets that is not known to be full, and its place among them."""
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
        """Note that a subnet is full. Raises NoRoomError if all of them are."""
        self._full[subnet] = error
        wanted = self._names(slots)
        if set(network.subnets) <= set(self._full):
            # Nothing is under way anywhere, so the next try may start over.
            order.tell_full(frozenset())
            refusals = {each: known for each, known in self._full.items() if known is not None}
            raise NoRoomError(
                wanted, self._definition.launch_configuration_of(self._tier).size, refusals
            ) from error
        order.tell_full(frozenset(self._full))
        self._log.warning(
            "%s has no room for %s (%s: %s); asking for them in the next subnet",
            subnet, ", ".join(wanted), error.code, error.reason,
        )  # fmt: skip

    def _ask(
        self, request: RunInstancesRequestTypeDef, wanted: Sequence[names.ServerName]
    ) -> list[inventory.Server]:
        """The servers that live of those that the call starts, or has started before."""
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
                self._log.info("what was started for this task before has ended; asking again")
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
                    "instance %s was started for this task before and is %s%s; asking again",
                    server.instance_id, server.state if server.state in DEAD else "leaving", why,
                )  # fmt: skip
                continue
            self._log.info("server %s is instance %s, %s", server.name, server.instance_id, server.state)
            yield server

    def _started_with(self, token: str) -> Iterator[InstanceTypeDef]:
        """The instances that a token stands for, as far as the cloud shows them."""
        with worded("looking for what an earlier try has started", self._connection):
            for page in self._ec2.get_paginator("describe_instances").paginate(
                Filters=[{"Name": "client-token", "Values": [token]}]
            ):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def _token(self, slots: Sequence[names.Slot], order: StartOrder, place: int, ended: int) -> str:
        """EC2's idempotency token: the same slots, in the same generation of the same run, are one call.

        `place` says how many subnets before have no room, and `ended` how often what was started for them has ended.
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
