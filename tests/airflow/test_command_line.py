"""`gantry launch`, `terminate`, `status` and `logs` against a real Airflow, as a person or a pipeline types them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantry.cli.queries import deployment_status
from gantry.rest import summaries
from tests.airflow.shell import COMMAND, Gantry
from tests.airflow.stage import PATIENCE, Launch, Stage, archive, eventually, probe

pytestmark = pytest.mark.airflow

NAME = "typed"
SERVER = f"{NAME}-only-1"


@pytest.fixture(scope="module")
def defined(stage: Stage) -> Iterator[str]:
    """A deployment that Airflow knows, and nobody has launched."""
    stage.define(NAME, probe(NAME, stage.upload("typed.tar.gz", archive())))
    yield NAME
    stage.scrap(NAME)


@pytest.fixture(scope="module")
def launched(gantry: Gantry, defined: str) -> subprocess.CompletedProcess[str]:
    """Its first launch, typed."""
    return gantry("launch", defined, "--reason", "the first one", "--timeout", "10m")


def newest(stage: Stage, dag: str) -> Launch:
    """The newest run of a DAG."""
    return Launch(stage, dag, next(stage.api.runs(dag)).id)


def test_a_launch_shows_its_phases_and_ends_with_0(
    launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    assert launched.returncode == 0, launched.stderr
    told = launched.stdout.splitlines()
    assert f"run {newest(stage, NAME).run} of {NAME}: {stage.airflow.url}/dags/{NAME}/runs/" in told[0]
    for phase in (
        "1 scale up",
        "4 service download and install",
        "6 configure dependent services",
        "7 start proxy",
    ):
        words = [line for line in told if phase in line]
        assert "done" in words[-1], (phase, told)
    assert told[-1].startswith(f"{NAME} is RUNNING: ")
    assert launched.stderr == ""


def test_status_tells_what_runs_from_airflow_from_the_cloud_and_from_both(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    told = gantry("status", NAME).stdout
    assert f"{NAME} is RUNNING" in told
    assert "last launch: success" in told
    assert "the first one" in told
    assert "tiers: only 1 of 1" in told
    found = json.loads(gantry("status", NAME, "--json").stdout)
    (server,) = found["servers"]
    assert (found["state"], server["name"], server["agent"]) == ("RUNNING", SERVER, "RUNNING")
    assert server["services"] == {"probe": "RUNNING"}
    version = server["versions"]["probe"]["version"]
    assert f"probe RUNNING {version[:8]}" in told
    assert "on record: launch by " in told
    assert "+serverId=" in gantry("history", NAME, "--facts").stdout
    assert server["instance"] is None
    both = json.loads(gantry("status", NAME, "--from", "both", "--json").stdout)
    instance = stage.machine(NAME).instance_id
    assert both["servers"][0]["instance"]["id"] == instance
    assert both["servers"][0]["services"] == {"probe": "RUNNING"}
    # Nobody listens there: no Airflow is asked.
    cloud = gantry("status", NAME, "--from", "cloud", "--url", "http://127.0.0.1:9", "--profile", "stage")
    assert cloud.returncode == 0, cloud.stderr
    assert instance in cloud.stdout
    assert stage.address(NAME, "only-1") in cloud.stdout
    assert "tiers: only 1 of 1" in cloud.stdout


def test_without_an_airflow_the_cloud_is_asked_with_this_machines_own_credentials(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage, tmp_path: Path
) -> None:
    own = {
        "GANTRY_PROFILES": str(tmp_path / "none.toml"),
        "AWS_ACCESS_KEY_ID": stage.cloud.access_key_id,
        "AWS_SECRET_ACCESS_KEY": stage.cloud.secret_access_key,
        "AWS_ENDPOINT_URL": stage.cloud.endpoint_url,
    }
    found = gantry("status", NAME, "--json", **own)
    assert found.returncode == 0, found.stderr
    assert "'aws_default' is not known here" in found.stderr
    told = json.loads(found.stdout)
    assert (told["from"], told["state"], told["servers"][0]["name"]) == ("cloud", None, SERVER)


def test_all_deployments_are_listed(gantry: Gantry, launched: subprocess.CompletedProcess[str]) -> None:
    rows = {each["deployment"]: each for each in json.loads(gantry("status", "--json").stdout)}
    assert rows[NAME]["state"] == "RUNNING"
    assert rows[NAME]["run"]["reason"] == "the first one"
    (line,) = [line for line in gantry("status").stdout.splitlines() if line.startswith(f"{NAME} ")]
    assert line.split()[1:4] == ["RUNNING", "launch", "success"]


def test_gantrys_own_api_lists_them_as_their_runs_do(
    launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    def of_typed(lines: list[deployment_status.DeploymentLine]) -> list[object]:
        # Other tests' deployments may be at work meanwhile.
        return [each.as_json() for each in lines if each.name == NAME]

    (found,) = [each for each in summaries.every(stage.api) or () if each.name == NAME]
    assert found.settled
    assert (
        of_typed(deployment_status.every(stage.api)) == of_typed(deployment_status.by_runs(stage.api)) != []
    )


def test_logs_are_those_of_a_run_a_step_or_a_server(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    whole = gantry("logs", NAME).stdout
    titles = [line for line in whole.splitlines() if line.startswith("── ")]
    assert titles[:2] == ["── turn · success ──", "── find_lost · success ──"]
    assert f"── tier-only.handshake · {SERVER} · success ──" in titles
    assert titles[-1] == "── finish_launch · success ──"
    assert "RunInstances: 1 of" in whole
    assert f"deployment {NAME} is RUNNING" in whole
    step = gantry("logs", NAME, "--step", "handshake", "--run", newest(stage, NAME).run).stdout
    assert [line for line in step.splitlines() if line.startswith("── ")] == [
        f"── tier-only.handshake · {SERVER} · success ──"
    ]
    filtered = gantry("logs", NAME, "--step", "tier-only", "--server", "only-1", "--json").stdout
    lines = [json.loads(line) for line in filtered.splitlines()]
    assert {each["label"] for each in lines} == {SERVER}
    assert {"tier-only.handshake", "tier-only.install_services"} <= {each["task"] for each in lines}


def test_the_agents_own_log_is_read_from_the_server(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    journal = stage.machine(NAME).journal()
    for name in ("only-1", SERVER):
        found = gantry("logs", NAME, "--server", name)
        assert found.stdout.splitlines() == journal, found.stderr
    assert gantry("logs", NAME, "--server", "only-1", "-n", "2").stdout.splitlines() == journal[-2:]
    unknown = gantry("logs", NAME, "--server", "olny-1")
    assert unknown.returncode == 1
    assert f"no server 'olny-1' of this deployment, did you mean '{SERVER}'?" in unknown.stderr


def test_the_agents_log_is_followed_until_somebody_has_seen_enough(
    environ: dict[str, str], launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    following = subprocess.Popen(
        [*COMMAND, "logs", NAME, "--server", "only-1", "--follow", "--lines", "1"],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert following.stdout.readline() == f"{stage.machine(NAME).journal()[-1]}\n"
    stage.machine(NAME).sh("echo 'a line from the test' >>/enstratus/ws/log/agent.log")
    assert following.stdout.readline() == "a line from the test\n"
    following.send_signal(signal.SIGINT)
    assert following.wait(PATIENCE) == 130


def test_the_agents_log_is_not_read_from_somebody_else(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    ec2, instance = stage.cloud.client("ec2"), stage.machine(NAME).instance_id
    (right,) = (
        tag["Value"]
        for tag in ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance]}])["Tags"]
        if tag["Key"] == "gantry:host-key"
    )
    other = stage.shop.private_key
    wrong = public_half(other)
    ec2.create_tags(Resources=[instance], Tags=[{"Key": "gantry:host-key", "Value": wrong}])
    try:
        found = gantry("logs", NAME, "--server", "only-1")
    finally:
        ec2.create_tags(Resources=[instance], Tags=[{"Key": "gantry:host-key", "Value": right}])
    assert (found.returncode, found.stdout) == (1, "")
    assert "is not the one pinned" in found.stderr


def test_without_the_definition_progress_is_shown_by_tasks(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    again = gantry("launch", NAME, "--redeploy", "probe", GANTRY_DEFINITIONS=str(tmp_path))
    assert again.returncode == 0, again.stderr
    told = again.stdout.splitlines()
    # Airflow may call the run a success a moment after its last task.
    assert any("finish_launch" in line and "done" in line for line in told[-3:])
    assert any("tier-only.install_services" in line and "only-1" in line for line in told)
    # What has nothing to do was skipped.
    assert not any("tier-only.handshake" in line and "done" in line for line in told)
    assert told[-1].startswith(f"{NAME} is RUNNING: ")


def test_a_second_launch_is_maintenance_and_a_program_gets_its_end(
    gantry: Gantry, launched: subprocess.CompletedProcess[str]
) -> None:
    found = gantry("launch", NAME, "--redeploy", "probe", "--json")
    told = json.loads(found.stdout)
    assert (found.returncode, told["state"], told["run_state"]) == (0, "RUNNING", "success")
    assert told["failures"] == []
    assert {each["what"]: each["progress"] for each in told["progress"]}["1 scale up"] == "succeeded"


def test_who_stops_watching_does_not_stop_the_launch(
    gantry: Gantry, environ: dict[str, str], launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    watching = subprocess.Popen(
        [*COMMAND, "launch", NAME, "--redeploy", "probe"],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stdout is not None
    # The run is there as soon as its address is told.
    assert watching.stdout.readline().startswith("run ")
    assert "deployment" in watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=PATIENCE)
    assert watching.returncode == 130
    assert f"the run continues. To watch it again:\n  gantry status {NAME} --watch" in said
    seen = gantry("status", NAME, "--watch")
    assert seen.returncode == 0, seen.stderr
    newest(stage, NAME).succeeds()


def test_a_launch_that_fails_says_each_tasks_error_and_ends_with_1(gantry: Gantry, stage: Stage) -> None:
    name = "mistyped"
    stage.define(name, probe(name, stage.upload("mistyped.tar.gz", archive()), image="gantry-debian-13"))
    try:
        found = gantry("launch", name)
        assert found.returncode == 1
        assert "task turn: " in found.stderr
        assert "unknown image 'gantry-debian-13'" in found.stderr
        assert f"{stage.airflow.url}/dags/{name}/runs/" in found.stderr
        told = gantry("status", name)
        # Nothing was begun.
        assert f"{name} is STOPPED" in told.stdout
        assert "failed" in told.stdout
        program = json.loads(gantry("launch", name, "--json").stdout)
        (failure,) = program["failures"]
        assert failure["task"] == "turn"
        assert "unknown image" in failure["error"]
        assert [set(each) >= {"headline", "advice", "server"} for each in failure["causes"]] == [True]
    finally:
        stage.scrap(name)


def test_followed_logs_come_while_the_run_goes_on(
    gantry: Gantry, environ: dict[str, str], stage: Stage
) -> None:
    name = "followed"
    slow = (
        "#!/bin/sh\necho waiting\nwhile [ ! -e /tmp/go-on ]; do sleep 0.1; done\n"
        "echo going on\ntouch /tmp/probe-runs\n"
    )
    stage.define(
        name, probe(name, stage.upload("followed.tar.gz", archive({"enstratus-start": slow})), attend="3s")
    )
    try:
        triggered = json.loads(gantry("launch", name, "--no-wait", "--json").stdout)
        following = subprocess.Popen(
            [*COMMAND, "logs", name, "--run", triggered["run"], "--follow"],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert following.stdout is not None
        told: list[str] = []
        while not told or not told[-1].rstrip().endswith("waiting"):
            line = following.stdout.readline()
            assert line, told
            told.append(line)
        launch = Launch(stage, name, triggered["run"])
        # The task moves to the triggerer, and its log goes on there.
        launch.await_state("service-probe.configure", "deferred")
        machine = eventually(lambda: stage.machines(name).get("only-1"), "the server")
        machine.sh("touch /tmp/go-on")
        rest, _ = following.communicate(timeout=PATIENCE)
        launch.succeeds()
        assert sum("going on" in line for line in rest.splitlines()) == 1
        assert f"deployment {name} is RUNNING" in rest
    finally:
        stage.scrap(name)


def test_a_queued_launch_says_what_it_waits_for_and_no_longer_than_told(gantry: Gantry, stage: Stage) -> None:
    name = "queued"
    stuck = "#!/bin/sh\nwhile [ ! -e /tmp/go-on ]; do sleep 0.1; done\ntouch /tmp/probe-runs\n"
    stage.define(name, probe(name, stage.upload("queued.tar.gz", archive({"enstratus-start": stuck}))))
    try:
        first = json.loads(gantry("launch", name, "--no-wait", "--json").stdout)["run"]
        second = gantry("launch", name, "--timeout", "3s")
        assert second.returncode == 1
        assert f"it starts when the previous run has ended: {first}" in second.stdout
        assert (
            "did not end within 3 s and continues; unfinished: turn, find_lost, tier-only.scale_up"
            in second.stderr
        )
        machine = eventually(lambda: stage.machines(name).get("only-1"), "the server")
        machine.sh("touch /tmp/go-on")
        newest(stage, name).succeeds()
    finally:
        stage.scrap(name)


def test_a_paused_deployment_is_launched_only_if_it_may_be_unpaused(
    gantry: Gantry, launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    stage.api.call("PATCH", f"/dags/{NAME}", json={"is_paused": True})
    found = gantry("launch", NAME)
    assert found.returncode == 1
    assert f"the DAG '{NAME}' is paused" in found.stderr
    assert "--unpause" in found.stderr
    assert "its DAG is paused" in gantry("status", NAME).stdout
    assert gantry("launch", NAME, "--unpause").returncode == 0
    assert not stage.api.dag(NAME).is_paused


@pytest.mark.parametrize(
    ("words", "more", "told"),
    [
        (("launch", "tpyed"), {}, "has no deployment 'tpyed', did you mean 'typed'?"),
        (("status", "tpyed"), {}, "has no deployment 'tpyed', did you mean 'typed'?"),
        (("launch", NAME, "--servers", "olny=2"), {}, "--servers: unknown tier 'olny', did you mean 'only'?"),
        (
            ("launch", NAME, "--redeploy", "prob"),
            {},
            "--redeploy: unknown service 'prob', did you mean 'probe'?",
        ),
        (
            ("launch", NAME, "--servers", "only=7"),
            {},
            "--servers: tier only: 7 servers are wanted, and its limits are 1 to 1",
        ),
        (("status", NAME), {"GANTRY_TOKEN": "wrong"}, "refuses the token (the environment)"),
        (
            ("status", NAME, "--username", "admin"),
            {"GANTRY_PASSWORD": "wrong"},
            "rejects the login of 'admin' (401",
        ),
        (
            ("status", NAME, "--url", "http://127.0.0.1:9"),
            {},
            "Airflow at http://127.0.0.1:9 cannot be reached",
        ),
        (
            ("logs", NAME, "--run", "manual__never"),
            {},
            "typed has no run 'manual__never'; the newest are manual__",
        ),
        (("logs", NAME, "--step", "handshaek"), {}, "the run has no step 'handshaek', did you mean"),
        (("terminate", NAME, "--confirm", "tpyed"), {}, "the confirmation reads 'tpyed', not 'typed'"),
    ],
)
def test_what_cannot_be_done_is_said_with_what_to_do(
    gantry: Gantry,
    launched: subprocess.CompletedProcess[str],
    words: tuple[str, ...],
    more: dict[str, str],
    told: str,
) -> None:
    found = gantry(*words, **more)
    assert found.returncode == 1
    assert told in found.stderr
    assert "Traceback" not in found.stderr


def test_a_definition_that_airflow_cannot_read_is_shown_with_its_place(gantry: Gantry, stage: Stage) -> None:
    name = "garbled"
    stage.define(name, probe(name, stage.upload("garbled.tar.gz", archive())))
    try:
        stage.redefine(name, f"deployment: {name}\ntires: {{}}\n")
        stage.reparse(name, lambda: stage.api.import_errors(name) or None, "the import error")
        found = gantry("launch", name, GANTRY_DEFINITIONS="/nowhere")
        assert found.returncode == 1
        assert f"Airflow cannot read the definition of '{name}':" in found.stderr
        assert f"{name}.yaml:2:1: " in found.stderr
    finally:
        stage.scrap(name)


def test_a_termination_takes_everything_down_once_the_name_is_typed(
    gantry: Gantry, environ: dict[str, str], launched: subprocess.CompletedProcess[str], stage: Stage
) -> None:
    nobody = gantry("terminate", NAME)
    assert nobody.returncode == 64
    assert list(stage.instances(NAME))
    found = gantry("terminate", NAME, "--confirm", NAME, "--reason", "enough")
    assert found.returncode == 0, found.stderr
    told = found.stdout.splitlines()
    assert told[-1].startswith(f"{NAME} is STOPPED: ")
    assert any("tier-only.terminate_servers" in line and "done" in line for line in told)
    assert list(stage.instances(NAME)) == []
    assert f"{NAME} is STOPPED" in gantry("status", NAME).stdout
    assert "last termination: success" in gantry("status", NAME).stdout
    assert json.loads(gantry("status", NAME, "--from", "cloud", "--json").stdout)["state"] == "STOPPED"


def public_half(private_key: str) -> str:
    import asyncssh  # noqa: PLC0415 - half a second, for one test

    return asyncssh.import_private_key(private_key).export_public_key().decode().strip()
