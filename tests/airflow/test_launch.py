"""The bookshop's life on real servers: launch, launch again, change a fact, take it down."""

from __future__ import annotations

import collections
import contextlib
import datetime
import email.message
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import gantry.definition
from gantry import names, overview, plan, status
from gantry.cli.queries import asset_state, deployment_status
from tests import recordings
from tests.airflow import recording
from tests.airflow.shared import INCLUDE
from tests.airflow.stage import Launch, Stage, archive, without_chef

pytestmark = pytest.mark.airflow

SHOP = "bookshop"
BOOKS = 5000
CONFIG = "/mnt/services/a1002/cfg/enstratus.cfg"


@pytest.fixture(scope="module")
def launched(stage: Stage, moments: list[recordings.Moment]) -> Iterator[Launch]:
    """A first launch of the bookshop, watched until it has ended."""
    stage.define(SHOP, (INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    launch = stage.launch(SHOP, reason="the first one")
    recorded = recording.record(stage, launch)
    if path := os.environ.get("GANTRY_RECORDING"):
        Path(path).write_text(json.dumps(recorded, indent=1) + "\n")
    launch.succeeds()
    moments[:] = recordings.read(recorded)
    yield launch
    stage.scrap(SHOP)


@pytest.fixture(scope="module")
def moments() -> list[recordings.Moment]:
    """The first launch, moment by moment."""
    return []


def get(stage: Stage, path: str) -> tuple[str, email.message.Message]:
    """Ask the shop through its load balancer; body and headers."""
    request = urllib.request.Request(
        f"http://{stage.address(SHOP, 'proxy-1')}{path}", headers={"Host": "shop.example.com"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode(), answer.headers


def test_the_shop_answers_through_the_load_balancer_from_both_application_servers(
    stage: Stage, launched: Launch
) -> None:
    served = collections.Counter(get(stage, "/")[1]["X-Served-By"] for _ in range(10))
    assert set(served) == {"bookshop-application-1", "bookshop-application-2"}
    books = json.loads(get(stage, "/books.json?limit=3")[0])
    assert books["count"] == BOOKS
    page, headers = get(stage, "/")
    assert f"Hello from {headers['X-Served-By']}" in page


def test_the_first_scaling_event_comes_within_seconds_of_the_trigger(stage: Stage, launched: Launch) -> None:
    run = stage.api.call("GET", f"/dags/{SHOP}/dagRuns/{launched.run}")
    queued = datetime.datetime.fromisoformat(run["queued_at"])
    content = launched.task_log("tier-database.scale_up")
    assert (
        "RunInstances: 1 of t3.small from gantry-debian-12 in the default subnet for bookshop-database-1"
        in content
    )
    instances = stage.cloud.client("ec2").describe_instances(
        InstanceIds=[each.instance_id for each in stage.machines(SHOP).values()]
    )
    first = min(
        instance["LaunchTime"] for each in instances["Reservations"] for instance in each["Instances"]
    )
    print(f"scaling event {(first - queued).total_seconds():.1f} s after the trigger")


def test_servers_hold_what_the_phases_put_there(stage: Stage, launched: Launch) -> None:
    machines = stage.machines(SHOP)
    assert sorted(machines) == ["application-1", "application-2", "database-1", "proxy-1"]
    database = machines["database-1"]
    assert "a1001" in database.sh("ls /mnt/services")
    assert "datadir" in database.sh("cat /mnt/services/a1001/cfg/my.cnf")
    application = machines["application-1"]
    assert application.sh("stat -c '%a' /mnt/services/a1002/cfg/enstratus.cfg").strip() == "640"
    config = application.sh("cat /mnt/services/a1002/cfg/enstratus.cfg")
    address = stage.address(SHOP, "database-1")
    assert f"dependency.DATA_SOURCE-1.writeHosts={address}\n" in config
    assert f"dataSource.catalog.write={address}\n" in config
    assert "greeting=Hello from bookshop-application-1\n" in config
    for machine in machines.values():
        assert machine.secrets_in_transit() == []
        assert stage.shop.password not in "\n".join(machine.journal())


def test_the_database_lets_in_exactly_the_application_servers(stage: Stage, launched: Launch) -> None:
    database = stage.machines(SHOP)["database-1"]
    socket = database.sh("find /mnt/services/a1001 -type s -name '*.sock' | head -1").strip()
    rows = database.sh(
        f"mariadb --socket={socket} -N -e \"select host from mysql.user where user='bookshop' order by host\""
    ).split()
    assert rows == sorted(stage.address(SHOP, f"application-{slot}") for slot in (1, 2))
    assert database.sh(f"mariadb --socket={socket} -N catalog -e 'select count(*) from book'").strip() == str(
        BOOKS
    )


def test_what_servers_were_told_is_kept_without_secrets(stage: Stage, launched: Launch) -> None:
    state = asset_state.state_of(stage.api, SHOP)
    (record,) = state.records()
    told = {(each.service, each.server): each.handout for each in state.facts_of(record)}
    application = told["app", "bookshop-application-1"].diff
    assert f"+dataSource.catalog.write={stage.address(SHOP, 'database-1')}" in application
    assert "+dataSource.catalog.servicePassword=(secret)" in application
    assert stage.shop.password not in json.dumps(state.kept)
    assert sorted(overview.installed(state.kept)) == sorted(told)


def test_task_instances_are_named_after_their_servers(launched: Launch) -> None:
    labels = {
        (each.task_id, each.label)
        for each in launched.api.instances(SHOP, launched.run)
        if each.task_id == "service-app.configure"
    }
    assert labels == {
        ("service-app.configure", "bookshop-application-1"),
        ("service-app.configure", "bookshop-application-2"),
    }


def test_the_last_log_sums_up_state_addresses_and_times(stage: Stage, launched: Launch) -> None:
    content = launched.task_log("finish_launch")
    assert "deployment bookshop is RUNNING" in content
    assert f"http://{stage.address(SHOP, 'proxy-1')}:80/ for shop.example.com" in content
    assert re.search(r"0 pre-launch +0\.0 s +\d+\.\d s", content)
    assert re.search(r"1 scale up +\d+\.\d s +\d+\.\d s", content)
    assert re.search(r"3 execute configuration management +\d+\.\d s +\d+\.\d s", content)
    assert re.search(r"7 start proxy +\d+\.\d s +\d+\.\d s", content)
    assert "critical path: turn " in content
    print(content[content.index("timeline") :])


def test_no_secret_is_shown_anywhere(stage: Stage, launched: Launch) -> None:
    shown = launched.everything_shown()
    assert "startService a1002" in shown
    for secret in (stage.shop.password, stage.cloud.secret_access_key, "X-Amz-Signature", "PRIVATE KEY"):
        assert secret not in shown


def test_keys_and_passwords_are_in_no_file_no_process_list_and_not_in_the_metadata_database(
    stage: Stage, launched: Launch
) -> None:
    chef = stage.chef_connection()
    keys = {
        "the validator's key": chef["password"],
        "the admin's key": chef["extra"]["admin_key"],
        "the SSH key": stage.shop.private_key,
    }
    # A line of each, as any form of the key holds it.
    secrets = {what: key.splitlines()[2] for what, key in keys.items()}
    secrets["the database's password"] = stage.shop.password
    # Where the contract with services wants it, and what the application makes of it.
    configured = {CONFIG, CONFIG.replace("enstratus.cfg", "app.json")}
    password_files = {"application-1": configured, "application-2": configured}
    everything = {"the metadata database": stage.database.dump()}
    for path in stage.airflow.home.rglob("*"):
        # Other tests' logs come and go.
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            everything[str(path)] = path.read_bytes()
    for where, content in everything.items():
        assert not [what for what, secret in secrets.items() if secret.encode() in content], where
    for name, machine in stage.machines(SHOP).items():
        for what, secret in secrets.items():
            found = machine.sh(
                f"grep -rlF --exclude-dir=proc --exclude-dir=sys --exclude-dir=dev -e '{secret}' / || true"
            )
            allowed = password_files.get(name, set()) if "password" in what else set()
            assert set(found.split()) == allowed, (name, what)
        shown = machine.sh("ps -eo args")
        assert not [what for what, secret in secrets.items() if secret in shown]


def test_a_launch_updates_the_deployments_asset(stage: Stage, launched: Launch) -> None:
    events = stage.api.call("GET", "/assets/events", params={"source_dag_id": SHOP})["asset_events"]
    updated = [each["name"] for each in events if each["source_run_id"] == launched.run]
    # What is kept of the deployment has an asset of its own, which its first steps update.
    assert [each for each in updated if each != names.state(SHOP)] == [f"deployment://{SHOP}"]


def test_the_states_go_through_the_rows_of_the_launch_page(
    launched: Launch, moments: list[recordings.Moment]
) -> None:
    launch = plan.launch_plan(gantry.definition.load(INCLUDE / "bookshop" / "bookshop.yaml"))
    rows: dict[tuple[str, str, str], None] = {}
    for moment in moments:
        found = status.deployment_status(launch, moment.tasks, moment.inventory, run_ended=moment.run_ended)
        app, db = found.service(names.ServiceName("app")), found.service(names.ServiceName("db"))
        rows[found.state.value, str(app), str(db)] = None
    page = [
        ("LAUNCHING", "PAUSED", "PAUSED"),
        ("LAUNCHING", "PAUSED", "STARTING"),
        ("LAUNCHING", "STARTING", "RUNNING"),
        ("RUNNING", "RUNNING", "RUNNING"),
    ]
    assert [row for row in rows if row in page] == page
    assert set(found.agents.values()) == {plan.AgentState.RUNNING}


def test_a_second_launch_starts_nothing_and_restarts_nothing(stage: Stage, launched: Launch) -> None:
    before = stage.machines(SHOP)
    starts = {name: machine.calls("startService") for name, machine in before.items()}
    loads = before["database-1"].calls("installDataSource")
    again = stage.launch(SHOP)
    again.succeeds()
    after = stage.machines(SHOP)
    assert {name: each.instance_id for name, each in after.items()} == {
        name: each.instance_id for name, each in before.items()
    }
    assert {name: machine.calls("startService") for name, machine in after.items()} == starts
    assert after["database-1"].calls("installDataSource") == loads
    # Every server was asked once, and no other task was started.
    assert "nothing has changed" in again.task_log("find_lost")
    ran = {each.task_id for each in stage.api.instances(SHOP, again.run) if each.state != "skipped"}
    assert ran == {"turn", "find_lost", "finish_launch"}
    assert "deployment bookshop is RUNNING" in again.task_log("finish_launch")


def test_a_changed_greeting_restarts_the_application_and_nothing_else(stage: Stage, launched: Launch) -> None:
    text = (INCLUDE / "bookshop" / "bookshop.yaml").read_text()
    before = {name: machine.calls("startService") for name, machine in stage.machines(SHOP).items()}
    stage.redefine(SHOP, text.replace("Hello from", "<b>Welcome</b> to"))
    stage.launch(SHOP).succeeds()
    after = {name: machine.calls("startService") for name, machine in stage.machines(SHOP).items()}
    assert after["database-1"] == before["database-1"]
    assert after["application-1"] == before["application-1"] + 1
    assert after["application-2"] == before["application-2"] + 1
    page, _ = get(stage, "/")
    assert "&lt;b&gt;Welcome&lt;/b&gt; to bookshop-application-" in page


def test_a_launch_with_one_more_server_starts_one_grants_it_and_joins_it(
    stage: Stage, launched: Launch
) -> None:
    before = stage.machines(SHOP)
    stage.launch(SHOP, servers_application=3).succeeds()
    after = stage.machines(SHOP)
    assert sorted(set(after) - set(before)) == ["application-3"]
    assert all(after[name].instance_id == machine.instance_id for name, machine in before.items())
    served = {get(stage, "/")[1]["X-Served-By"] for _ in range(12)}
    assert served == {f"bookshop-application-{slot}" for slot in (1, 2, 3)}


def test_a_termination_wants_the_name_typed_in(stage: Stage, launched: Launch) -> None:
    termination = stage.terminate(SHOP, confirm="bookshp")
    error = termination.fails_at("confirm")
    assert "the confirmation reads 'bookshp', not 'bookshop': nothing was terminated" in error
    assert len(stage.machines(SHOP)) == 5


def test_a_termination_stops_nothing_when_a_server_does_not_answer(stage: Stage, launched: Launch) -> None:
    stage.machines(SHOP)["application-2"].sh("pkill -STOP -x sshd; pkill -KILL -f '^sshd: ' || true")
    error = stage.terminate(SHOP).fails_at("ask_servers")
    assert "nothing was stopped or terminated" in error
    assert "bookshop-application-2" in error
    assert "bookshop-application-1" not in error
    assert len(stage.machines(SHOP)) == 5
    # It serves on.
    assert get(stage, "/")[0]
    (run,) = [each for each in deployment_status.every(stage.api) if each.name == SHOP]
    assert run.standing.state is plan.DeploymentState.RUNNING


def test_a_forced_termination_leaves_nothing_and_says_what_it_skipped(stage: Stage, launched: Launch) -> None:
    termination = stage.terminate(SHOP, force=True)
    termination.succeeds()
    assert stage.machines(SHOP) == {}
    content = termination.task_log("finish_termination")
    assert "deployment bookshop is STOPPED; nothing of it is left in the cloud" in content
    assert "bookshop-application-2" in content.partition("skipped: ")[2]
    record = asset_state.state_of(stage.api, SHOP).records()[0]
    assert len(record.ended) == 5
    assert any("bookshop-application-2" in each for each in record.skipped)
    # Once more, and there is nothing to do.
    stage.terminate(SHOP).succeeds()


def test_a_half_launched_deployment_can_be_terminated(stage: Stage) -> None:
    name = "half"
    text = without_chef((INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    stage.upload("no.tar.gz", archive()[:-200])
    stage.define(
        name, text.replace("deployment: bookshop", f"deployment: {name}").replace("appService", "no")
    )
    launch = stage.launch(name)
    assert launch.ends() == "failed"
    assert "tar cannot read" in launch.errors()[0]
    assert len(stage.machines(name)) == 4
    assert "Nothing to do: launch configuration" in str(stage.api.call("GET", f"/dags/{name}/tasks"))
    stage.terminate(name).succeeds()
    assert stage.machines(name) == {}
