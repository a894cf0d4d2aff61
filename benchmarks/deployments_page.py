"""The page of all deployments, of a thousand that have been launched, redeployed and scaled.

    PYTHONPATH=. .venv/bin/python benchmarks/deployments_page.py

Airflow's own application answers in this process, from a SQLite file. The first answer reads the definitions of the
deployments in sight; the others find them remembered. The time is the process's own, so that a busy machine does not
count; Airflow's own list of DAGs is asked for beside it. Exits 1 when a page takes longer than a second.
"""

from __future__ import annotations

import datetime
import os
import pathlib
import sys
import tempfile
import time

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="gantry-benchmark-"))

from tests.unit.web import crowd, rig

BOOKSHOP = pathlib.Path(__file__).parents[1] / "tests/unit/bookshop.yaml"
COUNT = 1000
LIMIT = 1.0
ROUNDS = 5


def main() -> int:
    """Make the deployments, ask for the page, print how long it took."""
    with rig.started() as office:
        office.deploy(BOOKSHOP)
        for number in range(3):
            office.launched(
                "bookshop", run=f"launch-{number}", asked=rig.EARLIER - number * datetime.timedelta(days=7)
            )
        office.launched("bookshop.scale", run="scale-1", asked=rig.NOW)
        crowd.multiply("bookshop", COUNT - 1)
        token = office.headers(rig.ADMIN)
        slowest = 0.0
        for path in (
            "/gantry/",
            "/gantry/?sort=state",
            "/gantry/?q=0999",
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
    return int(slowest > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
