"""The servers of a benchmark: containers with a real sshd, the store they download from, what they have used.

Not of the embedded cloud: what is compared needs no cloud, and a hundred of these are up in seconds.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import http.server
import io
import os
import pathlib
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping

import asyncssh
import docker
from docker.models.containers import Container

IMAGE = "gantry-server:prepared"
USER = "deploy"
LABEL = "gantry.benchmark"
"""Of its containers; its value is the process that has started them."""

_BOOT = f"""\
#!/bin/sh
useradd -m -s /bin/bash {USER}
echo '{USER} ALL=(ALL) NOPASSWD:ALL' >/etc/sudoers.d/{USER}
install -d -m 700 -o {USER} -g {USER} /home/{USER}/.ssh
install -m 600 -o {USER} -g {USER} /boot-key /home/{USER}/.ssh/authorized_keys
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -h /boot-host-key
"""
_SERVICE = {
    "configure": 'grep greeting "$2" >"$home/cfg/settings"',
    "start": (
        'setsid sleep infinity </dev/null >/dev/null 2>&1 9>&- & echo $! >"$home/cfg/pid"; echo started'
    ),
    "stop": '[ ! -e "$home/cfg/pid" ] || { kill "$(cat "$home/cfg/pid")"; rm "$home/cfg/pid"; }; echo stopped',
    "check": 'if kill -0 "$(cat "$home/cfg/pid")" 2>/dev/null; then echo OK; else echo down; fi',
}
_BALLAST = 256 * 1024
_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Server:
    """One container."""

    name: str
    address: str
    host_key: str
    container: Container

    def cpu(self) -> float:
        """Seconds of processors, so far."""
        stats: Mapping[str, Mapping[str, Mapping[str, int]]]
        stats = self.container.stats(stream=False, one_shot=True)  # type: ignore[assignment]
        return float(stats["cpu_stats"]["cpu_usage"]["total_usage"]) / 1e9


@dataclasses.dataclass(frozen=True)
class Fleet:
    """Servers, and how to get in.

    Attributes:
        servers: all of them.
        key: the file with the private key of `user`, who may sudo.
        known_hosts: the file with their host keys.
        gateway: the address at which they reach this machine.
    """

    servers: tuple[Server, ...]
    key: pathlib.Path
    known_hosts: pathlib.Path
    gateway: str
    user: str = USER

    def cpu(self) -> float:
        """Seconds of processors of all servers, so far."""
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return sum(pool.map(Server.cpu, self.servers))


@contextlib.contextmanager
def started(count: int, folder: pathlib.Path) -> Iterator[Fleet]:
    """So many servers, which are gone at the end. `folder`: for keys."""
    client = docker.from_env(timeout=120)
    _forget(client)
    key = asyncssh.generate_private_key("ssh-ed25519")
    key_file, known_hosts = folder / "key", folder / "known_hosts"
    key.write_private_key(key_file)
    key_file.chmod(0o600)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            boot = functools.partial(_boot, client, key.export_public_key())
            servers = tuple(pool.map(boot, range(1, count + 1)))
        known_hosts.write_text("".join(f"{each.address} {each.host_key}\n" for each in servers))
        gateway = servers[0].container.attrs["NetworkSettings"]["Networks"]["bridge"]["Gateway"]
        yield Fleet(servers, key_file, known_hosts, gateway)
    finally:
        _forget(client, str(os.getpid()))
        client.close()


def _boot(client: docker.DockerClient, authorized: bytes, number: int) -> Server:
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    name = f"fleet-{number}"
    container = client.containers.create(
        IMAGE,
        ["/usr/bin/tini", "--", "/bin/sh", "/boot"],
        entrypoint="",
        name=f"gantry-benchmark-{os.getpid()}-{number}",
        hostname=name,
        labels={LABEL: str(os.getpid())},
    )
    files = {"boot": _BOOT.encode(), "boot-key": authorized, "boot-host-key": host_key.export_private_key()}
    container.put_archive("/", _tar(files, 0o600))
    container.start()
    _until_ssh_answers(container)
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    return Server(name, address, host_key.export_public_key().decode().strip(), container)


def _until_ssh_answers(container: Container) -> None:
    deadline = time.monotonic() + _SECONDS
    while container.exec_run(["pgrep", "-x", "sshd"])[0] != 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{container.name} does not come up: {container.logs().decode()}")
        time.sleep(0.2)


def _forget(client: docker.DockerClient, owner: str = "") -> None:
    """Remove the containers of a process; without one, those whose process is no more."""
    for each in client.containers.list(all=True, filters={"label": LABEL}, ignore_removed=True):
        whose = each.labels[LABEL]
        if whose == owner or (not owner and not pathlib.Path("/proc", whose).exists()):
            with contextlib.suppress(docker.errors.NotFound):
                each.remove(force=True, v=True)


@dataclasses.dataclass(frozen=True)
class Release:
    """A version of the service: its archive in the store, and what its configuration file says."""

    number: int
    url: str
    sha256: str

    @property
    def greeting(self) -> str:
        return f"release {self.number}"


class Store:
    """Archives for servers to download, by HTTP."""

    def __init__(self, folder: pathlib.Path, address: str) -> None:
        self._folder = folder
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer((address, 0), handler)
        self._url = f"http://{address}:{self._server.server_port}"
        self._count = 0
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def release(self) -> Release:
        """A new version of the service."""
        self._count += 1
        scripts = {
            f"bin/enstratus-{verb}": f"#!/bin/sh\nhome=${{0%/bin/*}}\n{text}\n".encode()
            for verb, text in _SERVICE.items()
        }
        # No two have the same content; it does not get smaller by packing.
        content = _tar(scripts | {"lib/ballast": os.urandom(_BALLAST)}, 0o755, packed=True)
        name = f"shop-{self._count}.tar.gz"
        (self._folder / name).write_bytes(content)
        return Release(self._count, f"{self._url}/{name}", hashlib.sha256(content).hexdigest())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each download."""


def _tar(files: Mapping[str, bytes], mode: int, *, packed: bool = False) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz" if packed else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
