"""supervisord for the programs of all machines: restarts exited programs, like systemd, Docker and Kubernetes."""

from __future__ import annotations

import configparser
import contextlib
import dataclasses
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gantry.local import errors

_READY_SECONDS = 20.0
_END_SECONDS = 60.0
_CONFIGURATION = "supervisord.conf"


class SupervisorError(errors.LocalCloudError):
    """supervisord is missing, or a command of it failed."""


@dataclasses.dataclass(frozen=True)
class Supervisor:
    """A running supervisord.

    Attributes:
        folder: its configuration, its socket, and `NAME.log` for each program.
    """

    folder: Path

    def do(self, action: str, *programs: str) -> str:
        """Run `start`, `stop`, `signal KILL` and the like with supervisorctl; return its output."""
        done = subprocess.run(  # noqa: S603 - a program of our own environment
            [
                _program("supervisorctl"),
                "-c",
                str(self.folder / _CONFIGURATION),
                *action.split(),
                *programs,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if "ERROR" in done.stdout:
            raise SupervisorError(f"supervisorctl {action} {' '.join(programs)}: {done.stdout.strip()}")
        return done.stdout

    def pid(self, program: str) -> int:
        """Return the process id of a program's first process; 0 if it does not run."""
        return int(self.do("pid", program).strip() or 0)

    def log(self, program: str) -> Path:
        """Return the path of a program's log, over all its starts."""
        return self.folder / f"{program}.log"

    def own_pid(self) -> int:
        """The process id of supervisord itself; 0 where it does not run."""
        try:
            pid = int((self.folder / "supervisord.pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return 0
        # A killed one leaves its file, and its number may be that of another process by now.
        return pid if str(self.folder / _CONFIGURATION).encode() in words else 0

    def end(self) -> None:
        """End everything, and wait for it."""
        # All at once. A shutdown alone ends one after the other, and waits for each.
        for action in ("stop all", "shutdown"):
            with contextlib.suppress(SupervisorError):
                self.do(action)
        deadline = time.monotonic() + _END_SECONDS
        while self.own_pid() and time.monotonic() < deadline:
            time.sleep(0.2)


def start(folder: Path, programs: Mapping[str, Sequence[str]]) -> Supervisor:
    """Start supervisord without starting the programs.

    Raises:
        SupervisorError: it is not installed, or does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = Supervisor(folder)
    config = configparser.RawConfigParser()
    socket = str(folder / "control")
    config["unix_http_server"] = {"file": socket, "chmod": "0600"}
    config["supervisord"] = {
        "logfile": str(folder / "supervisord.log"),
        "pidfile": str(folder / "supervisord.pid"),
        "childlogdir": str(folder),
    }
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    config["supervisorctl"] = {"serverurl": f"unix://{socket}"}
    for name, command in programs.items():
        config[f"program:{name}"] = {
            "command": shlex.join(command).replace("%", "%%"),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            # Airflow's parts exit while the database is unavailable, however long that takes.
            "startretries": "1000",
            "stopwaitsecs": "15",
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(found.log(name)),
            "stdout_logfile_maxbytes": "0",
        }
    with (folder / _CONFIGURATION).open("w") as stream:
        config.write(stream)
    subprocess.run([_program("supervisord"), "-c", str(folder / _CONFIGURATION)], check=True)  # noqa: S603 - as above
    deadline = time.monotonic() + _READY_SECONDS
    while not Path(socket).exists():
        if time.monotonic() > deadline:
            raise SupervisorError(f"supervisord did not start; see {folder / 'supervisord.log'}")
        time.sleep(0.1)
    return found


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise SupervisorError(
            f"there is no {name}: pip install 'airflow-provider-gantry[cluster]', or Debian's package supervisor"
        )
    return found
