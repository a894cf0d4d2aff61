"""The pages ask Airflow's database themselves: MySQL answers as SQLite does. It needs no cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import page_queries
from tests.cluster import mysql


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty one."""
    if not mysql.is_here():
        pytest.skip(f"there is no {mysql.FOLDER}: docker/setup-mysql.sh makes it, or says why not")
    password = secrets.token_hex(16)
    with mysql.running(password) as port:
        yield f"mysql+pymysql://airflow:{password}@127.0.0.1:{port}/airflow?charset=utf8mb4"


def test_the_pages_ask_it_as_they_ask_sqlite(database: str, tmp_path: Path) -> None:
    page_queries.ask(database, tmp_path, "-p", "tests.cluster.pymysql_for_airflow")
