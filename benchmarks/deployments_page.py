"""The page of all deployments, of a thousand that have been launched, redeployed and scaled.

    PYTHONPATH=.:plugins .venv/bin/python benchmarks/deployments_page.py --postgresql

Airflow's own application answers in this process, from a SQLite file or from a PostgreSQL server of its own. The first
answer reads the definitions of the deployments in sight; the others find them remembered. The time is the process's
own, so that a busy machine does not count (nor does what PostgreSQL itself takes); Airflow's own list of DAGs is asked
for beside it. Exits 1 when a page takes longer than a second.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import pathlib
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

# Removed with the process.
os.environ.setdefault("AIRFLOW_HOME", (HOME := tempfile.TemporaryDirectory(prefix="gantry-benchmark-")).name)
# Each request would be a line.
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "WARNING")

from tests.unit.web import crowd, rig

from gantry.local.demo import postgresql

BOOKSHOP = pathlib.Path(__file__).parents[1] / "tests/unit/bookshop.yaml"
COUNT = 1000
LIMIT = 1.0
ROUNDS = 5
DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A PostgreSQL server, as Airflow's settings name it."""
    folder = pathlib.Path(tempfile.gettempdir(), f"gantry-benchmark-{os.getpid()}")
    try:
        yield postgresql.start(folder, secrets.token_hex(16)).url
    finally:
        postgresql.stop(folder)


def measure(count: int) -> float:
    """Make the deployments, ask for the page, print how long it took; the longest of Gantry's first answers."""
    with rig.started() as office:
        office.deploy(BOOKSHOP)
        for number in range(3):
            office.launched(
                "bookshop", run=f"launch-{number}", asked=rig.EARLIER - number * datetime.timedelta(days=7)
            )
        office.launched("bookshop.scale", run="scale-1", asked=rig.NOW)
        crowd.multiply("bookshop", count - 1)
        token = office.headers(rig.ADMIN)
        slowest = 0.0
        for path in (
            "/gantry/",
            "/gantry/?sort=state",
            f"/gantry/?q={count - 1:04}",
            "/gantry/?page=20",
            "/api/v2/dags?limit=50",
        ):
            times = []
            for _ in range(ROUNDS):
                started = time.process_time()
                answer = office.client.get(path, headers=token)
                times.append(time.process_time() - started)
                answer.raise_for_status()
            print(
                f"{path:26} first {times[0]:.3f} s, then {min(times[1:]):.3f} s, {len(answer.content) // 1024} KB"
            )
            if path.startswith("/gantry"):
                slowest = max(slowest, times[0])
    return slowest


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--postgresql", action="store_true", help="Debian's package has to be there")
    parser.add_argument("--deployments", type=int, default=COUNT)
    asked = parser.parse_args()
    if asked.postgresql:
        # Airflow has read its settings by now: in a process of its own.
        with server() as url:
            again = [sys.executable, __file__, "--deployments", str(asked.deployments)]
            return subprocess.run(again, env={**os.environ, DATABASE: url}, check=False).returncode
    return int(measure(asked.deployments) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
