"""Docker resources of the embedded cloud: a network, and a container for each instance.

Everything created here has the label `gantry.local=NAME`, so that it can be found after a crash.
"""

from __future__ import annotations

import contextlib
import enum
import io
import ipaddress
import itertools
import json
import tarfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool, LogConfig

from gantry.local import errors

LABEL = "gantry.local"
INSTANCE_LABEL = "gantry.local.instance"

# The address pool of the embedded clouds' networks, 1,019 servers each.
POOL = ipaddress.IPv4Network("10.200.0.0/16")
PREFIX_LENGTH = 22
PUBLIC = "-public"
"""Suffix of the public network's name: it sorts after the other one, which thus remains `eth0`."""

SEED = "var/lib/cloud/seed/nocloud"
# A server has this long to end its processes when it is shut down (gantry-boot itself gives them five).
SHUTDOWN_SECONDS = 8
CONSOLE_BYTES = 64 * 1024  # as much as EC2 keeps


class MachineState(enum.Enum):
    """The state of a container."""

    RUNNING = enum.auto()
    SHUT_DOWN = enum.auto()  # ended by itself, in order
    DIED = enum.auto()


@dataclass(frozen=True)
class Machine:
    """The configuration that an instance boots from.

    Attributes:
        image: Name of a Docker image.
        user_data: The bytes passed to RunInstances (plain, MIME or gzip).
        public_keys: Keys in OpenSSH's format, by key pair name.
        public_address: Its address in the public network; None keeps the machine out of it.
    """

    instance_id: str
    image: str
    address: str
    hostname: str
    user_data: bytes = field(repr=False)
    public_keys: dict[str, str] = field(default_factory=dict)
    public_address: str | None = None

    def seed(self) -> bytes:
        """Return a tar archive with cloud-init's NoCloud seed, readable by root only, as it may contain host keys."""
        meta_data = {
            "instance-id": self.instance_id,
            "local-hostname": self.hostname,
            "public-keys": self.public_keys,
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            # cloud-init requires both files; without user data it is an empty one.
            for name, content in (
                ("user-data", self.user_data),
                ("meta-data", json.dumps(meta_data).encode()),
            ):
                member = tarfile.TarInfo(f"{SEED}/{name}")
                member.size, member.mode = len(content), 0o600
                archive.addfile(member, io.BytesIO(content))
        return buffer.getvalue()


def connect() -> docker.DockerClient:
    """Return a client of this machine's Docker Engine.

    Raises:
        EngineUnreachableError: It does not answer.
    """
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except DockerException as error:
        raise errors.EngineUnreachableError(str(error)) from error
    return client


def require_image(client: docker.DockerClient, image: str) -> None:
    """Raise ImageMissingError if the image does not exist."""
    try:
        client.images.get(image)
    except ImageNotFound as error:
        raise errors.ImageMissingError(image) from error


def containers(client: docker.DockerClient, name: str) -> list[Container]:
    """Return the containers of the embedded cloud, running or not."""
    return client.containers.list(all=True, filters={"label": f"{LABEL}={name}"}, ignore_removed=True)


def networks(client: docker.DockerClient, name: str) -> list[Network]:
    """Return the networks of the embedded cloud."""
    return client.networks.list(filters={"label": f"{LABEL}={name}"})


def remove_all(client: docker.DockerClient, name: str) -> None:
    """Remove the containers and the networks of the embedded cloud."""
    for container in containers(client, name):
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
    for network in networks(client, name):
        with contextlib.suppress(NotFound):
            network.remove()


def create_network(
    client: docker.DockerClient, name: str, suffix: str = ""
) -> tuple[Network, ipaddress.IPv4Network]:
    """Create a network of the embedded cloud on addresses that are unused on this machine.

    Raises:
        NoFreeNetworkError: All are in use.
    """
    taken = [*_routes(), *_docker_subnets(client)]
    for cidr in _candidates(f"{name}{suffix}"):
        if any(cidr.overlaps(other) for other in taken):
            continue
        pool = IPAMPool(subnet=str(cidr), gateway=str(cidr[1]))
        try:
            network = client.networks.create(
                f"{LABEL}-{name}{suffix}",
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[pool]),
                labels={LABEL: name},
                check_duplicate=True,
            )
        except APIError as error:
            if "overlaps" in str(error):  # another `up` was quicker
                continue
            raise
        return network, cidr
    raise errors.NoFreeNetworkError(str(POOL))


def _candidates(name: str) -> Iterator[ipaddress.IPv4Network]:
    """Yield all ranges of the pool, beginning with one derived from the name: the same each time if it is free."""
    ranges = list(POOL.subnets(new_prefix=PREFIX_LENGTH))
    start = zlib.crc32(name.encode()) % len(ranges)
    yield from ranges[start:] + ranges[:start]


def _docker_subnets(client: docker.DockerClient) -> Iterator[ipaddress.IPv4Network]:
    for network in client.networks.list():
        for config in (network.attrs.get("IPAM") or {}).get("Config") or []:
            with contextlib.suppress(ValueError, KeyError):
                yield ipaddress.IPv4Network(config["Subnet"])


def _routes() -> Iterator[ipaddress.IPv4Network]:
    """Yield the routes of this machine, without the default route (Linux; addresses are little-endian)."""
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            address, mask = (
                ipaddress.IPv4Address(int.from_bytes(bytes.fromhex(fields[column]), "little"))
                for column in (1, 7)
            )
            if int(mask):
                yield ipaddress.IPv4Network(f"{address}/{mask}", strict=False)


class Machines:
    """The containers of one embedded cloud, by instance id."""

    def __init__(self, client: docker.DockerClient, name: str, network: str) -> None:
        self._client = client
        self._name = name
        self._network = network
        self._public: tuple[Network, ipaddress.IPv4Network] | None = None

    def states(self) -> dict[str, MachineState]:
        """Return the current state of each container."""
        found = self._client.api.containers(all=True, filters={"label": f"{LABEL}={self._name}"})
        return {one["Labels"][INSTANCE_LABEL]: _state(one["State"], one["Status"]) for one in found}

    def boot(self, machine: Machine) -> None:
        """Create the container and start it.

        Raises:
            MachineError: The image is missing, the address is not of this network, or it does not start.
        """
        with _worded(machine.instance_id, "boot"):
            container = self._client.containers.create(
                machine.image,
                name=self._container(machine.instance_id),
                hostname=machine.hostname.partition(".")[0],
                labels={LABEL: self._name, INSTANCE_LABEL: machine.instance_id},
                network=self._network,
                networking_config={
                    self._network: self._client.api.create_endpoint_config(ipv4_address=machine.address)
                },
                # The console is read from the engine's own log.
                log_config=LogConfig(type=LogConfig.types.JSON, config={"max-size": "10m"}),
            )
            container.put_archive("/", machine.seed())
            self._publish(container, machine)
            container.start()

    def public_address(self, taken: Collection[str | None]) -> str:
        """Return a free address of the public network, which is created at the first request.

        EC2 translates a public address to the private one; here a machine has both, in separate networks.
        """
        if self._public is None:
            self._public = create_network(self._client, self._name, PUBLIC)
        # The first one is the gateway's.
        hosts = itertools.islice(self._public[1].hosts(), 1, None)
        return next(str(each) for each in hosts if str(each) not in taken)

    def _publish(self, container: Container, machine: Machine) -> None:
        if self._public is None:
            return
        network = self._public[0]
        # A stopped container keeps its address; EC2 assigns a new one at each start.
        container.reload()
        if network.name in container.attrs["NetworkSettings"]["Networks"]:
            network.disconnect(container)
        if machine.public_address is not None:
            network.connect(container, ipv4_address=machine.public_address)

    def start(self, machine: Machine) -> None:
        """Start a stopped container; its disk is unchanged, its user data may have changed."""
        with _worded(machine.instance_id, "start"):
            container = self._get(machine.instance_id)
            container.put_archive("/", machine.seed())
            self._publish(container, machine)
            container.start()

    def stop(self, instance_id: str) -> None:
        """Shut the server down."""
        with _worded(instance_id, "stop"):
            self._get(instance_id).stop(timeout=SHUTDOWN_SECONDS)

    def reboot(self, instance_id: str) -> None:
        """Shut the server down and start it again."""
        with _worded(instance_id, "reboot"):
            self._get(instance_id).restart(timeout=SHUTDOWN_SECONDS)

    def remove(self, instance_id: str) -> None:
        """Remove the container with its contents, if it exists."""
        with _worded(instance_id, "terminate"), contextlib.suppress(NotFound):
            self._get(instance_id).remove(force=True, v=True)

    def console(self, instance_id: str) -> bytes:
        """Return the end of the server's console output; empty if there is no container."""
        try:
            return self._get(instance_id).logs()[-CONSOLE_BYTES:]
        except DockerException:
            return b""

    def _container(self, instance_id: str) -> str:
        return f"{self._name}-{instance_id}"

    def _get(self, instance_id: str) -> Container:
        return self._client.containers.get(self._container(instance_id))


def _state(state: str, status: str) -> MachineState:
    if state in {"running", "restarting", "paused"}:
        return MachineState.RUNNING
    return MachineState.SHUT_DOWN if status.startswith("Exited (0)") else MachineState.DIED


@contextlib.contextmanager
def _worded(instance_id: str, action: str) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise errors.MachineError(instance_id, action, str(error.explanation)) from error
    except DockerException as error:
        raise errors.MachineError(instance_id, action, str(error)) from error
