"""A service's redeploy as a server sees it: the orders of both steps, as the control side gives them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import io
import random
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from .counting import Call, Costs, counted
from .server import CUSTOMER, REQUIRED, SERVICE, Server

_FOLDERS = ("custom/bin", "ws/log", "ws/tmp", "ws/jobs", "ws/state")
_BALLAST = 256 * 1024


class Redeploys:
    """A server on which one release after the other is rolled out; the service's own scripts are one echo each."""

    def __init__(self, server: Server, store: Path, url: str) -> None:
        self._server = server
        self._store = store
        self._url = url
        self._count = 0
        for each in _FOLDERS:
            server.path(f"enstratus/{each}").mkdir(parents=True, exist_ok=True)

    def redeploy(self) -> Costs:
        """Roll out the next release; what it has taken, by what was asked for. All has to succeed."""
        environment = {name: self._server.environment[name] for name in ("PATH", "GANTRY_ROOT")}
        costs = counted(self._orders(), environment, served=self._server.bin("serve"))
        failed = {name: each.err for name, each in costs.each.items() if any(each.codes)}
        assert not failed, failed
        return costs

    def _orders(self) -> list[Call]:
        self._count += 1
        archive = self._archive()
        digest = hashlib.sha256(archive).hexdigest()
        name = f"{self._count}.tar.gz"
        (self._store / name).write_bytes(archive)
        temporary = self._server.path("enstratus/ws/tmp")
        link, target, config = (str(temporary / each) for each in ("link.url", name, "new.cfg"))
        apply = ("applyObject", f"{SERVICE}/archive", digest, digest, "always", self._keys(), target)
        install = ("installService", SERVICE, CUSTOMER, "u1", target)
        applied = f"{SERVICE}/applied={digest}"
        return [
            self._order("marks"),
            self._order("job", "open", "install", str(self._count), name="job open"),
            Call("put", ("sh", "-c", f"cat >{link}"), f"{self._url}/{name}\n"),
            *self._job("install", "withDownload", link, target, digest, *apply, *install,
                       options=("--remove", link, "--remove", target, "--mark", f"{SERVICE}/owned=root")),
            self._order("marks", SERVICE),
            self._order("job", "close", f"install/{self._count}", str(self._count), name="job close"),
            Call("checkService", ("timeout", "20", self._server.bin("checkService"), SERVICE)),
            self._order("marks"),
            Call("put", ("sh", "-c", f"cat >{config}"), f"[enStratus]\ngreeting={self._count}\n"),
            self._order("job", "open", "configure", str(self._count), name="job open"),
            *self._job("configure", "putConfig", SERVICE, config,
                       options=("--remove", config, "--mark", f"{SERVICE}/handed=root",
                                "--unmark", f"{SERVICE}/applied", "--unmark", f"{SERVICE}/configured")),
            *self._job("configure", "configureService", "u1", CUSTOMER, SERVICE,
                       options=("--mark", f"{SERVICE}/configured={digest}")),
            *self._job("configure", "stopService", SERVICE, options=("--unmark", f"{SERVICE}/applied")),
            *self._job("configure", "startService", SERVICE),
            *self._job("configure", "awaitService", SERVICE, "20", options=("--mark", applied)),
            self._order("job", "close", f"configure/{self._count}", str(self._count), name="job close"),
        ]  # fmt: skip

    @staticmethod
    def _keys() -> str:
        return ",".join(f"{SERVICE}/{each}" for each in ("applied", "configured", "handed"))

    def _order(self, script: str, *arguments: str, name: str = "") -> Call:
        return Call(name or script, (self._server.bin(script), *arguments))

    def _job(self, step: str, script: str, *arguments: str, options: tuple[str, ...] = ()) -> list[Call]:
        """Start a job and follow it: both count for its script."""
        identity = f"{step}/{self._count}/{script}"
        job = self._server.bin("job")
        start = (
            "env",
            "GANTRY_JOB_SECONDS=900",
            job,
            "start",
            identity,
            "1",
            *options,
            "--",
            script,
            *arguments,
        )
        return [Call(script, start), Call(script, (job, "follow", identity, "0", "attended"))]

    def _archive(self) -> bytes:
        # Each is another one, and does not get smaller by packing.
        ballast = random.Random(self._count).randbytes(_BALLAST)
        scripts = {f"bin/{each}": b"#!/bin/sh\necho done\n" for each in REQUIRED}
        return _packed({**scripts, "bin/enstratus-check": b"#!/bin/sh\necho OK\n", "lib/ballast": ballast})


@contextlib.contextmanager
def redeploys(server: Server) -> Iterator[Redeploys]:
    """Have a store beside the server, which the archives are downloaded from."""
    with tempfile.TemporaryDirectory() as folder:
        handler = functools.partial(_Quiet, directory=folder)
        store = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=store.serve_forever, daemon=True).start()
        try:
            yield Redeploys(server, Path(folder), f"http://127.0.0.1:{store.server_port}")
        finally:
            store.shutdown()
            store.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of each download."""


def _packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
