"""The pages ask Airflow's database themselves: PostgreSQL answers as SQLite does."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.local.demo import postgresql
from tests import page_queries


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty one."""
    with tempfile.TemporaryDirectory(prefix="gantry-airflow-") as here:
        # The server's own user has to get through.
        Path(here).chmod(0o711)
        folder = Path(here) / "database"
        try:
            yield postgresql.start(folder, secrets.token_hex(16)).url
        finally:
            postgresql.stop(folder)


def test_the_pages_ask_it_as_they_ask_sqlite(database: str, tmp_path: Path) -> None:
    page_queries.ask(database, tmp_path)
