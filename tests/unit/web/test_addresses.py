"""Addresses of pages."""

from __future__ import annotations

import urllib.parse

import pytest

from gantry.web.http.addresses import Addresses

RUNS = ("manual__2026-11-30T00:04:54.872227+00:00", "nightly, by hand (2)", "50% & more?", "a/b", "späť")


@pytest.mark.parametrize("run", RUNS)
def test_an_address_leads_to_one_run(run: str) -> None:
    found = Addresses("").run("shop", run)
    before, after, part = found.rpartition("/runs/")
    assert before + after == "/gantry/dags/shop/runs/"
    assert not set(part) & set("/?# ")
    assert urllib.parse.unquote(part) == run


def test_a_runs_id_is_written_as_airflow_writes_it() -> None:
    """Airflow's frame loads a page a second time whose address is not the same when it is decoded."""
    assert Addresses("").run("shop", RUNS[0]) == f"/gantry/dags/shop/runs/{RUNS[0]}"
