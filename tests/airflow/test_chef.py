"""Chef on real servers, from Airflow: when it runs, what its failures say, and that no death makes it run twice.

A real Chef server (goiardi); what stands in for chef-client is told in docs/configuration-management.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx
import pytest

from gantry.configuration_management import chef_server
from gantry.local.cloud import chef_repository
from tests.airflow.stage import Launch, Machine, Stage, eventually

pytestmark = pytest.mark.airflow

PREPARE = "tier-only.prepare_configuration_management"
EXECUTE = "tier-only.execute_configuration_management"
SCRIPT = "runConfigurationManagement-CHEF"
Name = Callable[[str], str]

RECIPES = {
    "default": "file '/tmp/probe' do\n  content node['probe']['text']\nend\n",
    "other": "file '/tmp/other' do\n  content 'other'\nend\n",
    "broken": "file('/tmp/first') { content 'stays' }\nexecute 'exit 7'\n",
    # Four minutes of work, or as fast as it goes once /tmp/hurry is there: all of twenty servers have to be at it.
    "slow": textwrap.dedent("""\
        execute 'work' do
          command <<~SH
            echo begun >> /tmp/starts
            number=0
            while [ "$number" -lt 480 ] && [ ! -e /tmp/hurry ]; do
              number=$((number + 1))
              sleep 0.5
            done
          SH
        end
        """),
    "hang": "execute('sleep 4716') { not_if 'test -e /tmp/hurry' }\n",
}


@pytest.fixture(scope="module")
def chef(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> chef_server.ChefServer:
    """The Chef server as its administrator, with the cookbook `probe` on it."""
    server = stage.chef()
    folder = tmp_path_factory.mktemp("chef") / "cookbooks" / "probe"
    (folder / "recipes").mkdir(parents=True)
    (folder / "attributes").mkdir()
    (folder / "metadata.json").write_text('{"name": "probe", "version": "1.0.0"}')
    (folder / "attributes" / "default.rb").write_text("default['probe']['text'] = 'by default'\n")
    for name, text in RECIPES.items():
        (folder / "recipes" / f"{name}.rb").write_text(text)
    chef_repository.upload(folder.parents[1], server)
    return server


def bare(name: str, run_list: str = "recipe[probe]", **changes: str) -> str:
    """The definition of one tier of bare servers, which Chef configures."""
    facts = {
        "connection": "chef_default",
        "chef": "",
        "attributes": "{}",
        "servers": "1",
        "attend": "30s",
        "timeout": "5m",
        **changes,
    }
    return textwrap.dedent(f"""\
        deployment: {name}
        attend_time: {facts["attend"]}
        timeouts: {{handshake: 180s, execute_configuration_management: {facts["timeout"]}}}
        cloud: {{region: eu-central-1}}
        launch_configurations:
          debian:
            image: gantry-debian-12
            ssh: {{connection: bookshop_ssh}}
            chef: {{connection: {facts["connection"]}, accept_license: true{facts["chef"]}}}
        tiers:
          only:
            launch_configuration: debian
            servers: {facts["servers"]}
            run_list: ["{run_list}"]
            attributes: {facts["attributes"]}
        """)


def launched(stage: Stage, name: str, text: str) -> Launch:
    """Define a deployment and launch it; come back at once."""
    stage.define(name, text)
    return stage.launch(name)


def without_secrets(machine: Machine) -> None:
    """The validator's key is nowhere any more."""
    assert machine.secrets_in_transit() == []
    assert (
        machine.sh("ls /etc/chef /etc/chef.before-gantry 2>/dev/null | grep -c validation || true") == "0\n"
    )


def report(launch: Launch, task: str = EXECUTE, index: int = 0) -> dict[str, Any]:
    """What a step has left as its result."""
    path = f"/dags/{launch.dag}/dagRuns/{launch.run}/taskInstances/{task}/xcomEntries/return_value"
    value = launch.api.call("GET", path, params={"map_index": index})["value"]
    found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return found


def test_chef_runs_on_new_servers_and_when_something_changed(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-life")
    first = launched(stage, name, bare(name, attributes='{probe: {text: "on {{ server.name }}"}}'))
    first.succeeds()
    machine = stage.machine(name)
    assert machine.sh("cat /tmp/probe") == f"on {name}-only-1"
    without_secrets(machine)
    log = first.task_log(EXECUTE)
    assert "Creating a new client identity" in log
    runs = report(first)["runs"][f"{name}-only-1"]
    assert (runs["updated"], runs["total"]) == (1, 1)
    assert runs["resources"] == ["file[/tmp/probe] create"]
    assert runs["seconds"] is not None

    again = stage.launch(name)
    again.succeeds()
    assert machine.calls(SCRIPT) == 1
    assert "nothing to do: everything is applied already" in again.task_log("find_lost")

    stage.redefine(name, bare(name, run_list="recipe[probe::other]"))
    changed = stage.launch(name)
    changed.succeeds()
    assert machine.sh("cat /tmp/other") == "other"
    assert "no validator is needed" in changed.task_log(EXECUTE)

    forced = stage.launch(name, converge=["only"])
    forced.succeeds()
    assert machine.calls(SCRIPT) == 3
    assert report(forced)["runs"][f"{name}-only-1"]["updated"] == 0

    assert {f"{name}-only-1"} <= set(chef.nodes()) & set(chef.clients())
    stage.terminate(name).succeeds()
    assert f"{name}-only-1" not in {*chef.nodes(), *chef.clients()}


def test_a_former_server_makes_way_and_a_connection_that_is_gone_does_not_keep_a_termination_from_its_end(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-lost")
    stage.connect("chef_gone", stage.chef_connection())
    launched(stage, name, bare(name, connection="chef_gone")).succeeds()
    # The server goes without anybody telling Chef; the next one has its name.
    stage.cloud.client("ec2").terminate_instances(InstanceIds=[stage.machine(name).instance_id])
    eventually(lambda: not stage.machines(name) or None, "the server to be gone")
    assert f"{name}-only-1" in chef.nodes()
    replaced = stage.launch(name)
    replaced.succeeds()
    assert f"left by an earlier server: node {name}-only-1" in replaced.task_log(PREPARE)
    assert stage.machine(name).calls(SCRIPT) == 1

    stage.disconnect("chef_gone")
    termination = stage.terminate(name)
    termination.succeeds()
    assert stage.machines(name) == {}
    skipped = termination.task_log("finish_termination").partition("skipped: ")[2]
    assert "may still be on the Chef server: Airflow connection 'chef_gone' cannot be read" in skipped
    assert f"{name}-only-1" in chef.nodes()
    chef.delete_client(f"{name}-only-1")
    chef.delete_node(f"{name}-only-1")


def test_a_lost_key_without_an_admin_is_explained(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-no-admin")
    stage.connect("chef_no_admin", stage.chef_connection(admin=False))
    launched(stage, name, bare(name, connection="chef_no_admin")).succeeds()
    machine = stage.machine(name)
    machine.sh("rm /etc/chef/client.pem")
    launch = stage.launch(name, converge=["only"])
    error = launch.fails_at(EXECUTE)
    assert f"{name}-only-1: FATAL: " in error
    assert "this server does not have its key" in error
    assert launch.instance(EXECUTE).try_number == 1
    without_secrets(machine)
    # What the message says, by hand.
    chef.delete_client(f"{name}-only-1")
    chef.delete_node(f"{name}-only-1")
    launch.clear(EXECUTE)
    launch.succeeds()
    termination = stage.terminate(name)
    termination.succeeds()
    assert "has no admin key" in termination.task_log("finish_termination").partition("skipped: ")[2]
    assert f"{name}-only-1" in chef.nodes()
    chef.delete_client(f"{name}-only-1")
    chef.delete_node(f"{name}-only-1")


@dataclasses.dataclass(frozen=True)
class Case:
    """What is wrong in a tier, and what its error says of it: Chef's word, and what to do.

    `is_seen`: the look before the launch finds it, and refuses; the others show on the server.
    """

    fatal: str
    advice: str
    run_list: str = "recipe[probe]"
    connection: str = "chef_default"
    tries: int = 1
    is_seen: bool = False


CASES = {
    "role": Case("role chef-late", "is not on the Chef server", run_list="role[chef-late]", is_seen=True),
    "cookbook": Case(
        "cookbook nowhere", "is not on the Chef server", run_list="recipe[nowhere]", is_seen=True
    ),
    "key": Case("401", "Check name and key", connection="chef_wrong_key", is_seen=True),
    "name": Case("401", "Check name and key", connection="chef_wrong_name", is_seen=True),
    "recipe": Case("exit 7", "correct the cookbook", run_list="recipe[probe::broken]"),
    "tls": Case("certificate verify failed", "Trusted certificate", connection="chef_no_certificate"),
    # What may pass by itself is tried three times.
    "refused": Case("", "cannot be reached from this server", connection="chef_refused", tries=3),
    "trouble": Case("503", "or reports an error", connection="chef_trouble", tries=3),
}
SEEN = {name: case for name, case in CASES.items() if case.is_seen}
ON_SERVERS = {name: case for name, case in CASES.items() if not case.is_seen}
MISTAKEN = "chef-mistaken"
TOGETHER = pytest.mark.xdist_group(MISTAKEN)


def mistaken(cases: Mapping[str, Case]) -> str:
    """The definition of a deployment with a tier for each case."""
    sound = {"connection": "bookshop_ssh"}
    return json.dumps(
        {
            "deployment": MISTAKEN,
            "timeouts": {"handshake": "180s"},
            "cloud": {"region": "eu-central-1"},
            "launch_configurations": {
                name: {
                    "image": "gantry-debian-12",
                    "ssh": sound,
                    "chef": {
                        "connection": each.connection,
                        "accept_license": True,
                        "settings": {"http_retry_count": 0, "http_retry_delay": 1},
                    },
                }
                for name, each in cases.items()
            },
            "tiers": {
                name: {"launch_configuration": name, "servers": 1, "run_list": [each.run_list]}
                for name, each in cases.items()
            },
        },
        indent=1,
    )


@dataclasses.dataclass(frozen=True)
class Failed:
    """A launch that was refused, and, mended as far as that said, has failed in every tier that is left.

    `refusal` is the error of its first step; nothing was started then.
    """

    launch: Launch
    refusal: str


@pytest.fixture(scope="module")
def failed(stage: Stage, chef: chef_server.ChefServer) -> Iterator[Failed]:
    """The launch with all mistakes."""
    good = stage.chef_connection()
    # Without an admin: it is the servers' own way to the Chef server that is looked at.
    extra = {"environment": "_default"}
    certificate = {"trusted_certificate": good["extra"]["trusted_certificate"]}
    with in_trouble(stage, refusing=True) as refusing, in_trouble(stage, refusing=False) as unavailable:
        for name, connection in {
            "wrong_key": {**good, "password": stage.other_key(), "extra": extra | certificate},
            "wrong_name": {**good, "login": "somebody", "extra": extra | certificate},
            "no_certificate": {**good, "extra": extra},
            "refused": {**good, "host": refusing, "extra": extra},
            "trouble": {**good, "host": unavailable, "extra": extra},
        }.items():
            stage.connect(f"chef_{name}", connection)
        launch = launched(stage, MISTAKEN, mistaken(CASES))
        refusal = launch.fails_at("turn")
        assert stage.machines(MISTAKEN) == {}
        chef.post("/roles", {"name": "chef-late", "run_list": ["recipe[probe]"], "json_class": "Chef::Role"})
        sound = {name: Case("", "") for name in SEEN} | {"role": CASES["role"]}
        stage.redefine(MISTAKEN, mistaken(CASES | sound))
        launch.clear("turn")
        assert launch.ends(400) == "failed"
    yield Failed(launch, refusal)
    stage.scrap(MISTAKEN)


@TOGETHER
def test_what_the_chef_server_can_tell_is_told_at_once_before_a_server_is_started(failed: Failed) -> None:
    for tier, case in SEEN.items():
        (told,) = (each for each in failed.refusal.split(f"{MISTAKEN}.yaml:") if f"tier {tier}: " in each)
        assert case.fatal in told
        assert case.advice in told


@TOGETHER
@pytest.mark.parametrize("case", ON_SERVERS)
def test_what_goes_wrong_is_told_with_chefs_word_and_what_to_do(
    stage: Stage, failed: Failed, case: str
) -> None:
    wanted = CASES[case]
    task, server = f"tier-{case}.execute_configuration_management", f"{MISTAKEN}-{case}-1"
    error = failed.launch.errors_by_task()[task]
    first = next(line for line in error.splitlines() if "FATAL" in line)
    assert f"{server}: FATAL: " in first
    assert wanted.fatal in first
    assert wanted.advice in first
    assert f"{SCRIPT} root {server}" in error
    assert failed.launch.instance(task).try_number == wanted.tries
    without_secrets(stage.machines(MISTAKEN)[f"{case}-1"])


@TOGETHER
def test_mended_as_the_messages_say_and_cleared_the_launch_ends(stage: Stage, failed: Failed) -> None:
    stage.redefine(MISTAKEN, mistaken({name: Case("", "") for name in CASES} | {"role": CASES["role"]}))
    failed.launch.clear(*(f"tier-{case}.prepare_configuration_management" for case in ON_SERVERS))
    failed.launch.succeeds()
    machines = stage.machines(MISTAKEN)
    assert len(machines) == len(CASES)
    for machine in machines.values():
        assert machine.sh("cat /tmp/probe") == "by default"
        without_secrets(machine)


@contextlib.contextmanager
def in_trouble(stage: Stage, *, refusing: bool) -> Iterator[str]:
    """The URL of a Chef server that cannot be spoken to, or has nothing but 503 to say."""

    class Unavailable(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_PUT = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer((stage.gateway, 0), Unavailable)
    url = f"http://{stage.gateway}:{server.server_port}"
    if refusing:
        server.server_close()
        yield url
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()


def begin(stage: Stage, name: str, attend: str) -> tuple[Launch, Machine]:
    """Launch a deployment whose Chef run takes a minute; come back when it works."""
    launch = launched(stage, name, bare(name, run_list="recipe[probe::slow]", attend=attend))
    launch.await_state(EXECUTE, "running", "deferred")
    machine = stage.machine(name)
    eventually(lambda: "starts" in machine.sh("ls /tmp") or None, "chef-client to work")
    return launch, machine


def ended_well(launch: Launch, machine: Machine) -> None:
    """Chef ran once, and its whole output is in the log."""
    machine.sh("touch /tmp/hurry")
    launch.succeeds()
    assert machine.sh("cat /tmp/starts") == "begun\n"
    assert (machine.calls(SCRIPT), machine.calls(SCRIPT, "end")) == (1, 1)
    log = launch.task_log(EXECUTE)
    assert log.count("* execute[work] action run") == 1
    assert "Infra Phase complete, 1/1 resources updated" in log
    assert report(launch)["runs"][f"{launch.dag}-only-1"]["resources"] == ["execute[work] run"]
    without_secrets(machine)


def test_a_worker_killed_during_a_run_changes_nothing(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-worker")
    launch, machine = begin(stage, name, attend="60s")
    stage.kill_workers(launch, EXECUTE)
    eventually(lambda: launch.instance(EXECUTE).try_number > 1 or None, "another try")
    ended_well(launch, machine)


@pytest.mark.alone
def test_a_triggerer_killed_during_a_run_changes_nothing(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-triggerer")
    launch, machine = begin(stage, name, attend="2s")
    launch.await_state(EXECUTE, "deferred")
    stage.kill_triggerer()
    ended_well(launch, machine)
    assert launch.instance(EXECUTE).try_number == 1


def test_a_run_that_hangs_is_ended_with_its_children(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-hang")
    launch = launched(stage, name, bare(name, run_list="recipe[probe::hang]", timeout="15s", attend="5s"))
    error = launch.fails_at(EXECUTE)
    machine = stage.machine(name)
    assert "did not end within 15 s; it and its children were killed" in error
    assert "4716" not in machine.sh("ps -eo args")
    without_secrets(machine)
    machine.sh("touch /tmp/hurry")
    launch.clear(EXECUTE)
    launch.succeeds()


def test_twenty_servers_converge_without_a_worker_slot(
    stage: Stage, chef: chef_server.ChefServer, scrapped: Name
) -> None:
    name = scrapped("chef-many")
    launch = launched(
        stage, name, bare(name, run_list="recipe[probe::slow]", servers="20", attend="2s", timeout="10m")
    )

    def all_at_work() -> bool | None:
        machines = stage.machines(name).values()
        return (len(machines) == 20 and all("starts" in each.sh("ls /tmp") for each in machines)) or None

    eventually(all_at_work, "twenty servers to converge")
    eventually(
        lambda: (
            (
                {each.state for each in launch.api.instances(name, launch.run) if each.task_id == EXECUTE}
                == {"deferred"}
            )
            or None
        ),
        "no worker to be held",
    )
    assert "running" not in {each.state for each in launch.api.instances(name, launch.run)}
    for machine in stage.machines(name).values():
        machine.sh("touch /tmp/hurry")
    launch.succeeds()
    for machine in stage.machines(name).values():
        assert machine.sh("cat /tmp/starts") == "begun\n"
        without_secrets(machine)


def test_a_program_of_ones_own_configures_servers(stage: Stage, scrapped: Name) -> None:
    name = scrapped("scripted")
    program = '#!/bin/sh\necho "$GANTRY_NODE_NAME $*" >> /tmp/ran; grep -o \'"text": "[^"]*"\' "$GANTRY_CONFIG_FILE"\n'
    url = stage.upload("converge.sh", program.encode())
    text = bare(name, run_list="base", attributes='{text: "on {{ server.name }}"}').replace(
        "chef: {connection: chef_default, accept_license: true}", f"script: {{program: {url}}}"
    )
    first = launched(stage, name, text)
    first.succeeds()
    machine = stage.machine(name)
    assert machine.sh("cat /tmp/ran") == f"{name}-only-1 base\n"
    assert f'"text": "on {name}-only-1"' in first.task_log(EXECUTE)
    assert machine.secrets_in_transit() == []
    stage.launch(name).succeeds()
    assert machine.sh("cat /tmp/ran") == f"{name}-only-1 base\n"
    stage.upload("converge.sh", program.encode() + b"exit 9\n")
    failed = stage.launch(name)
    assert "failed with exit code 9" in failed.fails_at(EXECUTE)
    stage.upload("converge.sh", program.encode())
    failed.clear(EXECUTE)
    failed.succeeds()


def test_the_test_button_says_whether_the_chef_server_accepts_the_keys(
    stage: Stage, chef: chef_server.ChefServer
) -> None:
    good = stage.chef_connection()

    def press(connection: dict[str, Any]) -> dict[str, Any]:
        body = {
            "connection_id": "tried",
            **{key: value for key, value in connection.items() if key != "extra"},
            "extra": json.dumps(connection["extra"]),
        }
        found: dict[str, Any] = stage.api.call("POST", "/connections/test", json=body)
        return found

    answer = press(good)
    assert answer["status"], answer
    assert f"{stage.cloud.chef_server_url} accepts the keys of chef-validator and admin." in answer["message"]
    answer = press({**good, "password": stage.other_key()})
    assert not answer["status"]
    assert "chef-validator" in answer["message"]
    assert "PRIVATE" not in answer["message"]


def test_the_form_of_a_chef_connection_has_its_fields(stage: Stage) -> None:
    airflow = stage.airflow
    with httpx.Client(base_url=airflow.url, timeout=60) as ui:
        who = {"username": airflow.user, "password": airflow.password}
        token = ui.post("/auth/token", json=who).raise_for_status().json()["access_token"]
        asked = ui.get("/ui/connections/hook_meta", headers={"Authorization": f"Bearer {token}"})
    found: Any = asked.raise_for_status().json()
    form = next(each for each in found if each["connection_type"] == "chef")
    assert form["standard_fields"]["host"]["title"] == "Server URL"
    assert set(form["extra_fields"]) == {
        "environment", "trusted_certificate", "admin_name", "admin_key", "origin", "license_key", "license_server",
    }  # fmt: skip
