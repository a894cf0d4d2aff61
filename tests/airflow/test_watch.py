"""A small deployment that is watched, and whose tier follows what a script on its servers says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.airflow.stage import Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

NAME = "watched"
DAG = f"{NAME}.watch"


def definition(url: str) -> str:
    several = probe(NAME, url).replace("servers: 1", "servers: {min: 1, max: 2}")
    return f"{several}\nwatch: {{every: 10s}}\n"


@pytest.fixture(scope="module")
def watched(stage: Stage) -> Iterator[Stage]:
    url = stage.upload("watched.tar.gz", archive())
    stage.define(NAME, definition(url))
    # Nobody but the tests has it look.
    stage.api.await_dag(DAG)
    stage.launch(NAME).succeeds()
    yield stage
    stage.scrap(NAME)


def look(stage: Stage) -> Launch:
    """One look, by hand."""
    run = Launch(stage.api, DAG, stage.api.trigger(DAG))
    run.succeeds()
    return run


def test_who_answers_is_told_and_nothing_follows(watched: Stage) -> None:
    run = look(watched)
    assert "1 of 1 servers answer" in run.task_log("watch")
    assert run.instance("trigger_scale").state == "skipped"


def test_looks_come_by_themselves(watched: Stage) -> None:
    eventually(lambda: len(list(watched.api.runs(DAG))) > 2, "two more looks")
