"""A server in a folder: the shipped scripts, run for real with GANTRY_ROOT."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from gantry.agent.agent_bundle import bundle

SERVICE = "a1000"
CUSTOMER = "c500"
REQUIRED = ("enstratus-configure", "enstratus-start", "enstratus-stop")


@dataclasses.dataclass(frozen=True)
class Result:
    """What a call to a script gave."""

    code: int
    out: str
    err: str


@dataclasses.dataclass(frozen=True)
class Server:
    """The root folder of a server that has the agent."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Server:
        """A server as the handshake leaves it."""
        for file in bundle().files:
            path = root / "enstratus" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            path.chmod(file.mode)
        for name in ("passwd", "group", "shadow", "gshadow"):
            (root / "etc").mkdir(exist_ok=True)
            (root / "etc" / name).touch()
        return cls(root)

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "GANTRY_ROOT": str(self.root), "GANTRY_RETRY_SECONDS": "0.01"}

    def bin(self, script: str) -> str:
        return str(self.path("enstratus/bin") / script)

    def path(self, name: str) -> Path:
        return self.root / name

    def service(self, name: str = "", service: str = SERVICE) -> Path:
        return self.root / "mnt/services" / service / name

    def call(self, script: str, *arguments: str | Path, **environment: str) -> Result:
        """Call a script as SSH would: no terminal, nothing on its standard input."""
        done = subprocess.run(
            [self.bin(script), *map(str, arguments)],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            # As `gantry.agent.job_runner` reads it: a file's name in a message may be in any encoding.
            errors="replace",
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Begin a call and go on."""
        return subprocess.Popen(
            [self.bin(command[0]), *command[1:]],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str | Path, text: str, mode: int = 0o640) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")
        path.chmod(mode)
        return path

    def script(self, name: str | Path, body: str, mode: int = 0o750) -> Path:
        return self.write(name, f"#!/bin/sh\n{body}\n", mode)

    def service_script(self, name: str, body: str, mode: int = 0o750) -> Path:
        return self.script(self.service(f"bin/{name}"), body, mode)

    def custom(self, name: str, body: str, mode: int = 0o750) -> Path:
        """A script of the operator's own: an override, a hook, or one that only this server has."""
        return self.script(f"enstratus/custom/bin/{name}", body, mode)

    def journal(self) -> list[str]:
        return self.path("enstratus/ws/log/agent.log").read_text().splitlines()


def until(condition: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Poll for something that other processes bring about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether the process lives; one that only waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
