"""The pages ask Airflow's database themselves: MySQL answers as SQLite does. (`tests/airflow` asks PostgreSQL.)

Tests of the pages, which run on SQLite otherwise, run once more in a process of their own: Airflow has one database in
a process.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local import mysql

ROOT = Path(__file__).parents[2]
ASKING = (
    "test_actions.py::test_a_mistake_is_told_at_its_field_and_nothing_starts",
    "test_asset_state_queries.py::test_another_deployment_s_and_what_only_looks_alike_are_not_shown",
    "test_asset_state_queries.py::test_what_a_server_was_handed",
    "test_asset_state_queries.py::test_what_an_earlier_gantry_has_noted_is_shown_until_it_has_been_moved",
    "test_deployment.py::test_a_failed_task_shows_what_it_has_kept_of_its_failures",
    "test_deployment.py::test_a_record_that_nobody_closed_ends_as_its_run_did",
    "test_deployment.py::test_a_run_shows_its_grid_and_its_timeline",
    "test_deployments.py::test_search_state_and_tag_narrow_the_list",
)
"""Of `tests/unit/web`: together they ask nearly all that `gantry.web.queries` asks a database."""


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty one."""
    if not mysql.is_here():
        pytest.skip(f"there is no {mysql.FOLDER}: docker/setup-mysql.sh makes it, or says why not")
    password = secrets.token_hex(16)
    with mysql.running(password) as port:
        yield f"mysql+pymysql://airflow:{password}@127.0.0.1:{port}/airflow?charset=utf8mb4"


def test_the_pages_ask_it_as_they_ask_sqlite(database: str, tmp_path: Path) -> None:
    address = tmp_path / "url"
    address.touch(mode=0o600)
    address.write_text(database)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tests.local.pymysql_for_airflow"),
            *(f"tests/unit/web/{name}" for name in ASKING),
        ],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not _is_of_this_run(name)},
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD": f"cat {address}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    assert f"{len(ASKING)} passed" in ended.stdout


def _is_of_this_run(variable: str) -> bool:
    return variable.startswith(("AIRFLOW", "_AIRFLOW", "PYTEST", "GANTRY"))
