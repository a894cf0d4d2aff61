"""A bookshop that loses servers while people visit it: they are replaced in their slots, and no data is made up."""

from __future__ import annotations

import datetime
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gantry import names
from gantry.local.demo import example
from tests.airflow.shared import INCLUDE
from tests.airflow.stage import Launch, Machine, Stage, eventually, without_chef
from tests.airflow.test_scale import Visitors

pytestmark = pytest.mark.airflow

SHOP = "lossy"
FOLDER = f"backups/{SHOP}/catalog/"
FIND_LOST = "find_lost"


def shop() -> str:
    """A bookshop whose servers count as lost soon, and whose catalog is backed up."""
    text = without_chef((INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    text = text.replace("bookshop\ndescr", f"{SHOP}\ndescr").replace(
        "debian, servers", "debian, recovery_delay: 8s, servers"
    )
    backups = f"backups: {{of: {{catalog: db.catalog}}, to: s3://{example.BUCKET}/backups/}}"
    return f"{text}\n{backups}\nwatch: {{every: 10s, replace: true}}\n"


@pytest.fixture(scope="module")
def launched(stage: Stage) -> Iterator[Launch]:
    stage.define(SHOP, shop())
    for operation in ("recover", "backup", "watch"):
        stage.api.await_dag(f"{SHOP}.{operation}")
    paused(stage, "watch", value=True)
    launch = stage.launch(SHOP)
    launch.succeeds()
    yield launch
    stage.scrap(SHOP)


def run(stage: Stage, operation: str, **params: Any) -> Launch:
    dag = f"{SHOP}.{operation}"
    return Launch(stage, dag, stage.api.trigger(dag, **params))


def cut_off(machine: Machine) -> None:
    """The server works on, and nobody can log in any more."""
    machine.sh("pkill -KILL -x sshd")
    eventually(lambda: "sshd" not in machine.sh("ps -eo comm") or None, "sshd to be gone")


def state_asset(stage: Stage) -> dict[str, Any]:
    """The asset with whose state Airflow keeps what has to be known of the deployment."""
    found = stage.api.call("GET", "/assets", params={"name_prefix_pattern": names.state(SHOP)})["assets"]
    return next(each for each in found if each["name"] == names.state(SHOP))


def sql(stage: Stage, statement: str) -> list[str]:
    database = stage.machines(SHOP)["database-1"]
    return database.sh(f'mariadb --socket=/mnt/services/a1001/run/mariadb.sock -N -e "{statement}"').split()


def books(stage: Stage) -> int:
    return int(sql(stage, "SELECT COUNT(*) FROM catalog.book")[0])


def sold(stage: Stage) -> int:
    """How many books the shop says that it has: the whole way from the balancer to the database."""
    request = urllib.request.Request(
        f"http://{stage.address(SHOP, 'proxy-1')}/books.json?limit=1", headers={"Host": "shop.example.com"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.loads(answer.read())["count"])


def ids(stage: Stage) -> dict[str, str]:
    return {name: each.instance_id for name, each in stage.machines(SHOP).items()}


def changed(stage: Stage, before: dict[str, Machine]) -> set[str]:
    """Whose places others have taken; nobody is missing, and nobody has come."""
    after = stage.machines(SHOP)
    assert sorted(after) == sorted(before)
    return {name for name, each in before.items() if each.instance_id != after[name].instance_id}


def paused(stage: Stage, operation: str, *, value: bool) -> None:
    stage.api.call("PATCH", f"/dags/{SHOP}.{operation}", json={"is_paused": value})


def state(stage: Stage, instance: str) -> str:
    answer = stage.cloud.client("ec2").describe_instances(InstanceIds=[instance])
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def noted(stage: Stage, instance: str, ago: datetime.timedelta) -> None:
    """As if a look had found a server not well."""
    then = (datetime.datetime.now(tz=datetime.UTC) - ago).isoformat(timespec="seconds")
    stage.cloud.client("ec2").create_tags(
        Resources=[instance], Tags=[{"Key": "gantry:ailing-since", "Value": f"{then}/{then}"}]
    )


def ailing(stage: Stage, instance: str) -> str | None:
    """What looks have noted at a server."""
    answer = stage.cloud.client("ec2").describe_instances(InstanceIds=[instance])
    tags = answer["Reservations"][0]["Instances"][0]["Tags"]
    return next((each["Value"] for each in tags if each["Key"] == "gantry:ailing-since"), None)


def everybody_knows(stage: Stage) -> None:
    """Balancer and database know exactly the application servers that there are."""
    addresses = sorted(stage.address(SHOP, f"application-{slot}") for slot in (1, 2))
    hosts = "SELECT host FROM mysql.user WHERE user = 'bookshop' ORDER BY host"
    assert sql(stage, hosts) == addresses
    config = stage.machines(SHOP)["proxy-1"].sh("cat /etc/haproxy/haproxy.cfg")
    assert all(each in config for each in addresses)


def test_a_server_that_does_not_answer_is_replaced_in_its_slot_because_the_watch_says_so(
    stage: Stage, launched: Launch
) -> None:
    before = stage.machines(SHOP)
    silenced = before["application-2"].instance_id
    with Visitors(stage.address(SHOP, "proxy-1")) as visitors:
        cut_off(before["application-2"])
        paused(stage, "watch", value=False)
        (asked,) = eventually(lambda: list(stage.api.runs(f"{SHOP}.recover")), "a recovery")
        recovery = Launch(stage, f"{SHOP}.recover", asked.id)
        # What comes next is not the watch's matter.
        paused(stage, "watch", value=True)
        recovery.succeeds()
    assert asked.conf["reason"].startswith(f"{SHOP}-application-2: it does not answer")
    log = recovery.task_log(FIND_LOST)
    assert f"{SHOP}-application-2 ({silenced}) is replaced: it does not answer" in log
    retired = recovery.task_log("tier-application.retire_servers")
    assert f"skipped: {SHOP}-application-2: no SSH connection" in retired
    assert changed(stage, before) == {"application-2"}
    assert state(stage, silenced) == "terminated"
    everybody_knows(stage)
    assert visitors.lost == []
    assert sum(visitors.served.values()) > 0


def test_a_redeploy_replaces_what_is_lost_and_restores_the_newest_backup_of_a_database(
    stage: Stage, launched: Launch
) -> None:
    in_dump = books(stage)
    sql(stage, "DELETE FROM catalog.book WHERE id = 1")
    run(stage, "backup").succeeds()
    sql(stage, "DELETE FROM catalog.book WHERE id = 2")
    before = stage.machines(SHOP)
    silenced = before["application-1"].instance_id
    cut_off(before["application-1"])
    noted(stage, silenced, datetime.timedelta(minutes=1))
    # What is well keeps its server, whatever was noted when.
    noted(stage, before["application-2"].instance_id, datetime.timedelta(minutes=1))
    stage.cloud.client("ec2").terminate_instances(InstanceIds=[before["database-1"].instance_id])
    eventually(lambda: "database-1" not in stage.machines(SHOP), "the database server to be gone")
    launch = stage.launch(SHOP)
    launch.succeeds()
    log = launch.task_log(FIND_LOST)
    assert f"db.catalog was lost with its server and begins from s3://{example.BUCKET}/{FOLDER}" in log
    assert changed(stage, before) == {"application-1", "database-1"}
    assert state(stage, silenced) == "terminated"
    assert ailing(stage, before["application-2"].instance_id) is None
    everybody_knows(stage)
    assert books(stage) == sold(stage) == in_dump - 1


def test_without_a_backup_nothing_is_begun_unless_somebody_says_so(stage: Stage, launched: Launch) -> None:
    objects = stage.cloud.client("s3").list_objects_v2(Bucket=example.BUCKET, Prefix=FOLDER)["Contents"]
    for each in objects:
        stage.cloud.client("s3").delete_object(Bucket=example.BUCKET, Key=each["Key"])
    before = ids(stage)
    stage.cloud.client("ec2").terminate_instances(InstanceIds=[before.pop("database-1")])
    eventually(lambda: "database-1" not in stage.machines(SHOP), "the database server to be gone")
    error = stage.launch(SHOP).fails_at(FIND_LOST)
    assert "the server that held this data is lost, and there is no backup of it" in error
    assert "--from-dump db.catalog" in error
    # So it is where nobody knows any more that there was data.
    asset = state_asset(stage)
    assert [each["name"] for each in asset["aliases"]] == [names.state(SHOP)]
    stage.api.call("DELETE", f"/assets/{asset['id']}/state-store")
    error = stage.launch(SHOP).fails_at(FIND_LOST)
    assert "it is not recorded which server held this data" in error
    assert "runs of it have loaded data in this Airflow" in error
    assert ids(stage) == before
    run(stage, "recover", from_dump=["db.catalog"]).succeeds()
    assert sorted(ids(stage)) == sorted([*before, "database-1"])
    assert books(stage) == sold(stage)
    assert sql(stage, "SELECT id FROM catalog.book WHERE id IN (1, 2) ORDER BY id") == ["1", "2"]
