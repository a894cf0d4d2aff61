"""`gantry plan` on the bookshop's life: what it says is what the next launch does, and it changes nothing itself."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from gantry import archive
from gantry.cli.output import plan_text
from gantry.local.demo import example
from gantry.preview import report
from tests.airflow import warm_command
from tests.airflow.shared import INCLUDE
from tests.airflow.stage import Stage, without_chef
from tests.airflow.test_chef import bare

pytestmark = pytest.mark.airflow

SHOP = "planshop"
ARCHIVE = "planned-appService.tar.gz"
"""The bookshop's own is what the deployments of other tests have."""
PASSWORD = "kept in Airflow's own database"
SERVERS = ("database-1", "application-1", "application-2", "proxy-1")
HAPROXY = "/etc/haproxy/haproxy.cfg"
NOT_A_STEP = {"checkService", "withDownload", "applyObject", "checkArchive"}
"""What asks, and what only wraps: no part of a plan."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What one call of `gantry plan` answered."""

    code: int
    text: str
    facts: dict[str, Any]

    def servers(self, **wanted: str | None) -> list[str]:
        """The servers for which these facts hold, without the deployment's name."""
        return [
            each["name"].partition("-")[2]
            for each in self.facts["servers"]
            if all(each[key] == value for key, value in wanted.items())
        ]

    def scripts(self) -> dict[str, list[str]]:
        """The scripts that a launch would run on each server, in their order."""
        found: dict[str, list[str]] = {each.partition("-")[2]: [] for each in self._names()}
        for change in (*self.facts["changes"], *self.facts["repeated"]):
            found[change["server"].partition("-")[2]] += [call["script"] for call in change["calls"]]
        return found

    def restarts(self) -> list[str]:
        """The servers on which a service would be restarted."""
        return [each["server"].partition("-")[2] for each in self.facts["changes"] if each["restarts"]]

    def balancer(self) -> list[str]:
        """The difference of the balancer's own configuration, without its context; empty if it stays as it is."""
        (found,) = self.facts["balancers"]
        assert (found["server"], found["path"]) == (f"{SHOP}-proxy-1", HAPROXY)
        assert [found[key] for key in ("reasons", "refusal", "unknown", "notes")] == [[], None, None, []]
        return [line for line in found["diff"] if line[:1] in "+-" and line[:3] not in ("+++", "---")]

    def _names(self) -> list[str]:
        return [each["name"] for each in self.facts["servers"]]


def environment(stage: Stage) -> dict[str, str]:
    """What a person has who works beside that Airflow."""
    variables = Path(f"/proc/{stage.airflow.pid}/environ").read_text().split("\0")
    return dict(each.split("=", 1) for each in variables if "=" in each)


def typed(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the command as a person would."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("gantry")), *words],
        env=environment(stage),
        capture_output=True,
        text=True,
        check=False,
    )


def checked(stage: Stage, answer: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """The command never says a secret, nor what Airflow logs."""
    shown = answer.stdout + answer.stderr
    for secret in (stage.shop.password, PASSWORD, stage.cloud.secret_access_key, "PRIVATE KEY", "X-Amz-"):
        assert secret not in shown
    assert answer.stderr == "" or answer.returncode == 1
    return answer


Planning = Callable[..., Plan]
"""Asks for the plan of a deployment, with these options."""


@pytest.fixture(scope="module")
def plan(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planning]:
    """What the command answers, as facts and as the text that it makes of them."""
    with warm_command.started(environment(stage), tmp_path_factory.mktemp("plans")) as command:

        def planned(name: str, *options: str) -> Plan:
            words = ("plan", name, "--definitions", str(stage.definitions), "--json", *options)
            answer = checked(stage, command(*words))
            if not answer.stdout:
                return Plan(answer.returncode, answer.stderr, {})
            facts = json.loads(answer.stdout)
            found = pydantic.TypeAdapter(report.Report).validate_python(facts)
            return Plan(answer.returncode, "\n".join(line.plain for line in plan_text.lines(found)), facts)

        yield planned


def ran(stage: Stage, before: dict[str, int]) -> dict[str, list[str]]:
    """The scripts that ran on each server since its journal had so many lines."""
    found = {}
    for name, machine in stage.machines(SHOP).items():
        words = [line.split() for line in machine.journal()[before.get(name, 0) :]]
        found[name] = [each[2] for each in words if each[1] == "begin" and each[2] not in NOT_A_STEP]
    return found


def journals(stage: Stage) -> dict[str, int]:
    """How long each server's journal is."""
    return {name: len(machine.journal()) for name, machine in stage.machines(SHOP).items()}


def fingerprints(stage: Stage) -> dict[str, str]:
    """Everything that the agent keeps on each server, as one sum."""
    return {
        name: machine.sh("find /enstratus /mnt -printf '%p %s %T@ %C@\\n' | sort | sha256sum")
        for name, machine in stage.machines(SHOP).items()
    }


def launch_as_planned(stage: Stage, planned: Plan, **params: Any) -> None:
    """Launch, and compare what ran on each server with what the plan has said."""
    before = journals(stage)
    stage.launch(SHOP, **params).succeeds()
    assert ran(stage, before) == planned.scripts()


@pytest.fixture(scope="module")
def text(stage: Stage) -> str:
    """The definition of the bookshop without Chef, whose account is kept in Airflow's database."""
    stage.api.call(
        "POST",
        "/connections",
        json={
            "connection_id": "plan_catalog",
            "conn_type": "mysql",
            "login": "bookshop",
            "password": PASSWORD,
            "schema": "catalog",
        },
    )
    shop = without_chef((INCLUDE / "bookshop" / "bookshop.yaml").read_text())
    return (
        shop.replace("deployment: bookshop", f"deployment: {SHOP}")
        .replace("bookshop_catalog", "plan_catalog")
        .replace(example.SERVICES["app"], ARCHIVE)
    )


@pytest.fixture(scope="module")
def first(stage: Stage, plan: Planning, text: str) -> Iterator[Plan]:
    """The plan of the first launch; the launch has been made when it is there."""
    stage.upload(ARCHIVE, (stage.shop.folder / example.SERVICES["app"]).read_bytes())
    stage.define(SHOP, text)
    planned = plan(SHOP)
    launch_as_planned(stage, planned)
    yield planned
    stage.scrap(SHOP)


def test_before_the_first_launch_everything_is_to_be_started_and_nothing_has_an_address(first: Plan) -> None:
    assert first.code == 2
    assert sorted(first.servers(action="start", address="(known after launch)")) == sorted(SERVERS)
    assert sorted(first.restarts()) == ["application-1", "application-2", "database-1"]
    assert "+dependency.DATA_SOURCE-1.readHosts=(known after launch)" in first.text
    assert "+dependency.DATA_SOURCE-1.password=(secret)" in first.text
    assert "app on db.catalog for (known after launch), (known after launch)" in first.text
    assert "joins: planshop-application-1 (known after launch), planshop-application-2" in first.text
    (balancer,) = first.facts["balancers"]
    assert "the server is not there yet" in balancer["unknown"]
    print(first.text)


def test_after_a_launch_there_is_nothing_to_do_and_asking_changes_nothing(
    stage: Stage, plan: Planning, first: Plan
) -> None:
    before = fingerprints(stage)
    again = plan(SHOP)
    # A process of its own, as all of them are where people work.
    in_words = checked(stage, typed(stage, "plan", SHOP, "--definitions", str(stage.definitions)))
    assert (in_words.stdout.rstrip("\n"), in_words.returncode) == (again.text, 0)
    assert again.facts["changes"] == []
    assert (again.code, again.facts["nothing_to_do"]) == (0, True)
    assert sorted(again.servers(action="keep", unknown=None)) == sorted(SERVERS)
    assert again.balancer() == []
    assert f"  = {SHOP}-proxy-1: {HAPROXY} stays as it is\n" in again.text
    assert fingerprints(stage) == before
    # No script runs anywhere: the launch has asked too, and has skipped its steps.
    launch_as_planned(stage, again)
    assert not any(again.scripts().values())
    assert plan(SHOP).code == 0


def test_a_changed_password_is_a_change_and_is_not_shown(
    stage: Stage, plan: Planning, first: Plan, text: str
) -> None:
    stage.redefine(SHOP, text.replace("plan_catalog", "bookshop_catalog"))
    planned = plan(SHOP)
    print(planned.text)
    assert planned.restarts() == ["application-1", "application-2"]
    assert "-dependency.DATA_SOURCE-1.password=(secret)" in planned.text
    assert "+dependency.DATA_SOURCE-1.password=(secret, changed)" in planned.text
    assert "grantDatabaseAccess" in planned.scripts()["database-1"]
    stage.redefine(SHOP, text)
    assert plan(SHOP).code == 0


def test_a_changed_archive_is_said_and_installed_again(
    stage: Stage, plan: Planning, first: Plan, tmp_path: Path
) -> None:
    file = tmp_path / ARCHIVE
    source = tmp_path / "app"
    subprocess.run(["cp", "-r", str(INCLUDE / "bookshop" / "services" / "app"), str(source)], check=True)
    (source / "NEWS").write_text("something new\n")
    archive.build_archive(source, file)
    stage.upload(ARCHIVE, file.read_bytes())
    planned = plan(SHOP)
    print(planned.text)
    (changed,) = planned.facts["objects"]
    assert changed == {
        "kind": "archive",
        "of": "app",
        "url": f"s3://{example.BUCKET}/{ARCHIVE}",
        "servers": [f"{SHOP}-application-1", f"{SHOP}-application-2"],
        "held": False,
    }
    assert planned.restarts() == ["application-1", "application-2"]
    launch_as_planned(stage, planned)


def test_one_more_server_is_started_granted_and_joined(stage: Stage, plan: Planning, first: Plan) -> None:
    planned = plan(SHOP, "--servers", "application=3")
    print(planned.text)
    assert planned.servers(action="start") == ["application-3"]
    assert planned.restarts() == ["application-3"]
    addresses = ", ".join(stage.address(SHOP, f"application-{slot}") for slot in (1, 2))
    assert f"app on db.catalog for {addresses}, (known after launch)" in planned.text
    assert "joins: planshop-application-3 (known after launch)" in planned.text
    assert "joins: planshop-application-1" not in planned.text
    assert planned.balancer() == ["+    server (known after launch)_8000 (known after launch):8000 check"]
    launch_as_planned(stage, planned, servers_application=3)
    new = f"{stage.address(SHOP, 'application-3')}:8000 check"
    assert new in stage.machines(SHOP)["proxy-1"].sh(f"cat {HAPROXY}")
    after = plan(SHOP)
    assert after.balancer() == []
    assert after.code == 0
    assert "more servers than the 2 wanted of tier application; a launch takes none away" in after.text


def test_a_service_that_does_not_run_and_one_that_is_to_be_redeployed(
    stage: Stage, plan: Planning, first: Plan
) -> None:
    stage.machines(SHOP)["application-1"].sh("/enstratus/bin/stopService a1002")
    planned = plan(SHOP)
    print(planned.text)
    assert planned.restarts() == ["application-1"]
    assert "its check says: " in planned.text
    # One launch for both, which is planned as a whole.
    forced = plan(SHOP, "--redeploy", "db")
    assert sorted(forced.restarts()) == ["application-1", "database-1"]
    launch_as_planned(stage, forced, redeploy=["db"])


def test_of_a_server_that_does_not_answer_nothing_is_claimed(
    stage: Stage, plan: Planning, first: Plan
) -> None:
    machine = stage.machines(SHOP)["application-2"]
    machine.sh("pkill -STOP -x sshd")
    try:
        planned = plan(SHOP)
    finally:
        machine.sh("pkill -CONT -x sshd")
    print(planned.text)
    assert planned.code == 2
    (unknown,) = [each for each in planned.facts["servers"] if each["unknown"]]
    assert unknown["name"] == f"{SHOP}-application-2"
    assert "no answer within 15 s" in unknown["unknown"]
    assert planned.facts["changes"] == []
    assert plan(SHOP).code == 0


def test_what_a_launch_never_does_is_a_note(stage: Stage, plan: Planning, first: Plan, text: str) -> None:
    stage.redefine(SHOP, text.replace("size: t3.small", "size: t3.large"))
    planned = plan(SHOP)
    stage.redefine(SHOP, text)
    assert planned.code == 0
    assert (
        "is a t3.small, the launch configuration says t3.large; a launch replaces no server" in planned.text
    )


def test_a_load_balancer_on_another_port_shows_how_haproxys_configuration_changes(
    stage: Stage, plan: Planning, first: Plan, text: str
) -> None:
    before = fingerprints(stage)
    stage.redefine(SHOP, text.replace("port: 80,", "port: 8080,"))
    planned = plan(SHOP)
    stage.redefine(SHOP, text)
    print(planned.text)
    assert fingerprints(stage) == before
    assert planned.balancer() == [
        "-frontend port-80",
        "-    bind *:80",
        "+frontend port-8080",
        "+    bind *:8080",
    ]
    assert f"  ~ {SHOP}-proxy-1: {HAPROXY} changes\n" in planned.text
    machine = stage.machines(SHOP)["proxy-1"]
    assert machine.sh("find /tmp -name 'gantry-preview*'") == ""
    # The agent of an earlier version has no such script: the plan is made without it.
    machine.sh("mv /enstratus/bin/previewProxy /tmp")
    try:
        older = plan(SHOP)
    finally:
        machine.sh("mv /tmp/previewProxy /enstratus/bin")
    assert "the agent's scripts are not there yet, or of an earlier version" in older.text
    # Somebody has changed the file by hand: the next launch undoes that.
    machine.sh(f"sed -i.mine 's/retries 3/retries 4/' {HAPROXY}")
    by_hand = plan(SHOP)
    machine.sh(f"mv {HAPROXY}.mine {HAPROXY}")
    assert (by_hand.code, by_hand.facts["changes"]) == (2, [])
    assert by_hand.balancer() == ["-    retries 4", "+    retries 3"]
    assert plan(SHOP).code == 0


def test_what_a_launch_would_fail_at_is_an_error(
    stage: Stage, plan: Planning, first: Plan, text: str
) -> None:
    for wrong, said in (
        (text.replace("dbService", "nothing"), "s3://bookshop/nothing.tar.gz does not exist"),
        (text.replace("plan_catalog", "plan_no"), "Airflow connection 'plan_no' cannot be read"),
    ):
        stage.redefine(SHOP, wrong)
        planned = plan(SHOP)
        assert planned.code == 1
        assert said in planned.text
        assert "Traceback" not in planned.text
    stage.redefine(SHOP, text)
    wrong_tier = plan(SHOP, "--servers", "aplication=3")
    assert wrong_tier.code == 1
    assert "unknown tier 'aplication', did you mean 'application'?" in wrong_tier.text


def test_a_changed_greeting_is_a_diff_and_a_restart_on_the_application_servers_only(
    stage: Stage, plan: Planning, first: Plan, text: str
) -> None:
    stage.redefine(SHOP, text.replace("Hello from", "Welcome to"))
    planned = plan(SHOP)
    print(planned.text)
    assert planned.code == 2
    assert planned.restarts() == ["application-1", "application-2", "application-3"]
    assert {each["step"] for each in planned.facts["changes"]} == {"service-app.update"}
    assert planned.scripts()["proxy-1"][:3] == ["stopProxy", "awaitDrained", "startProxy"]
    assert planned.balancer() == [], "who leaves joins again"
    for slot in (1, 2, 3):
        assert f"-greeting=Hello from planshop-application-{slot}" in planned.text
        assert f"+greeting=Welcome to planshop-application-{slot}" in planned.text
    launch_as_planned(stage, planned)
    assert plan(SHOP).code == 0


def test_a_stopped_server_is_resumed_and_what_it_needs_then_is_unknown(
    stage: Stage, plan: Planning, first: Plan
) -> None:
    instance = stage.machines(SHOP)["application-3"].instance_id
    ec2 = stage.cloud.client("ec2")
    ec2.stop_instances(InstanceIds=[instance])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1})
    planned = plan(SHOP)
    assert planned.code == 2
    assert planned.servers(action="resume") == ["application-3"]
    assert "it is stopped; what is applied there, it tells when it runs" in planned.text


def test_a_server_with_chef_is_planned_launched_and_planned_again(stage: Stage, plan: Planning) -> None:
    name = "planchef"
    # An empty run list is enough for Chef to register the node and to converge.
    text = bare(name, "", attributes='{a: "{{ server.address }}"}').replace('run_list: [""]', "run_list: []")
    stage.define(name, text)
    try:
        planned = plan(name)
        print(planned.text)
        assert planned.code == 2
        assert planned.scripts() == {"only-1": ["runConfigurationManagement-CHEF"]}
        assert "/enstratus/ws/chef/first-boot.json" in planned.text
        stage.launch(name).succeeds()
        assert plan(name).code == 0
        forced = plan(name, "--converge", "only")
        assert "converge is asked for" in forced.text
        stage.redefine(name, text.replace("{a: ", "{b: "))
        changed = plan(name)
        assert changed.scripts() == {"only-1": ["runConfigurationManagement-CHEF"]}
        assert "what it depends on has changed" in changed.text
    finally:
        stage.scrap(name)
