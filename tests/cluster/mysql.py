"""A MySQL server of the tests' own, which `docker/setup-mysql.sh` unpacks into `.work/mysql`."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from gantry.local.demo import ports

FOLDER = Path(__file__).parents[2] / ".work" / "mysql"
_READY_SECONDS = 60.0
_SETTINGS = (
    "--explicit-defaults-for-timestamp=1",  # Airflow asks for it
    "--bind-address=127.0.0.1",
    "--mysqlx=OFF",
    "--secure-file-priv=NULL",
    "--skip-log-bin",
    "--performance-schema=OFF",
    # Nobody needs what is lost with this machine.
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=OFF",
)


class MySQLStartError(Exception):
    """The server did not start."""


def is_here() -> bool:
    """Whether it has been unpacked."""
    return (FOLDER / "ready").exists()


@contextlib.contextmanager
def running(password: str) -> Iterator[int]:
    """An empty database `airflow` of an account `airflow`; its port. It ends with this process, however that ends."""
    # In the temporary folder itself: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="gantry-mysql-", ignore_cleanup_errors=True) as folder:
        here = Path(folder)
        _ended(_start(here, "--initialize-insecure"), here)
        first = here / "first.sql"
        first.touch(mode=0o600)
        first.write_text(
            f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{password}';\n"
            "CREATE DATABASE airflow CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;\n"
            f"CREATE USER airflow@'%' IDENTIFIED BY '{password}';\n"
            "GRANT ALL ON airflow.* TO airflow@'%';\n"
        )
        with ports.claimed() as port:
            process = _start(here, f"--port={port}", f"--init-file={first}")
            try:
                _await(port, process, here)
                yield port
            finally:
                process.kill()
                process.wait()


def _start(here: Path, *more: str) -> subprocess.Popen[bytes]:
    libraries = FOLDER / "usr" / "lib" / "x86_64-linux-gnu"
    words = FOLDER / "usr" / "share" / "mysql"
    command = [
        # What a killed test has started ends with it.
        *("setpriv", "--pdeathsig", "KILL", "--"),
        # With its own C library: this machine's is older.
        *(str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries)),
        *(str(FOLDER / "usr" / "sbin" / "mysqld"), "--no-defaults", f"--datadir={here / 'data'}"),
        *(f"--socket={here / 'socket'}", f"--pid-file={here / 'pid'}"),
        *(f"--lc-messages-dir={words}", f"--character-sets-dir={words / 'charsets'}"),
        *(["--user=root"] if os.geteuid() == 0 else []),
        *_SETTINGS,
        *more,
    ]
    with (here / "log").open("ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=here)


def _ended(process: subprocess.Popen[bytes], here: Path) -> None:
    if process.wait(_READY_SECONDS):
        raise MySQLStartError((here / "log").read_text(errors="replace"))


def _await(port: int, process: subprocess.Popen[bytes], here: Path) -> None:
    """Wait until it listens, which it does when it has made the database."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise MySQLStartError((here / "log").read_text(errors="replace"))
        time.sleep(0.05)
