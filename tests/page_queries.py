"""Tests of the pages, which run on SQLite otherwise, once more on another metadata database.

In a process of their own: Airflow has one database in a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ASKING = (
    "test_actions.py::test_a_mistake_is_told_at_its_field_and_nothing_starts",
    "test_asset_state_queries.py::test_another_deployment_s_and_what_only_looks_alike_are_not_shown",
    "test_asset_state_queries.py::test_what_a_server_was_handed",
    "test_asset_state_queries.py::test_what_an_earlier_gantry_has_noted_is_shown_until_it_has_been_moved",
    "test_deployment.py::test_a_failed_task_shows_what_it_has_kept_of_its_failures",
    "test_deployment.py::test_a_record_that_nobody_closed_ends_as_its_run_did",
    "test_deployment.py::test_a_run_shows_its_grid_and_its_timeline",
    "test_deployments.py::test_search_state_and_tag_narrow_the_list",
    "test_queries.py::test_a_deployment_s_page_asks_as_often_among_many_as_among_few",
)
"""Of `tests/unit/web`: together they ask nearly all that `gantry.web.queries` asks a database."""


def ask(url: str, folder: Path, *options: str) -> None:
    """Run them on an empty database.

    Args:
        url: of the database, with its password, which goes into a file.
        folder: for that file.
        options: of pytest.
    """
    address = folder / "url"
    address.touch(mode=0o600)
    address.write_text(url)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, *(f"tests/unit/web/{name}" for name in ASKING)],
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
