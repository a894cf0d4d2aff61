"""A database that is backed up and restored: rows that were lost are back, and what is no sound backup is refused."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from gantry.cli import kept
from gantry.local import example
from gantry.status import records
from tests.airflow.stage import Launch, Machine, Stage

pytestmark = pytest.mark.airflow

SHOP = "vault"
FOLDER = f"backups/{SHOP}/catalog/"
BROKEN = "#!/bin/sh\necho half a dump >\"$4\"\necho 'the disk is full' >&2\nexit 9\n"
SCRIPT = "/mnt/services/a1001/bin/enstratus-backupDataSource"


def definition(name: str) -> str:
    return textwrap.dedent(f"""\
        deployment: {name}
        cloud: {{connection: aws_default, region: eu-central-1}}
        launch_configurations:
          debian: {{image: gantry-debian-12-prepared, ssh: {{connection: bookshop_ssh}}}}
        tiers:
          database: {{launch_configuration: debian, servers: 1}}
        services:
          db:
            id: a1001
            tier: database
            archive: s3://bookshop/dbService.tar.gz
            port: 3306
            datasources:
              catalog: {{dump: s3://bookshop/datasource.sql, connection: bookshop_catalog}}
        backups:
          of: {{catalog: db.catalog}}
          to: s3://{example.BUCKET}/backups/
          keep: 2
          restore_from: ["s3://{example.BUCKET}/elsewhere/"]
        """)


@pytest.fixture(scope="module")
def machine(stage: Stage) -> Iterator[Machine]:
    """The database server, launched."""
    stage.define(SHOP, definition(SHOP))
    stage.api.await_dag(f"{SHOP}.backup")
    stage.api.await_dag(f"{SHOP}.restore")
    stage.launch(SHOP).succeeds()
    yield stage.machine(SHOP)
    for dag in (f"{SHOP}.backup", f"{SHOP}.restore"):
        stage.api.call("PATCH", f"/dags/{dag}", json={"is_paused": True})
    stage.scrap(SHOP)


def sql(machine: Machine, statement: str) -> str:
    return machine.sh(f'mariadb --socket=/mnt/services/a1001/run/mariadb.sock -N -e "{statement}"').strip()


def books(machine: Machine) -> int:
    return int(sql(machine, "SELECT COUNT(*) FROM catalog.book"))


def back_up(stage: Stage, **params: Any) -> Launch:
    dag = f"{SHOP}.backup"
    return Launch(stage.api, dag, stage.api.trigger(dag, **params))


def restore(stage: Stage, object_: str = "", confirm: str = SHOP) -> Launch:
    dag = f"{SHOP}.restore"
    run = stage.api.trigger(dag, backup="catalog", object=object_, confirm=confirm)
    return Launch(stage.api, dag, run)


def objects(stage: Stage) -> list[str]:
    """The names in the backup's folder."""
    found = stage.cloud.client("s3").list_objects_v2(Bucket=example.BUCKET, Prefix=FOLDER)
    return sorted(each["Key"].removeprefix(FOLDER) for each in found.get("Contents", ()))


def dumps(stage: Stage) -> list[str]:
    return [each for each in objects(stage) if each.endswith(".sql")]


def content(stage: Stage, name: str) -> bytes:
    found = stage.cloud.client("s3").get_object(Bucket=example.BUCKET, Key=f"{FOLDER}{name}")
    return bytes(found["Body"].read())


def test_rows_that_were_lost_are_back_after_a_restore(stage: Stage, machine: Machine) -> None:
    before = books(machine)
    sql(
        machine,
        "UPDATE catalog.book SET title = 'The Vault' WHERE id = 1; DELETE FROM catalog.book WHERE id = 2",
    )
    sql(machine, "CREATE VIEW catalog.titles AS SELECT title FROM catalog.book")
    run = back_up(stage, reason="before the accident")
    run.succeeds()
    (dump,) = dumps(stage)
    assert objects(stage) == [dump, f"{dump}.json"]
    manifest = json.loads(content(stage, f"{dump}.json"))
    assert manifest["size"] == len(content(stage, dump))
    assert (manifest["deployment"], manifest["service"], manifest["datasource"]) == (SHOP, "db", "catalog")
    assert manifest["archive"] == machine.sh("cat /enstratus/ws/state/a1001/archive").strip()
    assert machine.secrets_in_transit() == []
    shown = run.everything_shown()
    assert "backupDataSource a1001 catalog" in shown
    assert "X-Amz-Signature" not in shown
    assert "Signature" not in "\n".join(machine.journal())

    sql(machine, "DELETE FROM catalog.book")
    assert books(machine) == 0
    restore(stage).succeeds()
    assert books(machine) == before - 1
    assert sql(machine, "SELECT title FROM catalog.book WHERE id = 1") == "The Vault"
    # A view is no part of the dump, and shows the restored rows.
    assert int(sql(machine, "SELECT COUNT(*) FROM catalog.titles")) == before - 1
    assert machine.secrets_in_transit() == []

    # The very same dump once more: what was loaded last is no reason to leave it.
    sql(machine, "DELETE FROM catalog.book")
    restore(stage, object_=dump).succeeds()
    assert books(machine) == before - 1


def test_a_launch_after_a_restore_leaves_the_restored_rows(stage: Stage, machine: Machine) -> None:
    loads, starts = machine.calls("installDataSource"), machine.calls("startService")
    stage.launch(SHOP).succeeds()
    assert (machine.calls("installDataSource"), machine.calls("startService")) == (loads, starts)
    assert sql(machine, "SELECT title FROM catalog.book WHERE id = 1") == "The Vault"


def test_what_was_done_is_on_record(stage: Stage, machine: Machine) -> None:
    state = kept.state_of(stage.api, SHOP)
    found = state.records()
    assert [(each.operation, each.result) for each in found] == [
        ("launch", records.Result.SUCCESS),
        ("restore", records.Result.SUCCESS),
        ("restore", records.Result.SUCCESS),
        ("backup", records.Result.SUCCESS),
        ("launch", records.Result.SUCCESS),
    ]
    restored, made = found[1], found[3]
    (dump,) = dumps(stage)
    assert (made.by, made.reason) == (stage.airflow.user, "before the accident")
    for each in (restored, made):
        about = each.objects["catalog"]
        assert about.url == f"s3://{example.BUCKET}/{FOLDER}{dump}"
        assert about.size == len(content(stage, dump))
        assert about.seconds > 0
    # The second launch has changed nothing, so it has told nobody anything.
    assert state.facts_of(found[0]) == []
    (told,) = state.facts_of(found[4])
    assert (told.service, told.server) == ("db", f"{SHOP}-database-1")
    assert {place: each.version for place, each in state.versions().items()} == {
        ("db", f"{SHOP}-database-1"): machine.sh("cat /enstratus/ws/state/a1001/archive").strip()
    }


def test_a_backup_updates_its_asset(stage: Stage, machine: Machine) -> None:
    found = stage.api.call("GET", "/assets?name_pattern=backup")["assets"]
    assert [each["uri"] for each in found] == [f"backup://{SHOP}/catalog"]
    events = stage.api.call("GET", f"/assets/events?asset_id={found[0]['id']}")["asset_events"]
    assert [each["source_dag_id"] for each in events] == [f"{SHOP}.backup"]


def test_without_the_name_nothing_is_restored(stage: Stage, machine: Machine) -> None:
    error = restore(stage, confirm="bookshop").fails_at("confirm_restore")
    assert "nothing was restored" in error


def test_an_object_from_elsewhere_is_taken_only_from_a_folder_that_is_named(
    stage: Stage, machine: Machine
) -> None:
    (dump,) = dumps(stage)
    for folder in ("elsewhere/shop/", "nowhere/shop/"):
        for name in (dump, f"{dump}.json"):
            stage.upload(f"{folder}{name}", content(stage, name))
    error = restore(stage, object_=f"s3://{example.BUCKET}/nowhere/shop/{dump}").fails_at("confirm_restore")
    assert "restore_from" in error
    sql(machine, "DELETE FROM catalog.book WHERE id = 1")
    restore(stage, object_=f"s3://{example.BUCKET}/elsewhere/shop/{dump}").succeeds()
    assert sql(machine, "SELECT title FROM catalog.book WHERE id = 1") == "The Vault"


def test_a_backup_that_was_tampered_with_is_refused_and_nothing_changes(
    stage: Stage, machine: Machine
) -> None:
    (dump,) = dumps(stage)
    sound = content(stage, dump)
    stage.upload(f"{FOLDER}{dump}", sound.replace(b"The Vault", b"The Fault"))
    loads, before = machine.calls("installDataSource"), books(machine)
    error = restore(stage).fails_at("backup-catalog.restore")
    assert f"{SHOP}-database-1" in error
    assert "wrong content" in error
    assert machine.calls("installDataSource") == loads
    assert books(machine) == before
    assert machine.secrets_in_transit() == []
    stage.upload(f"{FOLDER}{dump}", sound)


def test_a_backup_that_fails_leaves_nothing_behind(stage: Stage, machine: Machine) -> None:
    before = objects(stage)
    sound = machine.sh(f"cat {SCRIPT}")
    write(machine, BROKEN)
    try:
        error = back_up(stage).fails_at("backup-catalog.back_up")
    finally:
        write(machine, sound)
    assert f"{SHOP}-database-1" in error
    assert "backupDataSource a1001 catalog" in error
    assert "exit code 9" in error
    assert "the disk is full" in error
    assert objects(stage) == before
    assert machine.secrets_in_transit() == []


def test_a_long_backup_is_followed_by_the_triggerer(stage: Stage, machine: Machine) -> None:
    sound = machine.sh(f"cat {SCRIPT}")
    stage.redefine(SHOP, f"attend_time: 0.5s\n{definition(SHOP)}")
    write(machine, sound.replace("set -u\n", "set -u\nsleep 3\n", 1))
    try:
        run = back_up(stage)
        run.succeeds()
    finally:
        write(machine, sound)
        stage.redefine(SHOP, definition(SHOP))
    assert "the triggerer goes on following" in run.task_log("backup-catalog.back_up")
    newest = dumps(stage)[-1]
    assert json.loads(content(stage, f"{newest}.json"))["size"] == len(content(stage, newest))
    assert machine.secrets_in_transit() == []


def test_the_oldest_backups_go_when_a_new_one_is_complete(stage: Stage, machine: Machine) -> None:
    first, second = dumps(stage)
    back_up(stage).succeeds()
    kept = dumps(stage)
    assert len(kept) == 2
    assert kept[0] == second
    assert first not in kept
    assert objects(stage) == sorted([*kept, *(f"{each}.json" for each in kept)])


def test_a_final_backup_that_fails_keeps_the_servers_and_one_that_succeeds_outlives_them(
    stage: Stage, machine: Machine
) -> None:
    sound = machine.sh(f"cat {SCRIPT}")
    write(machine, BROKEN)
    error = stage.terminate(SHOP, final_backup=True).fails_at("backup-catalog.back_up")
    assert "the disk is full" in error
    assert list(stage.instances(SHOP))
    assert books(machine) > 0
    write(machine, sound)
    before = dumps(stage)
    last = stage.terminate(SHOP, final_backup=True)
    last.succeeds()
    assert not list(stage.instances(SHOP))
    (new,) = set(dumps(stage)) - set(before)
    assert f"{new}.json" in objects(stage)
    record = kept.records_of(stage.api, SHOP)[0]
    assert (record.operation, record.ended) == ("terminate", (f"{SHOP}-database-1",))
    assert record.objects["catalog"].url.endswith(new)
    # With nothing left there is nothing to back up, and nothing to refuse.
    stage.terminate(SHOP, final_backup=True).succeeds()


def write(machine: Machine, script: str) -> None:
    """Put another backup script in place, as it was."""
    machine.container.put_archive("/", _packed(script))


def _packed(script: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        member = tarfile.TarInfo(SCRIPT.lstrip("/"))
        member.size, member.mode = len(script.encode()), 0o750
        packed.addfile(member, io.BytesIO(script.encode()))
    return buffer.getvalue()
