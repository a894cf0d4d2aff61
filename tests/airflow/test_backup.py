"""Data that is backed up, restored and drilled: what was lost is back, and what is no sound backup is refused."""

from __future__ import annotations

import io
import json
import tarfile
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from gantry import names, overview
from gantry.cli.queries import asset_state
from gantry.local.demo import example
from gantry.state import run_records
from tests.airflow.stage import Launch, Machine, Stage, archive

pytestmark = pytest.mark.airflow

SHOP = "vault"
DRILL = names.of_drill(names.DeploymentName(SHOP))
FOLDER = f"backups/{SHOP}/catalog/"
BROKEN = "#!/bin/sh\necho half a dump >\"$4\"\necho 'the disk is full' >&2\nexit 9\n"
SCRIPT = "/mnt/services/a1001/bin/enstratus-backupDataSource"
PAGE = "/mnt/services/a2001"
CHECK = """mariadb --socket=run/mariadb.sock -N -e "SELECT CONCAT(COUNT(*), ' books') FROM catalog.book\""""


def definition(name: str, attend: str = "30s", check: str = CHECK, page_check: str = "true") -> str:
    return textwrap.dedent(f"""\
        attend_time: {attend}
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
          page: {{id: a2001, tier: database, archive: s3://{example.BUCKET}/vault-page.tar.gz}}
        backups:
          of: {{catalog: db.catalog, files: page}}
          to: s3://{example.BUCKET}/backups/
          keep: 2
          restore_from: ["s3://{example.BUCKET}/elsewhere/"]
          drill:
            max_age: 1h
            check:
              catalog: {json.dumps(check)}
              files: {json.dumps(page_check)}
        """)


@pytest.fixture(scope="module")
def machine(stage: Stage) -> Iterator[Machine]:
    """The server with the database and a page, launched."""
    stage.upload("vault-page.tar.gz", archive())
    stage.define(SHOP, definition(SHOP))
    stage.api.await_dag(f"{SHOP}.backup")
    stage.api.await_dag(f"{SHOP}.restore")
    stage.api.await_dag(f"{SHOP}.drill")
    stage.launch(SHOP).succeeds()
    yield stage.machine(SHOP)
    stage.scrap(SHOP)
    stage.scrap(DRILL)


def sql(machine: Machine, statement: str) -> str:
    return machine.sh(f'mariadb --socket=/mnt/services/a1001/run/mariadb.sock -N -e "{statement}"').strip()


def books(machine: Machine) -> int:
    return int(sql(machine, "SELECT COUNT(*) FROM catalog.book"))


def back_up(stage: Stage, **params: Any) -> Launch:
    dag = f"{SHOP}.backup"
    return Launch(stage, dag, stage.api.trigger(dag, **params))


def restore(stage: Stage, object_: str = "", confirm: str = SHOP, backup: str = "catalog") -> Launch:
    dag = f"{SHOP}.restore"
    run = stage.api.trigger(dag, backup=backup, object=object_, confirm=confirm)
    return Launch(stage, dag, run)


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
    state = asset_state.state_of(stage.api, SHOP)
    found = state.records()
    assert [(each.operation, each.result) for each in found] == [
        ("launch", run_records.Result.SUCCESS),
        ("restore", run_records.Result.SUCCESS),
        ("restore", run_records.Result.SUCCESS),
        ("backup", run_records.Result.SUCCESS),
        ("launch", run_records.Result.SUCCESS),
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
    assert state.facts_of(found[0]) == ()
    server = f"{SHOP}-database-1"
    told = {(each.service, each.server) for each in state.facts_of(found[4])}
    assert told == {("db", server), ("page", server)}
    assert {place: each.version for place, each in overview.installed(state.kept).items()} == {
        (service, server): machine.sh(f"cat /enstratus/ws/state/{number}/archive").strip()
        for service, number in (("db", "a1001"), ("page", "a2001"))
    }


def test_a_backup_updates_its_asset(stage: Stage, machine: Machine) -> None:
    every = stage.api.call("GET", f"/assets?name_pattern=backup://{SHOP}/")["assets"]
    found = sorted(every, key=lambda each: str(each["uri"]))
    assert [each["uri"] for each in found] == [f"backup://{SHOP}/catalog", f"backup://{SHOP}/files"]
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
    stage.redefine(SHOP, definition(SHOP, attend="0.01s"))
    write(machine, sound.replace("set -u\n", "set -u\nsleep 3\n", 1))
    try:
        run = back_up(stage)
        run.succeeds()
    finally:
        write(machine, sound)
        stage.redefine(SHOP, definition(SHOP))
    assert "the triggerer continues to follow them" in run.task_log("backup-catalog.back_up")
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


def test_a_services_folder_is_put_back_and_the_service_runs(stage: Stage, machine: Machine) -> None:
    machine.sh(f"echo precious >{PAGE}/notes; chmod 600 {PAGE}/notes")
    back_up(stage, backups=["files"]).succeeds()
    starts = machine.calls("startService")
    machine.sh(f"rm {PAGE}/notes; echo changed >{PAGE}/bin/enstratus-check")
    run = restore(stage, backup="files")
    run.succeeds()
    assert machine.sh(f"cat {PAGE}/notes").strip() == "precious"
    # It was stopped, put back, configured with today's facts and started; the database beside it was not.
    assert machine.calls("startService") == starts + 1
    assert machine.sh("cat /tmp/configured-with").count("serviceId=a2001") == 1
    assert machine.sh("/enstratus/bin/checkService a2001").strip() == "OK"
    assert "restoreService a2001" in run.task_log("backup-files.restore")
    assert run.instance("backup-catalog.restore").state == "skipped"
    assert machine.secrets_in_transit() == []
    # And the next launch has nothing to do there.
    stage.launch(SHOP).succeeds()
    assert machine.calls("startService") == starts + 1


# --- drills --------------------------------------------------------------------------------------------------


def drill(stage: Stage) -> Launch:
    dag = f"{SHOP}.drill"
    return Launch(stage, dag, stage.api.trigger(dag, reason="is it any good?"))


def untouched(stage: Stage, machine: Machine) -> tuple[object, ...]:
    """What a drill must not change: servers, what they were given, and every script that ever ran there."""
    marks = machine.sh("/enstratus/bin/marks")
    return [each["InstanceId"] for each in stage.instances(SHOP)], marks, machine.journal()


def leave_a_server(stage: Stage) -> str:
    """What a drill leaves behind whose Airflow has died in the middle of it."""
    (twin,) = stage.instances(SHOP)
    tags = {"gantry:deployment": DRILL, "gantry:tier": "database", "gantry:slots": "1"}
    ec2 = stage.cloud.client("ec2")
    answer = ec2.run_instances(
        ImageId=twin["ImageId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
        ],
    )
    instance = answer["Instances"][0]["InstanceId"]
    ec2.get_waiter("instance_exists").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    return str(instance)


def test_a_drill_restores_the_newest_backups_elsewhere_and_leaves_nothing(
    stage: Stage, machine: Machine
) -> None:
    left = leave_a_server(stage)
    before = untouched(stage, machine)
    # So short that the triggerer continues to wait for the throw-away server.
    stage.redefine(SHOP, definition(SHOP, attend="0.01s"))
    run = drill(stage)
    run.succeeds(400)
    assert "the triggerer continues to wait" in run.task_log("tier-database.handshake")
    assert f"{DRILL}-database-1" in run.task_log("choose_backups")
    assert left in run.task_log("choose_backups")
    report = run.task_log("finish_drill")
    assert f"{FOLDER}{dumps(stage)[-1]}" in report
    assert f"the service's check says OK; {books(machine)} books" in report
    assert "backup files" in report
    assert "nothing of the drill is left in the cloud" in run.task_log("remove_drill_servers")
    assert list(stage.instances(DRILL)) == []
    assert untouched(stage, machine) == before
    assert "X-Amz-Signature" not in run.everything_shown()
    events = stage.api.call("GET", f"/assets/events?source_dag_id={run.dag}")["asset_events"]
    # Who keeps something with a state's asset updates that as well.
    (event,) = [each for each in events if not each["name"].startswith(names.state(""))]
    assert event["source_task_id"] == "finish_drill"
    (record,) = stage.api.asset_state(names.state(SHOP))["history:drill"]
    assert (record["result"], record["reason"]) == ("success", "is it any good?")


def test_a_drill_of_a_bad_backup_fails_and_leaves_nothing(stage: Stage, machine: Machine) -> None:
    newest = dumps(stage)[-1]
    sound = content(stage, newest)
    before = untouched(stage, machine)
    stage.upload(f"{FOLDER}{newest}", sound.replace(b"The Vault", b"The Fault"))
    stage.redefine(SHOP, definition(SHOP, page_check="cat notes\ngrep -q worthless notes"))
    try:
        run = drill(stage)
        assert run.ends(400) == "failed"
    finally:
        stage.upload(f"{FOLDER}{newest}", sound)
        stage.redefine(SHOP, definition(SHOP))
    failed = {each.task_id for each in stage.api.instances(run.dag, run.run) if each.state == "failed"}
    assert failed == {"backup-catalog.restore", "backup-files.check_backup"}
    assert "wrong content" in run.last_errors
    assert "checkBackup a2001" in run.last_errors
    assert "precious" in run.last_errors
    removal = run.task_log("remove_drill_servers")
    assert "the drill has failed at backup-" in removal
    assert "nothing of the drill is left in the cloud" in removal
    assert list(stage.instances(DRILL)) == []
    assert untouched(stage, machine) == before


def test_a_final_backup_that_fails_keeps_the_servers_and_one_that_succeeds_outlives_them(
    stage: Stage, machine: Machine
) -> None:
    sound = machine.sh(f"cat {SCRIPT}")
    write(machine, BROKEN)
    error = stage.terminate(SHOP, final_backup=True).fails_at("backup-catalog.back_up")
    assert "the disk is full" in error
    left = leave_a_server(stage)
    assert list(stage.instances(SHOP))
    assert books(machine) > 0
    write(machine, sound)
    before = dumps(stage)
    last = stage.terminate(SHOP, final_backup=True)
    last.succeeds()
    assert left in last.task_log("finish_termination")
    assert [*stage.instances(SHOP), *stage.instances(DRILL)] == []
    (new,) = set(dumps(stage)) - set(before)
    assert f"{new}.json" in objects(stage)
    record = asset_state.state_of(stage.api, SHOP).records()[0]
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
