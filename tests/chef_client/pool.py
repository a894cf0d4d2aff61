"""Bare servers that tests take and give back: put into their first state, or thrown away where that cannot be."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator

import docker
from docker.models.containers import Container
from docker.models.networks import Network

from tests import inside

from .nodes import Kitchen, Node

_STATE = "ls -A /; cat /etc/hosts /etc/hostname /etc/resolv.conf"
"""What Docker touches whenever it puts a file there, so that its time says nothing."""
_MARK = f"mkdir /etc/chef /var/chef && {{ {_STATE}; }} > /dev/shm/state && touch /dev/shm/mark"
_RESET = f"""
main=$(pgrep -o -P 1)
for process in /proc/[0-9]*; do
    case ${{process#/proc/}} in 1 | "$main" | $$) ;; *) kill -KILL "${{process#/proc/}}" 2>/dev/null ;; esac
done
find /etc/chef /var/chef /srv /tmp -mindepth 1 -delete
find /run ! -type d -cnewer /dev/shm/mark -delete
# Where Docker was asked to run a command.
rm -rf /run/gantry-looks
{{ {_STATE}; }} | cmp - /dev/shm/state || exit 1
! find / -xdev \\( -path /usr/share -o -path /usr/lib \\) -prune -o -cnewer /dev/shm/mark -print |
    grep -vxE '/|/(etc/(hosts|hostname|resolv.conf|chef)|var/chef|srv|tmp|run)'
"""
"""Ends all processes but the container's own, takes away what a run of chef-client leaves, and fails if anything else
is not as it was when the mark was made. What Debian's packages bring shows in dpkg's files, so that most of /usr is
not looked through."""


class Pool:
    """The servers. The Chef server forgets each that comes back."""

    def __init__(self, image: str, network: Network, kitchen: Kitchen) -> None:
        self._image = image
        self._network = network
        self._kitchen = kitchen
        self._all: list[Container] = []
        self._free: list[Container] = []

    @contextlib.contextmanager
    def server(self) -> Iterator[Node]:
        """A bare server that the Chef server does not know."""
        container = self._free.pop() if self._free else self._new()
        name = str(container.attrs["Config"]["Hostname"])
        yield Node(container, name, self._kitchen)
        self._kitchen.server.delete_client(name)
        self._kitchen.server.delete_node(name)
        if self._is_as_it_was(container):
            self._free.append(container)
        else:
            self._remove(container)

    def close(self) -> None:
        """Remove all of them."""
        for container in list(self._all):
            self._remove(container)

    def _new(self) -> Container:
        container = docker.from_env().containers.run(
            self._image,
            entrypoint=["sleep", "infinity"],
            command=[],
            init=True,
            detach=True,
            hostname=f"node-{uuid.uuid4().hex[:8]}",
            network=self._network.name,
        )
        self._all.append(container)
        container.reload()
        assert inside.run(container, _MARK).code == 0
        return container

    @staticmethod
    def _is_as_it_was(container: Container) -> bool:
        return inside.run(container, _RESET).code == 0

    def _remove(self, container: Container) -> None:
        container.remove(force=True, v=True)
        self._all.remove(container)
