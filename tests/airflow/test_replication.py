"""The bookshop on a replicated database: two servers, then a third one, and the same rows on all of them."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.airflow.shared import INCLUDE
from tests.airflow.stage import Launch, Machine, Stage, eventually, without_chef

pytestmark = pytest.mark.airflow

SHOP = "copies"
PASSWORD = "copied-and-followed"
CONFIG = "/mnt/services/a1002/cfg/enstratus.cfg"


def definition() -> str:
    text = without_chef((INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    one = "database:    {launch_configuration: debian, servers: 1}"
    assert one in text
    return (
        text.replace("deployment: bookshop", f"deployment: {SHOP}")
        .replace(one, one.replace("servers: 1", "servers: {min: 2, max: 3}"))
        .replace("    port: 3306\n", "    port: 3306\n    replication: {connection: replication_shop}\n")
    )


@pytest.fixture(scope="module")
def launched(stage: Stage) -> Iterator[Launch]:
    """The bookshop, launched once with a master and a replicant."""
    stage.connect(
        "replication_shop", {"conn_type": "mysql", "login": "copier", "password": PASSWORD, "extra": {}}
    )
    stage.define(SHOP, definition())
    launch = stage.launch(SHOP)
    launch.succeeds()
    yield launch
    stage.scrap(SHOP)


def sql(machine: Machine, statement: str) -> list[str]:
    socket = "/mnt/services/a1001/run/mariadb.sock"
    return machine.sh(f'mariadb --socket={socket} -N -e "{statement}"').split()


def books(machine: Machine) -> int:
    return int(sql(machine, "SELECT COUNT(*) FROM catalog.book")[0])


def databases(stage: Stage) -> dict[str, Machine]:
    return {name: each for name, each in stage.machines(SHOP).items() if name.startswith("database")}


def sell(master: Machine, book: int) -> None:
    sql(master, f"DELETE FROM catalog.book WHERE id = {book}")


def alike(stage: Stage) -> int:
    """Wait until all databases have the same number of books; the number."""

    def look() -> int | None:
        counts = {books(each) for each in databases(stage).values()}
        return counts.pop() if len(counts) == 1 else None

    return eventually(look, "the same books on every database")


def test_rows_written_on_the_master_appear_on_the_replicant(stage: Stage, launched: Launch) -> None:
    found = databases(stage)
    assert sorted(found) == ["database-1", "database-2"]
    assert found["database-1"].calls("installDataSource") == 1
    assert found["database-2"].calls("installDataSource") == 0
    before = alike(stage)
    sell(found["database-1"], 1)
    assert alike(stage) == before - 1


def test_the_application_reads_everywhere_and_is_let_in_everywhere(stage: Stage, launched: Launch) -> None:
    addresses = [stage.address(SHOP, f"database-{slot}") for slot in (1, 2)]
    config = stage.machines(SHOP)["application-1"].sh(f"cat {CONFIG}")
    assert f"dependency.DATA_SOURCE-1.readHosts={','.join(addresses)}\n" in config
    assert f"dependency.DATA_SOURCE-1.writeHosts={addresses[0]}\n" in config
    applications = sorted(stage.address(SHOP, f"application-{slot}") for slot in (1, 2))
    for machine in databases(stage).values():
        hosts = sql(machine, "SELECT host FROM mysql.user WHERE user = 'bookshop' ORDER BY host")
        assert hosts == applications
    request = urllib.request.Request(
        f"http://{stage.address(SHOP, 'proxy-1')}/books.json?limit=1", headers={"Host": "shop.example.com"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.loads(answer.read())["count"] == alike(stage)


def test_the_replicant_was_configured_after_the_masters_check_said_ok(stage: Stage, launched: Launch) -> None:
    times = launched.api.instances(SHOP, launched.run)
    master = [each for each in times if each.task_id == "service-db.configure"]
    replicants = [each for each in times if each.task_id == "service-db.configure_replicants"]
    assert {each.label for each in replicants} == {f"{SHOP}-database-1", f"{SHOP}-database-2"}
    assert max(str(each.ended) for each in master) <= min(str(each.started) for each in replicants)
    assert "db=RUNNING" in launched.task_log("finish_launch")


def test_no_password_is_shown_or_left_on_the_way(stage: Stage, launched: Launch) -> None:
    shown = launched.everything_shown()
    assert "grantDatabaseAccess" in shown
    assert PASSWORD not in shown
    for machine in stage.machines(SHOP).values():
        assert machine.secrets_in_transit() == []
        assert PASSWORD not in "\n".join(machine.journal())


def test_a_second_launch_changes_nothing(stage: Stage, launched: Launch) -> None:
    scripts = ("configureService", "startService", "grantDatabaseAccess")
    before = {
        (name, script): machine.calls(script)
        for name, machine in stage.machines(SHOP).items()
        for script in scripts
    }
    stage.launch(SHOP).succeeds()
    assert before == {
        (name, script): machine.calls(script)
        for name, machine in stage.machines(SHOP).items()
        for script in scripts
    }


def test_a_launch_with_one_server_more_adds_a_replicant_and_restarts_no_database(
    stage: Stage, launched: Launch
) -> None:
    before = databases(stage)
    starts = {name: machine.calls("startService") for name, machine in before.items()}
    stage.launch(SHOP, servers_database=3).succeeds()
    after = databases(stage)
    assert sorted(set(after) - set(before)) == ["database-3"]
    assert {name: after[name].calls("startService") for name in before} == starts
    assert after["database-3"].calls("installDataSource") == 0
    count = alike(stage)
    sell(after["database-1"], 2)
    assert alike(stage) == count - 1
    addresses = ",".join(stage.address(SHOP, f"database-{slot}") for slot in (1, 2, 3))
    config = stage.machines(SHOP)["application-1"].sh(f"cat {CONFIG}")
    assert f"dependency.DATA_SOURCE-1.readHosts={addresses}\n" in config


def test_a_termination_takes_master_and_replicants_down(stage: Stage, launched: Launch) -> None:
    stage.terminate(SHOP).succeeds()
    assert stage.machines(SHOP) == {}
