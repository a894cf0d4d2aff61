"""Servers according to the cloud, as plain frozen data."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Iterator

from gantry import names


class InstanceState(enum.StrEnum):
    """An EC2 instance's state, with EC2's values."""

    PENDING = "pending"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclasses.dataclass(frozen=True)
class StateReason:
    """Why an instance last changed its state, in EC2's own words."""

    code: str
    message: str


@dataclasses.dataclass(frozen=True)
class Ailing:
    """Consecutive checks that found a server unhealthy.

    Attributes:
        since: time of the first of them.
        seen: time of the last of them.
        unproven: whether the server was silent and no other server proved that the network path works. The network may
            have been the cause, so such checks do not make a server lost.
    """

    since: datetime.datetime
    seen: datetime.datetime
    unproven: bool = False


@dataclasses.dataclass(frozen=True)
class Server:
    """One server of a tier.

    Attributes:
        host_key: the public host key that is pinned to this instance (`ssh-ed25519 AAAA…`), or None before the first
            handshake.
        size: the instance type, in EC2's own words.
        private_address, public_address: IPv4, or None while the cloud has assigned none. In an IPv6-only subnet both
            are the server's IPv6 address.
        tagged_name: its name in the cloud, which is different before the first handshake, and after a change of the
            definition's `server_name`.
        started_by: the digest of the run that started it, or None if unknown.
        is_new: whether the deployment has never been RUNNING with it.
        reached_in_public: whether the control plane connects to its public address.
        wanted: how many servers its tier was last scaled to, or None if it never was.
        ailing: the checks that found it unhealthy, or None if it was healthy in the last check.
        lost: why it leaves although its tier was not scaled in, or None.
        unreadable: why its tags do not identify the server, or None. If they do not, its name is its instance's id,
            its slot 0, and its tier empty unless a tag names it. Only a termination sees such servers.
        given_up: whether its replacement was requested even if it is healthy (`anyway`).
        reason: why it was stopped or terminated, or could not start; None if the cloud gives no reason.
    """

    name: names.ServerName
    tier: names.TierName
    slot: names.Slot
    instance_id: str
    state: InstanceState
    image: str
    launched_at: datetime.datetime
    private_address: str | None = None
    public_address: str | None = None
    host_key: str | None = None
    size: str = ""
    tagged_name: str | None = None
    started_by: str | None = None
    is_new: bool = False
    reached_in_public: bool = False
    wanted: int | None = None
    ailing: Ailing | None = None
    lost: str | None = None
    unreadable: str | None = None
    given_up: bool = False
    reason: StateReason | None = None

    @property
    def ssh_address(self) -> str | None:
        """Return the address that the control plane connects to, or None while the cloud has assigned none."""
        return self.public_address if self.reached_in_public else self.private_address


def scaled_to(known: Iterable[Server]) -> int | None:
    """Return how many servers a tier was last scaled to, according to these of its servers; None if it never was."""
    return max((each.wanted for each in known if each.wanted is not None), default=None)


@dataclasses.dataclass(frozen=True)
class Inventory:
    """All servers of a deployment that are not terminated, ordered by tier and slot.

    Attributes:
        servers: the staying ones. Code that asks for the deployment's servers means these.
        leaving: servers chosen by a scale-in, and lost ones. They run until the balancers have removed them, but other
            servers are no longer told of them, and their slots are free: one may share its name with a staying server.
    """

    servers: tuple[Server, ...]
    leaving: tuple[Server, ...] = ()

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def of_tier(self, tier: names.TierName) -> tuple[Server, ...]:
        """Return the servers of one tier, by slot."""
        return tuple(server for server in self.servers if server.tier == tier)

    def leaving_of_tier(self, tier: names.TierName) -> tuple[Server, ...]:
        """Return the leaving servers of one tier, by slot."""
        return tuple(server for server in self.leaving if server.tier == tier)

    def scaled_to(self, tier: names.TierName) -> int | None:
        """Return how many servers a tier was last scaled to, according to its staying servers; None if it never was."""
        return scaled_to(self.of_tier(tier))

    @property
    def everything(self) -> tuple[Server, ...]:
        """Return all of them, leaving ones last."""
        return (*self.servers, *self.leaving)

    def named(self, name: names.ServerName) -> Server | None:
        """Return the staying server of that name, or None."""
        return next((server for server in self.servers if server.name == name), None)
