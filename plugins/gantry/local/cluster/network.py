"""Network of the cluster: a bridge, and a namespace with an address and a hosts file for each machine (Linux, root)."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from gantry.local import errors

BRIDGE = "gantry-cluster"
# RFC 2544's addresses for test networks, which company networks do not use.
NETWORK = ipaddress.ip_network("198.18.7.0/24")
_PREFIX = "gantry-cluster."
_ETC = Path("/etc/netns")
_ACCEPT = (("-i", BRIDGE), ("-o", BRIDGE))
"""Docker only forwards packets of its own networks; machines and instances have to reach each other."""


class NetworkError(errors.LocalCloudError):
    """The network could not be created."""

    def __init__(self, command: str, said: str) -> None:
        super().__init__(
            f"`{command}` failed: {said.strip()}. The cluster needs root, iproute2, iptables, and a kernel that allows "
            "network namespaces"
        )


@dataclasses.dataclass(frozen=True)
class ClusterNetwork:
    """An existing network.

    Attributes:
        addresses: addresses of machines, by name.
    """

    addresses: Mapping[str, str]

    def within(self, machine: str) -> tuple[str, ...]:
        """Return a command prefix for running on that machine, with its own host name."""
        return ("ip", "netns", "exec", _PREFIX + machine, "unshare", "--uts")

    def name_of(self, address: str) -> str:
        """Return the machine with an address; the address itself if there is none."""
        return next((name for name, each in self.addresses.items() if each == address), address)

    def cut(self, machine: str) -> None:
        """Disconnect a machine."""
        _ip("link", "set", _cable(self, machine), "down")

    def reconnect(self, machine: str) -> None:
        """Connect it again."""
        _ip("link", "set", _cable(self, machine), "up")


def make(machines: Mapping[str, Iterable[str]]) -> ClusterNetwork:
    """Create the network, replacing an existing one.

    Args:
        machines: by name, with the additional names under which the others know each.

    Raises:
        NetworkError: this machine does not support it.
    """
    remove()
    hosts = NETWORK.hosts()
    gateway = next(hosts)
    network = ClusterNetwork({name: str(next(hosts)) for name in machines})
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("addr", "add", f"{gateway}/{NETWORK.prefixlen}", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    for rule in _ACCEPT:
        _run("iptables", "-I", "DOCKER-USER", *rule, "-j", "ACCEPT")
    lines = ["127.0.0.1 localhost"]
    lines += [f"{network.addresses[name]} {' '.join([name, *more])}" for name, more in machines.items()]
    for name in machines:
        _attach(network, name, str(gateway))
        etc = _ETC / (_PREFIX + name)
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        # Refuses at once. A server that never answers would delay name lookups.
        (etc / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    return network


def remove() -> None:
    """Remove it with all processes on its machines, if it exists."""
    for rule in _ACCEPT:
        with contextlib.suppress(NetworkError):
            _run("iptables", "-D", "DOCKER-USER", *rule, "-j", "ACCEPT")
    for name in _namespaces():
        # Processes that a busy machine has not ended in time, or that a killed supervisor has left.
        for pid in _run("ip", "netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(NetworkError):
            _ip("netns", "del", name)
        shutil.rmtree(_ETC / name, ignore_errors=True)
    with contextlib.suppress(NetworkError):
        _ip("link", "del", BRIDGE)


def left() -> list[str]:
    """What of it exists now."""
    bridge = [f"network {BRIDGE}"] if Path("/sys/class/net", BRIDGE).exists() else []
    return [*bridge, *(f"network namespace {name}" for name in _namespaces())]


def _attach(network: ClusterNetwork, machine: str, gateway: str) -> None:
    space, cable = _PREFIX + machine, _cable(network, machine)
    _ip("netns", "add", space)
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", space)
    _ip("link", "set", cable, "master", BRIDGE, "up")
    inside = ("-netns", space)
    _ip(*inside, "addr", "add", f"{network.addresses[machine]}/{NETWORK.prefixlen}", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip(*inside, "link", "set", device, "up")
    _ip(*inside, "route", "add", "default", "via", gateway)


def _cable(network: ClusterNetwork, machine: str) -> str:
    """Return the name of the outer interface: names of interfaces are short."""
    return f"gc-{network.addresses[machine].rpartition('.')[2]}"


def _namespaces() -> list[str]:
    try:
        listed = _run("ip", "netns", "list").split("\n")
    except NetworkError:
        # Where there is no `ip`, nothing was made by it.
        return []
    return [line.split()[0] for line in listed if line.startswith(_PREFIX)]


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    except FileNotFoundError as error:
        raise NetworkError(" ".join(command), str(error)) from error
    if done.returncode:
        raise NetworkError(" ".join(command), done.stderr)
    return done.stdout
