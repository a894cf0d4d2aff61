"""The DAG that watches: when it runs, what it does not do, and where there is none."""

from __future__ import annotations

import datetime
import json
import pathlib

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from gantry.dag import deployment_dags

from .definitions import HEAD, WEB

SEVERAL = WEB.replace("servers: 1", "servers: {min: 1, max: 2}")


def dags(tmp_path: pathlib.Path, text: str) -> dict[str, DAG]:
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    return {dag.dag_id: dag for dag in deployment_dags(file)}


@pytest.mark.parametrize(("text", "has_one"), [("", False), ("watch: {}\n", True)])
def test_who_does_not_want_to_be_watched_has_no_such_dag(
    tmp_path: pathlib.Path, text: str, *, has_one: bool
) -> None:
    assert ("shop.watch" in dags(tmp_path, HEAD + SEVERAL + text)) is has_one


def test_a_look_follows_the_other_and_never_waits_behind_it(tmp_path: pathlib.Path) -> None:
    dag = dags(tmp_path, f"{HEAD}{SEVERAL}watch: {{every: 30s}}\n")["shop.watch"]
    assert (dag.max_active_runs, dag.catchup) == (1, False)
    found = DagSerialization.to_dict(dag)["dag"]["timetable"]
    assert found["__type"].endswith("DeltaTriggerTimetable")
    assert found["__var"]["delta"] == datetime.timedelta(seconds=30).total_seconds()


def test_a_look_takes_no_turn_and_is_not_tried_again(tmp_path: pathlib.Path) -> None:
    text = f"{HEAD}{SEVERAL}retries: 5\nwatch: {{}}\non_failure_callback: []\n"
    dag = dags(tmp_path, text)["shop.watch"]
    assert "turn" not in dag.task_ids
    assert dag.get_task("watch").downstream_task_ids == set(dag.task_ids) - {"watch"}
    assert {task.retries for task in dag.tasks} == {0}


def test_the_same_definition_makes_the_same_dag(tmp_path: pathlib.Path) -> None:
    text = f"{HEAD}{SEVERAL}watch: {{}}\n"
    first, second = (
        json.dumps(DagSerialization.to_dict(dags(tmp_path, text)["shop.watch"])) for _ in range(2)
    )
    assert first == second
