"""The tests' own PostgreSQL: it answers to its password alone, and leaves nothing, whoever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from gantry.local.demo import cleanup, postgresql
from tests.local.conftest import eventually


@pytest.fixture
def folder() -> Iterator[Path]:
    here = Path(tempfile.mkdtemp(prefix="gantry-airflow-"))
    # The server's own user has to get through.
    here.chmod(0o711)
    yield here / "database"
    postgresql.stop(here / "database")
    here.rmdir()


def asked(port: int, password: str) -> str:
    with psycopg2.connect(
        host="127.0.0.1", port=port, user="airflow", password=password, dbname="airflow"
    ) as found:
        return str(found.info.dbname)


def test_it_lets_in_by_its_password_and_is_gone_when_it_is_stopped(folder: Path) -> None:
    server = postgresql.start(folder, "open-sesame")
    assert asked(server.port, "open-sesame") == "airflow"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        asked(server.port, "sesame")
    assert b"PostgreSQL database dump" in server.dump()
    postgresql.stop(folder)
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        asked(server.port, "open-sesame")
    assert not folder.exists()


def test_a_server_that_outlives_a_killed_test_is_found_and_ended(folder: Path) -> None:
    script = textwrap.dedent(f"""\
        import pathlib, time
        from gantry.local.demo import postgresql
        print(postgresql.start(pathlib.Path({str(folder)!r}), "open-sesame").port, flush=True)
        time.sleep(600)
        """)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        port = int(test.stdout.readline())
        # It is nobody's remains as long as the process that began it lives.
        assert not [line for line in cleanup.end_abandoned_databases() if str(folder) in line]
        assert asked(port, "open-sesame") == "airflow"
        os.kill(test.pid, signal.SIGKILL)
    found = eventually(lambda: [line for line in cleanup.end_abandoned_databases() if str(folder) in line])
    assert found == [f"PostgreSQL of {folder}"]
    assert not folder.exists()
