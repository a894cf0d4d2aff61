"""Backups and restores as plans and DAGs."""

from __future__ import annotations

import json
import pathlib

import pytest
from airflow.sdk import DAG, Asset, TriggerRule
from airflow.serialization.serialized_objects import DagSerialization

from gantry import definition, names, plan
from gantry.dag import compile as dag_compile
from gantry.dag import deployment_dags
from gantry.dag.operations import RECIPES

from .definitions import HEAD, service

TEXT = (
    HEAD
    + "timezone: Europe/Berlin\nschedule: '@weekly'\n"
    + "tiers: {data: {launch_configuration: debian, servers: 1}, web: {launch_configuration: debian, servers: 2}}\n"
    + f"services: {{db: {service(1, 'data', data='main')}, app: {service(2, 'web', 'db.main')}}}\n"
    + "backups:\n  of: {rows: db.main, files: app}\n  to: s3://shop/backups/\n  schedule: '0 2 * * *'\n"
    + "  drill: {schedule: '0 5 * * 0', check: {rows: bin/count}}\n"
)


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DAG]:
    path = tmp_path_factory.mktemp("shop") / "shop.yaml"
    path.write_text(TEXT)
    return {dag.dag_id: dag for dag in deployment_dags(path)}


def test_only_a_definition_with_backups_has_their_dags(dags: dict[str, DAG], tmp_path: pathlib.Path) -> None:
    assert list(dags) == [
        "shop",
        "shop.terminate",
        "shop.backup",
        "shop.restore",
        "shop.recover",
        "shop.drill",
    ]
    bare = tmp_path / "bare.yaml"
    bare.write_text(TEXT.partition("backups:")[0])
    assert [dag.dag_id for dag in deployment_dags(bare)] == ["shop", "shop.terminate", "shop.recover"]


def test_each_backup_is_made_and_then_noted_beside_the_others(dags: dict[str, DAG]) -> None:
    dag = dags["shop.backup"]
    assert sorted(dag.task_ids) == [
        "backup-files.back_up", "backup-files.keep_backup", "backup-rows.back_up", "backup-rows.keep_backup",
        "keep_record", "turn",
    ]  # fmt: skip
    assert dag.get_task("backup-rows.back_up").downstream_task_ids == {"backup-rows.keep_backup"}
    assert dag.get_task("backup-rows.back_up").upstream_task_ids == {"turn"}
    assert dag.task_group_dict["backup-rows"].tooltip == "Backup of db.main"
    steps = plan.backup_plan(definition.loads(TEXT)).by_id
    assert steps["backup-rows.back_up"].scripts == ("backupDataSource", "uploadBackup")
    assert steps["backup-files.back_up"].scripts == ("backupService", "uploadBackup")


def test_what_is_complete_updates_its_asset_and_nothing_else_does(dags: dict[str, DAG]) -> None:
    outlets = {
        task.task_id: [each.uri for each in task.outlets if isinstance(each, Asset)]
        for task in dags["shop.backup"].tasks
    }
    assert outlets == {
        "turn": [],
        "backup-rows.back_up": [],
        "backup-rows.keep_backup": ["backup://shop/rows"],
        "backup-files.back_up": [],
        "backup-files.keep_backup": ["backup://shop/files"],
        "keep_record": [],
    }


def test_backups_have_their_schedule_and_restores_none(dags: dict[str, DAG]) -> None:
    backup, restore = (
        DagSerialization.to_dict(dags[name])["dag"]["timetable"] for name in ("shop.backup", "shop.restore")
    )
    assert (backup["__var"]["expression"], backup["__var"]["timezone"]) == ("0 2 * * *", "Europe/Berlin")
    assert restore["__type"].endswith("NullTimetable")
    for dag in dags.values():
        assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_the_forms_offer_what_there_is(dags: dict[str, DAG]) -> None:
    backup, restore = dags["shop.backup"].params, dags["shop.restore"].params
    assert list(backup) == ["backups", "reason"]
    assert backup.get_param("backups").schema["items"]["enum"] == ["files", "rows"]
    assert list(restore) == ["backup", "object", "confirm", "reason"]
    assert restore.get_param("backup").schema["enum"] == ["files", "rows"]
    assert (restore["confirm"], restore["object"]) == ("", "")
    assert "Type shop" in str(restore.get_param("confirm").description)


def test_a_restore_asks_first(dags: dict[str, DAG]) -> None:
    dag = dags["shop.restore"]
    assert dag.get_task("confirm_restore").downstream_task_ids == {"turn"}
    assert dag.get_task("turn").downstream_task_ids == {
        "backup-rows.restore",
        "backup-files.restore",
    }
    assert "datasource `db.main`" in str(dag.doc_md)
    assert "`s3://shop/backups/shop/rows/`" in str(dags["shop.backup"].doc_md)


def test_a_drill_has_its_schedule_and_only_where_it_is_wanted(dags: dict[str, DAG]) -> None:
    timetable = DagSerialization.to_dict(dags["shop.drill"])["dag"]["timetable"]
    assert timetable["__var"]["expression"] == "0 5 * * 0"
    assert list(dags["shop.drill"].params) == ["reason"]
    assert "| rows | `db.main` | yes |" in str(dags["shop.drill"].doc_md)
    assert "`shop--drill-data-1`, `shop--drill-web-1`" in str(dags["shop.drill"].doc_md)
    without = definition.loads(TEXT.partition("  drill:")[0])
    assert not RECIPES[names.Operation.DRILL].needed(without)


def test_a_drills_servers_go_when_all_is_over_and_its_last_task_waits_for_success(
    dags: dict[str, DAG],
) -> None:
    dag = dags["shop.drill"]
    remove, finish = dag.get_task("remove_drill_servers"), dag.get_task("finish_drill")
    assert (remove.trigger_rule, finish.trigger_rule) == (TriggerRule.ALL_DONE, TriggerRule.ALL_SUCCESS)
    assert remove.upstream_task_ids == set(dag.task_ids) - {"remove_drill_servers", "finish_drill"}
    # The only leaf: what it waits for in vain has failed the run.
    assert [task.task_id for task in dag.tasks if not task.downstream_task_ids] == ["finish_drill"]
    assert finish.upstream_task_ids == {"backup-files.restore", "remove_drill_servers"}
    assert [each.name for each in finish.outlets] == ["deployment://shop--drill"]
    assert not any(task.is_setup or task.is_teardown for task in dag.tasks)
    known = (dag.user_defined_macros or {})["gantry"].definition
    assert known.deployment == "shop--drill"


def test_each_parse_gives_the_same_dags() -> None:
    known = definition.loads(TEXT)
    for operation in names.Operation:
        first, second = (
            json.dumps(DagSerialization.to_dict(dag_compile.operation_dag(known, operation)))
            for _ in range(2)
        )
        assert first == second


def test_a_dags_id_tells_its_operation() -> None:
    for operation in names.Operation:
        assert names.operation_of(names.dag_id("shop", operation)) is operation
    assert names.operation_of("shop.launch") is None
    assert names.operation_of("shop.else") is None
