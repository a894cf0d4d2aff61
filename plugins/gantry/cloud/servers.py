"""Servers on EC2: found by their tags, started once, terminated."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gantry import errors, inventory, names
from gantry.cloud import eventual_listing, health, images, instance_start, requests, tags, user_data
from gantry.cloud.errors import worded
from gantry.definition import models

if TYPE_CHECKING:
    from types_boto3_ec2 import EC2Client
    from types_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef

_POLL_SECONDS = 2

_ALIVE = (
    inventory.InstanceState.PENDING,
    inventory.InstanceState.RUNNING,
    inventory.InstanceState.STOPPING,
    inventory.InstanceState.STOPPED,
)


class TwoServersOneSlotError(errors.GantryError):
    """Two living instances have tags of the same slot."""

    def __init__(self, name: names.ServerName, instances: tuple[str, str]) -> None:
        self.server = name
        self.instances = instances
        super().__init__(
            f"server {name}: the instances {' and '.join(instances)} both fill its slot\n"
            f"Terminate one of them; Gantry does not choose."
        )


class LostServerError(errors.GantryError):
    """A server that a step works on does not exist or does not run."""

    def __init__(self, name: names.ServerName, state: inventory.InstanceState | None) -> None:
        self.server = name
        self.state = state
        seen = "the cloud has no such server" if state is None else f"its instance is {state}"
        super().__init__(
            f"{name}: cannot be worked on, {seen}\n"
            f"Clear this tier's scale_up task with everything downstream: what is missing is started again, and "
            f"what other servers have finished is not repeated."
        )


class KeyNotShownError(LostServerError):
    """The cloud does not show a running server's host key: its tag was written moments ago, or never."""

    transient = True

    def __init__(self, name: names.ServerName) -> None:
        self.server = name
        self.state = inventory.InstanceState.RUNNING
        errors.GantryError.__init__(
            self,
            f"{name}: its instance runs, and the cloud does not show its host key\n"
            f"The handshake keeps it as a tag, which the cloud may show some moments later; the task is tried again. "
            f"If it still fails, clear this tier's handshake task with everything downstream.",
        )


class NoAddressError(errors.GantryError):
    """A running server lacks the address that the control plane connects to."""

    def __init__(self, server: inventory.Server) -> None:
        self.server = server.name
        kind = "public" if server.reached_in_public else "private"
        super().__init__(
            f"{server.name}: instance {server.instance_id} has no {kind} address to connect to\n"
            f"Give it one, or correct ssh.address and network.public_address of its launch configuration."
        )


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The result of scaling a tier up (the scaling event).

    `before` and `after` count servers; `started` are new, `resumed` were stopped and run again.
    """

    tier: names.TierName
    before: int
    wanted: int
    after: int
    started: tuple[inventory.Server, ...]
    resumed: tuple[inventory.Server, ...]
    kept: tuple[inventory.Server, ...]

    @property
    def servers(self) -> tuple[inventory.Server, ...]:
        """Return all servers of the tier, by slot."""
        return tuple(sorted((*self.started, *self.resumed, *self.kept), key=lambda each: each.slot))


@dataclasses.dataclass(frozen=True)
class Intention:
    """The plan of a scaling event: servers to keep, stopped ones to resume, slots to fill."""

    kept: tuple[inventory.Server, ...]
    resumed: tuple[inventory.Server, ...]
    missing: tuple[names.Slot, ...]


def intend(known: Sequence[inventory.Server], wanted: int, lost: Iterable[names.Slot] = ()) -> Intention:
    """Plan how a tier gets at least `wanted` running servers and its lost slots filled. No server is removed.

    Args:
        known: the tier's servers that neither are terminated nor leave.
        wanted: the number to reach.
        lost: slots to fill in any case, unless they are filled already.
    """
    resumed = tuple(
        each
        for each in known
        if each.state in (inventory.InstanceState.STOPPED, inventory.InstanceState.STOPPING)
    )
    taken = {each.slot for each in known}
    again = sorted(set(lost) - taken)
    gaps = (slot for slot in map(names.Slot, itertools.count(1)) if slot not in taken.union(again))
    more = itertools.islice(gaps, max(0, wanted - len(known) - len(again)))
    return Intention(
        kept=tuple(each for each in known if each not in resumed),
        resumed=resumed,
        missing=tuple(sorted((*again, *more))),
    )


def is_misnamed(server: inventory.Server) -> bool:
    """Return whether the cloud shows another name than the definition's. A new server is named by its handshake."""
    return server.host_key is not None and server.tagged_name != server.name


class ServerScope(NamedTuple):
    """Where a deployment's servers are: equal scopes show the same servers."""

    connection: names.ConnectionId
    region: str
    deployment: names.DeploymentName


class Servers:
    """The servers of one deployment."""

    def __init__(
        self,
        ec2: EC2Client,
        definition: models.Definition,
        log: logging.Logger,
    ) -> None:
        self._ec2 = ec2
        self._definition = definition
        self._deployment = definition.deployment
        self._connection = definition.cloud.connection
        self._log = log
        self.place = ServerScope(self._connection, definition.cloud.region, self._deployment)

    def find(self) -> inventory.Inventory:
        """Return all servers that are not terminated.

        Raises:
            CloudError: the cloud refused.
            TwoServersOneSlotError: the tags contradict each other.
        """
        found = sorted(
            (
                (tags.server(self._definition, each), tags.is_leaving(each))
                for each in self._instances(_ALIVE)
            ),
            key=lambda each: (each[0].tier, each[0].slot),
        )
        staying = tuple(server for server, leaves in found if not leaves)
        for first, second in itertools.pairwise(staying):
            if (first.tier, first.slot) == (second.tier, second.slot):
                raise TwoServersOneSlotError(first.name, (first.instance_id, second.instance_id))
        return inventory.Inventory(staying, tuple(server for server, leaves in found if leaves))

    def find_with(self, started: Collection[str]) -> inventory.Inventory:
        """As `find`, once the cloud lists these recently started instances (by id).

        Raises:
            NotListedYetError: they are not listed after half a minute, and have not ended either.
        """
        return eventual_listing.complete(self._deployment, started, self.find, self._ended, self._log)

    def everything(self, started: Collection[str] = ()) -> inventory.Inventory:
        """Return all of the deployment's instances that are not terminated, regardless of their tags.

        Two of the staying ones may fill the same slot, some may be about to end, and some are `unreadable`.

        Args:
            started: ids of recently started instances. They are waited for, as in `find_with`.
        """
        return eventual_listing.complete(self._deployment, started, self._everything, self._ended, self._log)

    def scale_up(
        self,
        tier: names.TierName,
        wanted: int,
        authorized_key: str,
        user: str,
        order: instance_start.StartOrder,
        lost: Iterable[names.Slot] = (),
    ) -> Scaling:
        """Start what a tier lacks to have at least `wanted` running servers and its `lost` slots filled.

        A repeated call (same `order`, same gaps) returns the instances of the first one.
        """
        known = self.find_with(order.before).of_tier(tier)
        intended = intend(known, wanted, lost)
        kept, stopped, missing = intended.kept, intended.resumed, intended.missing
        self._log.info(
            "scaling event: tier %s has %d of %d wanted servers; starting %d, resuming %d",
            tier, len(kept), wanted, len(missing), len(stopped),
        )  # fmt: skip
        if stopped:
            self._resume(stopped)
        self._rename(known)
        launch = self._definition.launch_configuration_of(tier)
        boot = user_data.first_boot(user, authorized_key, launch.user_data)
        starter = instance_start.Starter(self._ec2, self._definition, tier, self._log)
        started: tuple[inventory.Server, ...] = ()
        for batch in requests.calls(launch.network, missing):
            image = images.to_launch(self._ec2, launch.image, self._definition.cloud)
            started += starter.start(batch, image, boot, order)
        return Scaling(
            tier=tier,
            before=len(kept),
            wanted=wanted,
            after=len(kept) + len(stopped) + len(started),
            started=started,
            resumed=stopped,
            kept=kept,
        )

    def console_host_key(self, server: inventory.Server) -> str | None:
        """Return the host key that the server printed on its console at its first boot, or None so far."""
        with worded(f"reading the console of {server.name} ({server.instance_id})", self._connection):
            try:
                answer = self._ec2.get_console_output(InstanceId=server.instance_id, Latest=True)
            except self._ec2.exceptions.ClientError as error:
                if error.response["Error"].get("Code") != "UnsupportedOperation":
                    raise
                # Instance types before Nitro update their console output only occasionally.
                answer = self._ec2.get_console_output(InstanceId=server.instance_id)
        return user_data.host_key_on_console(answer.get("Output", ""))

    def pin_host_key(self, server: inventory.Server, host_key: str) -> None:
        """Store a server's host key as a tag of its instance, for every later connection."""
        with worded(f"pinning the host key of {server.name}", self._connection):
            self._ec2.create_tags(
                Resources=[server.instance_id],
                Tags=[
                    {"Key": tags.HOST_KEY, "Value": host_key},
                    {"Key": tags.NAME, "Value": server.name},
                ],
            )

    def note_arrived(self, servers: Sequence[inventory.Server]) -> None:
        """Record that the deployment is RUNNING with these servers: from now on, no failed run terminates them."""
        for batch in requests.batches([each.instance_id for each in servers if each.is_new]):
            with worded("recording that servers are no longer new", self._connection):
                self._ec2.delete_tags(Resources=batch, Tags=[{"Key": tags.NEW}])

    def terminate(self, servers: Sequence[inventory.Server]) -> None:
        """Terminate servers.

        Already terminated ones are not an error while EC2 shows them, for about an hour. After that it refuses the
        request as a whole, so pass servers of a recent listing.
        """
        for batch in requests.batches([each.instance_id for each in servers]):
            self._log.info("TerminateInstances %s", " ".join(batch))
            with worded("terminating servers", self._connection):
                self._ec2.terminate_instances(InstanceIds=batch)

    def ending(self, tier: names.TierName | None, *, only_leaving: bool = False) -> tuple[str, ...]:
        """Return the ids of a tier's instances, or of the leaving ones, that are not terminated yet, in any state.

        Of the whole deployment, if no tier is given.
        """
        states = (*_ALIVE, inventory.InstanceState.SHUTTING_DOWN)
        return tuple(
            each["InstanceId"]
            for each in self._instances(states)
            if tier in (None, tags.read(each).get(tags.TIER)) and (tags.is_leaving(each) or not only_leaving)
        )

    def ended(self) -> tuple[inventory.Server, ...]:
        """Return the deployment's instances that have ended, or are about to, while the cloud still shows them."""
        return tuple(tags.any_server(self._definition, each) for each in self._instances(instance_start.DEAD))

    def living(self, instances: Collection[str]) -> tuple[str, ...]:
        """Return which of some instances (by id) have not ended, whatever their tags say."""
        states = [state for state in inventory.InstanceState if state not in instance_start.DEAD]
        return tuple(sorted(self._in_states(instances, states))) if instances else ()

    def let_leave(self, servers: Sequence[inventory.Server]) -> None:
        """Mark servers as leaving. Nothing else happens to them yet."""
        self._tag(servers, tags.LEAVING, "yes", f"choosing {', '.join(each.name for each in servers)}")

    def give_up(self, server: inventory.Server, why: str, *, anyway: bool = False) -> None:
        """Mark a server as lost: it leaves, and its slot is free. Nothing else happens to it yet.

        With `anyway`, a person wants this even if the server is healthy.
        """
        value = f"{tags.LOST}{tags.ANYWAY if anyway else ''}{why}"[: tags.LONGEST_VALUE]
        self._tag([server], tags.LEAVING, value, f"recording that {server.name} is lost")

    def remember_wanted(self, servers: Sequence[inventory.Server], wanted: int) -> None:
        """Record the wanted number of a tier on its servers, for all later launches."""
        self._tag(servers, tags.WANTED, str(wanted), f"recording that {wanted} servers are wanted")

    def note_well(self, server: inventory.Server) -> None:
        """Record that a server has answered."""
        if server.ailing is not None:
            health.Health(self._ec2, self._connection).note_well([server])

    def _tag(self, servers: Sequence[inventory.Server], key: str, value: str, what: str) -> None:
        for batch in requests.batches([each.instance_id for each in servers]):
            with worded(what, self._connection):
                self._ec2.create_tags(Resources=batch, Tags=[{"Key": key, "Value": value}])

    def _everything(self) -> inventory.Inventory:
        found = sorted(
            (
                (tags.any_server(self._definition, each), tags.is_leaving(each))
                for each in self._instances((*_ALIVE, inventory.InstanceState.SHUTTING_DOWN))
            ),
            key=lambda each: (each[0].tier, each[0].slot, each[0].instance_id),
        )
        return inventory.Inventory(
            tuple(server for server, leaves in found if not leaves),
            tuple(server for server, leaves in found if leaves),
        )

    def _ended(self, instances: Sequence[str]) -> frozenset[str]:
        """Return which of some instances the cloud shows as ended.

        An instance that it does not know yet is not an error.
        """
        return self._in_states(instances, instance_start.DEAD)

    def _in_states(
        self, instances: Collection[str], states: Iterable[inventory.InstanceState]
    ) -> frozenset[str]:
        filters: list[FilterTypeDef] = [
            {"Name": "instance-id", "Values": list(instances)},
            {"Name": "instance-state-name", "Values": list(states)},
        ]
        return frozenset(each["InstanceId"] for each in self._described(filters))

    def _instances(self, states: Iterable[inventory.InstanceState]) -> Iterator[InstanceTypeDef]:
        filters: list[FilterTypeDef] = [
            {"Name": f"tag:{tags.DEPLOYMENT}", "Values": [self._deployment]},
            {"Name": "instance-state-name", "Values": list(states)},
        ]
        return self._described(filters)

    def _described(self, filters: list[FilterTypeDef]) -> Iterator[InstanceTypeDef]:
        with worded(f"listing the servers of {self._deployment}", self._connection):
            for page in self._ec2.get_paginator("describe_instances").paginate(Filters=filters):
                for reservation in page["Reservations"]:
                    yield from reservation["Instances"]

    def _resume(self, servers: Sequence[inventory.Server]) -> None:
        ids = [each.instance_id for each in servers]
        stopping = [each for each in servers if each.state is inventory.InstanceState.STOPPING]
        if stopping:
            self._await_stopped(stopping)
        self._log.info("StartInstances %s", " ".join(ids))
        with worded(f"resuming {', '.join(each.name for each in servers)}", self._connection):
            self._ec2.start_instances(InstanceIds=ids)

    def _rename(self, servers: Sequence[inventory.Server]) -> None:
        """Update the names in the cloud to those of the definition; new servers are named by their handshake."""
        for server in servers:
            if is_misnamed(server):
                self._log.info("server %s was called %s in the cloud", server.name, server.tagged_name)
                with worded(f"naming {server.name}", self._connection):
                    self._ec2.create_tags(
                        Resources=[server.instance_id], Tags=[{"Key": tags.NAME, "Value": server.name}]
                    )

    def _await_stopped(self, servers: Sequence[inventory.Server]) -> None:
        """Wait for stopping instances: they can be started only when they have stopped."""
        server_names = ", ".join(each.name for each in servers)
        self._log.info("waiting until %s is stopped, to resume it", server_names)
        attempts = self._definition.timeouts.scale_up.total_seconds() / _POLL_SECONDS
        with worded(f"waiting until {server_names} is stopped", self._connection):
            self._ec2.get_waiter("instance_stopped").wait(
                InstanceIds=[each.instance_id for each in servers],
                WaiterConfig={"Delay": _POLL_SECONDS, "MaxAttempts": max(1, int(attempts))},
            )

    def image_id(self, image: str) -> str:
        """Return the id of the image that servers would be started from now. Raises as `images.image_id`."""
        return images.image_id(self._ec2, image, self._definition.cloud)
