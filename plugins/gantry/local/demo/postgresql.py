"""A separate PostgreSQL server on this machine, from Debian's package, for an Airflow with high load."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from gantry.local import errors
from gantry.local.demo import ports

_USER = "postgres"
"""The server's user if we are root, which PostgreSQL refuses; Debian's package creates the account."""

_READY_SECONDS = 180.0
_SETTINGS = {
    # Data that is lost with this machine is of no use to anyone.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "400",
    "listen_addresses": "127.0.0.1",
}


class PostgreSQLStartError(errors.LocalCloudError):
    """The server did not start."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"PostgreSQL did not start: {why}")


@dataclasses.dataclass(frozen=True)
class PostgreSQL:
    """A running server.

    Attributes:
        folder: the folder of its data, log and socket.
        port: its port on 127.0.0.1. Only the account `airflow` is admitted, with its password.
    """

    folder: Path
    port: int
    password: str = dataclasses.field(repr=False)

    @property
    def url(self) -> str:
        """Return the URL of the database `airflow`, for SQLAlchemy (contains the password)."""
        return f"postgresql+psycopg2://airflow:{self.password}@127.0.0.1:{self.port}/airflow"

    def dump(self) -> bytes:
        """Return the content of the database, as SQL."""
        return _run("pg_dump", "--host", str(self.folder), "--port", str(self.port), "airflow")


def start(folder: Path, password: str) -> PostgreSQL:
    """Create a server with an empty database `airflow`, and wait until it answers.

    Args:
        folder: its folder; created if it does not exist. Its path must have less than 90 characters.
        password: the password of the account `airflow`.

    Raises:
        PostgreSQLStartError: the package is missing, or the server does not start.
    """
    folder.mkdir(parents=True)
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, _USER, _USER)
        except LookupError as error:
            raise PostgreSQLStartError(f"there is no account {_USER}: apt-get install postgresql") from error
    data = folder / "data"
    _run("initdb", "--pgdata", str(data), "--auth", "scram-sha-256", "--auth-local", "peer", "--no-sync")
    with ports.claimed() as port:
        settings = {**_SETTINGS, "port": str(port), "unix_socket_directories": str(folder)}
        with (data / "postgresql.auto.conf").open("a") as stream:
            stream.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        server = PostgreSQL(folder, port, password)
        _serve(server, data)
    words = ("psql", "--host", str(folder), "--port", str(port), "--quiet", "--dbname", "postgres")
    # On standard input: arguments are visible to all users.
    _run(
        *words,
        said=f"CREATE ROLE airflow LOGIN PASSWORD '{password}'; CREATE DATABASE airflow OWNER airflow;",
    )
    return server


def stop(folder: Path) -> None:
    """End the server of a folder, and remove it with all its data, if it exists."""
    if (folder / "data" / "postmaster.pid").exists():
        with contextlib.suppress(PostgreSQLStartError):
            _run("pg_ctl", "stop", "--wait", "--mode", "immediate", "--pgdata", str(folder / "data"))
    shutil.rmtree(folder, ignore_errors=True)


def data_of(arguments: Sequence[bytes]) -> Path | None:
    """Return the data folder of a process with these arguments; None for a process of another kind."""
    match arguments:
        case [program, b"-D", data, *_] if program.endswith(b"/postgres"):
            return Path(data.decode(errors="replace"))
        case _:
            return None


def _serve(server: PostgreSQL, data: Path) -> None:
    """Start the server as our child, so that `make clean` sees whether we live, and wait until it answers."""
    log_file = server.folder / "server.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - a program of Debian's package
            [_program("postgres"), "-D", str(data)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **_as_its_user(),
        )
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            _run("pg_isready", "--quiet", "--host", str(server.folder), "--port", str(server.port))
        except PostgreSQLStartError:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            process.kill()
            raise PostgreSQLStartError(log_file.read_text(errors="replace")) from None
        return


def _run(program: str, *arguments: str, said: str = "") -> bytes:
    """Run one of PostgreSQL's programs as its own user; return its output. `said` is its standard input."""
    done = subprocess.run(  # noqa: S603 - a program of Debian's package
        [_program(program), *arguments],
        capture_output=True,
        input=said.encode(),
        check=False,
        **_as_its_user(),
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise PostgreSQLStartError(f"{program} ended with exit code {done.returncode}: {words}")
    return done.stdout


def _as_its_user() -> _Account:
    """Return keywords for a process that runs as PostgreSQL's own user if we are root."""
    found: _Account = {"cwd": "/", "env": {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}}
    if os.geteuid() == 0:
        account = pwd.getpwnam(_USER)
        found |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return found


class _Account(TypedDict, total=False):
    cwd: str
    env: dict[str, str]
    user: int
    group: int
    extra_groups: list[int]


def _program(name: str) -> str:
    """Return a program's path: Debian has the server's programs of each version in a separate folder."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    found = next((str(each / name) for each in reversed(folders) if (each / name).exists()), None)
    found = found or shutil.which(name)
    if found is None:
        raise PostgreSQLStartError(f"there is no {name}: apt-get install postgresql")
    return found
