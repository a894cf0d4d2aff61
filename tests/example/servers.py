"""Containers that stand for servers, driven as the agent drives a server."""

from __future__ import annotations

import dataclasses
import io
import shlex
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from docker.models.containers import Container

from gantry import archive
from tests import inside

ROOT = Path(__file__).parents[2]
BOOKSHOP = ROOT / "include/bookshop"
SERVER_IMAGE = "gantry-server:prepared"
BARE_IMAGE = "gantry-server:latest"
DATABASE_ID, APPLICATION_ID = "a1001", "a1002"


@dataclasses.dataclass(frozen=True)
class Result:
    """What a command on a server gave."""

    code: int
    out: str
    err: str


class Server:
    """A container that stands for a server, with the customer's user on it."""

    def __init__(self, container: Container, network: str) -> None:
        self.container = container
        container.reload()
        self.address: str = container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        self.run("useradd --system --create-home c100 && mkdir -m 755 -p /mnt/services")

    def attempt(self, command: str) -> Result:
        """Run a shell command as root, as the agent would."""
        ended = inside.run(self.container, f"umask 027; {command}")
        return Result(ended.code or 0, ended.out, ended.err)

    def run(self, command: str) -> str:
        """Run a shell command that has to succeed; its output."""
        result = self.attempt(command)
        assert result.code == 0, f"{command}: exit {result.code}\n{result.out}{result.err}"
        return result.out.strip()

    def spawn(self, command: str) -> None:
        """Run a shell command in the background."""
        self.container.exec_run(["sh", "-c", command], detach=True)

    def write(self, path: str, text: str | bytes, mode: int = 0o600) -> str:
        """Put a file there; its path."""
        member = tarfile.TarInfo(path.lstrip("/"))
        content = text.encode() if isinstance(text, str) else text
        member.size, member.mode = len(content), mode
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.addfile(member, io.BytesIO(content))
        self.container.put_archive("/", packed.getvalue())
        return path

    def install(self, service: archive.BuiltArchive, service_id: str) -> None:
        """Extract an archive and set owner and modes, as `installService` does."""
        home = f"/mnt/services/{service_id}"
        self.run(f"mkdir -p {home}")
        self.container.put_archive(home, service.path.read_bytes())
        self.run(
            f"cd {home} && chown root:c100 . cfg && chown -R root:c100 bin lib && chown -R c100:c100 cfg/* &&"
            " chmod 1770 cfg && chmod 750 bin/* && { [ ! -d sql ] || chown -R root:c100 sql; }"
        )

    def script(self, service_id: str, name: str, *arguments: str) -> Result:
        """Call a script of a service."""
        words = (f"/mnt/services/{service_id}/bin/enstratus-{name}", *arguments)
        return self.attempt(" ".join(map(shlex.quote, words)))


def until(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Return when the condition holds; it is asked again and again."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds} s still not so: {what}"
        time.sleep(0.05)
