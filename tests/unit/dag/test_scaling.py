"""The DAG that scales: its form, its clock, and where there is none."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.serialization.serialized_objects import DagSerialization

from gantry import definition, names
from gantry.dag import compile as dag_compile
from gantry.dag import deployment_dags

from .definitions import HEAD, ODD, WEB

BOOKSHOP = pathlib.Path(__file__).parents[3] / "include/bookshop/bookshop.yaml"
CLOCK = """\
timezone: Europe/Berlin
scaling:
  - {schedule: "0 8 * * 1-5", servers: {application: 4}}
  - {schedule: "0 20 * * *", servers: {application: 2}}
  - {schedule: "0 8 * * 1-5", servers: {application: 5}}
"""


def scaling(more: str = "") -> DAG:
    return dag_compile.operation_dag(
        definition.loads(f"{BOOKSHOP.read_text()}\n{more}"), names.Operation.SCALE
    )


def timetable(dag: DAG) -> dict[str, Any]:
    found: dict[str, Any] = DagSerialization.to_dict(dag)["dag"]["timetable"]
    return found


def test_the_form_has_an_optional_number_for_each_tier_that_has_a_range() -> None:
    dag = scaling()
    assert dag.dag_id == "bookshop.scale"
    assert dag.max_active_runs == 1
    assert [name for name in dag.params if name.startswith("servers_")] == ["servers_application"]
    param = dag.params.get_param("servers_application")
    assert param.value is None
    assert (param.schema["minimum"], param.schema["maximum"]) == (2, 6)


def test_every_step_is_a_task_and_the_release_comes_first() -> None:
    dag = scaling()
    plan = (dag.user_defined_macros or {})["gantry"].plan
    assert sorted(dag.task_ids) == sorted(step.id for step in plan)
    edges = {(task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids}
    assert set(plan.edges) <= edges
    release = dag.get_task("balancer-front.release_nodes")
    assert release.get_closest_mapped_task_group() is None
    assert release.downstream_task_ids >= {"tier-database.scale_up", "tier-application.scale_up"}
    assert dag.get_task("tier-application.retire_servers").downstream_task_ids == {"finish_launch"}


def test_the_clock_is_all_times_of_the_definition_and_none_without() -> None:
    found = timetable(scaling(CLOCK))
    assert found["__var"]["expressions"] == ["0 8 * * 1-5", "0 20 * * *"]
    assert found["__var"]["timezone"] == "Europe/Berlin"
    assert timetable(scaling())["__type"].endswith("NullTimetable")
    assert "`0 20 * * *`: application 2" in str(scaling(CLOCK).doc_md)


def test_a_scheduled_form_needs_nobody() -> None:
    # Airflow reads no DAG with a clock whose form lacks a valid default.
    params = scaling(CLOCK).params
    assert [params.get_param(name).resolve() for name in ("servers_application", "reason")] == [None, ""]


def test_the_same_definition_makes_the_same_dag() -> None:
    first, second = (json.dumps(DagSerialization.to_dict(scaling(CLOCK))) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("text", "has_one"), [(HEAD + WEB, False), (ODD["a replicated database"], False)])
def test_where_no_tier_has_a_range_there_is_none(tmp_path: pathlib.Path, text: str, *, has_one: bool) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(text)
    assert any(dag.dag_id.endswith(".scale") for dag in deployment_dags(file)) is has_one
    assert any(dag.dag_id == "bookshop.scale" for dag in deployment_dags(BOOKSHOP))
