"""Servers as they are: what the cloud says exists, as plain frozen facts."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Iterable, Iterator

from gantry import names


class InstanceState(enum.StrEnum):
    """An EC2 instance's state, in EC2's own words."""

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
    """Looks in a row that have found a server not well, none of which has found it well.

    Attributes:
        since: the first of them.
        seen: the last of them.
        unproven: whether it was silent and nothing else showed then that the way to it works. So it may have been the
            way, and looks like these make no server lost.
    """

    since: datetime.datetime
    seen: datetime.datetime
    unproven: bool = False


@dataclasses.dataclass(frozen=True)
class Server:
    """One server of a tier.

    Attributes:
        host_key: the public host key that is pinned to this instance (`ssh-ed25519 AAAA…`), or None before
            the first handshake.
        size: the instance type, in EC2's own words.
        private_address, public_address: IPv4, or None while the cloud has given none. In an IPv6-only subnet both are
            the server's IPv6 address.
        tagged_name: what the cloud shows as its name, which is another one before the first handshake, and when
            the definition has been given another `server_name` since.
        started_by: the digest of the run that started it, or None if nothing says so.
        is_new: whether the deployment has never been RUNNING with it.
        reached_in_public: whether the control plane connects to its public address.
        wanted: how many servers its tier was last scaled to, or None if it never was.
        ailing: the looks that have found it not well, or None if it was well when last looked at.
        lost: why it leaves although nobody has scaled its tier in, or None.
        unreadable: why its tags do not say which server it is, or None. If they do not, its name is its instance's
            id, its slot 0, and its tier empty where no tag says it. Only a termination sees such servers.
        given_up: whether a person wants that even if it is well (`anyway`).
        reason: why it was stopped or terminated, or could not start; None where the cloud gives none.
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
        """The address that the control plane connects to, or None while the cloud has given none."""
        return self.public_address if self.reached_in_public else self.private_address


def scaled_to(known: Iterable[Server]) -> int | None:
    """How many servers a tier was last scaled to, as these of its servers remember; None if it never was."""
    return max((each.wanted for each in known if each.wanted is not None), default=None)


@dataclasses.dataclass(frozen=True)
class Inventory:
    """All servers of a deployment that are not gone, ordered by tier and slot.

    Attributes:
        servers: those that stay. Whoever asks for the deployment's servers means these.
        leaving: those that a scale in has chosen, and those that are lost. They run until they are let go of, but
            nobody is told of them any more, and their slots are free: one may have the name of a server that stays.
    """

    servers: tuple[Server, ...]
    leaving: tuple[Server, ...] = ()

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def of_tier(self, tier: names.TierName) -> tuple[Server, ...]:
        """The servers of one tier, by slot."""
        return tuple(server for server in self.servers if server.tier == tier)

    def leaving_of_tier(self, tier: names.TierName) -> tuple[Server, ...]:
        """The servers of one tier that leave, by slot."""
        return tuple(server for server in self.leaving if server.tier == tier)

    def scaled_to(self, tier: names.TierName) -> int | None:
        """How many servers a tier was last scaled to, as those of them remember that stay; None if it never was."""
        return scaled_to(self.of_tier(tier))

    @property
    def everything(self) -> tuple[Server, ...]:
        """All of them, those that leave last."""
        return (*self.servers, *self.leaving)

    def named(self, name: names.ServerName) -> Server | None:
        """The server of that name that stays, or None."""
        return next((server for server in self.servers if server.name == name), None)
