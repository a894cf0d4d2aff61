"""What a node is told, when chef-client runs, and with what."""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

import pytest

from gantry import definition, inventory, names
from gantry.agent import downloads, session
from gantry.agent.fan_out import Applied, Work
from gantry.configuration_management import chef, chef_server, manager, script
from gantry.definition import models

DEFINITION = """\
deployment: shop
cloud: {{region: eu-central-1}}
launch_configurations:
  debian: {{image: ami-1, ssh: {{connection: ssh}}, {management}}}
tiers:
  web:
    launch_configuration: debian
    servers: 2
    run_list: ["role[web]", "recipe[base::users]"]
    attributes:
      nginx:
        workers: 4
        motd: "{{{{ server.name }}}} at {{{{ server.address }}}}"
        hosts: [a, "{{{{ deployment.name }}}}"]
      debug: false
"""
CHEF = "chef: {connection: chef_default}"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nvalidator\n-----END RSA PRIVATE KEY-----\n"
SERVER = inventory.Server(
    name=names.ServerName("shop-web-1"),
    tier=names.TierName("web"),
    slot=names.Slot(1),
    instance_id="i-1",
    state=inventory.InstanceState.RUNNING,
    image="ami-1",
    launched_at=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    private_address="10.0.0.21",
)


def read(management: str = CHEF, **changes: str) -> definition.Definition:
    text = DEFINITION.format(management=management)
    for old, new in changes.items():
        text = text.replace(old, new)
    return definition.loads(text)


def managed(
    management: str = CHEF, known: definition.Definition | None = None, **more: Any
) -> chef.ChefManager:
    found = known or read(management)
    settings = found.launch_configurations["debian"].chef
    assert settings is not None
    facts: dict[str, Any] = {
        "connection": names.ConnectionId("chef_default"),
        "url": "https://chef.example.com/organizations/acme",
        "validator": chef_server.Actor("acme-validator", KEY),
    }
    return chef.ChefManager(found, settings, chef.Credentials(**(facts | more)))


def put(found: Work) -> dict[str, str]:
    return {file.path: file.content.decode() for file in found.files}


NEW = Applied({})
KNOWN = Applied({}, digests={chef.CLIENT_KEY: "0" * 64})


NOW = manager.Occasion("run-2.execute")
EARLIER = manager.Occasion("run-1.execute")


def ran(found: Work, applied: Applied = KNOWN) -> Applied:
    """The server after the run has succeeded."""
    (job,) = found.jobs
    assert job.mark
    return Applied({job.mark[0]: job.mark[1]}, digests=applied.digests)


def test_first_boot_holds_the_run_list_and_the_attributes_rendered() -> None:
    content = put(managed().prepare(SERVER, NEW))[chef.FIRST_BOOT]
    assert json.loads(content) == {
        "run_list": ["role[web]", "recipe[base::users]"],
        "nginx": {"workers": 4, "motd": "shop-web-1 at 10.0.0.21", "hosts": ["a", "shop"]},
        "debug": False,
    }


def test_what_a_template_renders_cannot_leave_its_value() -> None:
    known = read(hosts='x: "{{ tier.name ~ \'\\", \\"run_list\\": []\' }}"\n        hosts')
    content = put(managed(known=known).prepare(SERVER, NEW))[chef.FIRST_BOOT]
    assert json.loads(content)["nginx"]["x"] == 'web", "run_list": []'
    assert json.loads(content)["run_list"] == ["role[web]", "recipe[base::users]"]


def test_a_template_that_cannot_be_rendered_is_an_error_with_its_place() -> None:
    known = read(hosts='x: ["{{ 1 / (server.slot - 1) }}"]\n        hosts')
    with pytest.raises(manager.AttributeTemplateError) as raised:
        managed(known=known).prepare(SERVER, NEW)
    assert str(raised.value).startswith("tiers.web.attributes.nginx.x[0]: division by zero\n")


def test_settings_become_lines_of_ruby() -> None:
    text = """chef: {connection: c, log_level: debug, accept_license: true,
        settings: {http_retry_count: 1, ssl_client_cert: "it's \\\\ #{x}", no_lazy_load: true}}"""
    assert put(managed(text).prepare(SERVER, NEW))[chef.EXTRA].splitlines() == [
        "log_level :debug",
        "chef_license 'accept'",
        "http_retry_count 1",
        "no_lazy_load true",
        r"ssl_client_cert 'it\'s \\ #{x}'",
    ]


def test_files_that_did_not_change_are_not_sent_again() -> None:
    first = managed(certificate="PEM").prepare(SERVER, KNOWN)
    assert set(put(first)) == {chef.FIRST_BOOT, chef.TRUSTED, chef.REBOOT}
    digests = {file.path: hashlib.sha256(file.content).hexdigest() for file in first.files}
    there = Applied({}, digests={**KNOWN.digests, **digests})
    assert managed(certificate="PEM").prepare(SERVER, there) == Work()
    # A certificate that is not wanted any more is emptied; one that never was is not sent.
    assert put(managed().prepare(SERVER, there)) == {chef.TRUSTED: ""}


def test_a_new_node_gets_the_validator_for_the_run_and_only_then() -> None:
    assert KEY not in str(put(managed().prepare(SERVER, NEW)))
    found = managed().run(SERVER, NEW, NOW)
    (token,), (job,) = found.files, found.jobs
    assert (token.content.decode(), token.mode) == (KEY, 0o600)
    assert token.path.startswith(f"{session.TEMPORARY}/")
    assert job.remove == (token.path, chef.VALIDATION_KEY)
    assert job.call == (
        f"runConfigurationManagement-CHEF root shop-web-1 {token.path} {chef.FIRST_BOOT} acme-validator "
        "https://chef.example.com/organizations/acme _default"
    )
    assert job.timeout == 45 * 60


def test_a_node_with_its_own_key_never_gets_the_validator() -> None:
    found = managed().run(SERVER, KNOWN, NOW)
    assert found.files == ()
    assert found.jobs[0].arguments[2] == "NULL"


def test_a_new_node_and_no_validator_is_an_error_before_anything_runs() -> None:
    bare = managed(validator=None)
    told = r"^shop-web-1: not registered .*'chef_default'"
    with pytest.raises(chef.NoValidatorError, match=told):
        bare.prepare(SERVER, NEW)
    with pytest.raises(chef.NoValidatorError, match=told):
        bare.run(SERVER, NEW, NOW)
    assert bare.run(SERVER, KNOWN, NOW).jobs


def test_what_did_not_change_does_not_run_again() -> None:
    done = ran(managed().run(SERVER, KNOWN, EARLIER))
    assert managed().run(SERVER, done, NOW) == Work()
    assert managed(CHEF.replace("}", ", log_level: debug}")).run(SERVER, done, NOW) == Work()
    assert managed().run(SERVER, done, manager.Occasion("run-2.execute", forced=True)).jobs
    assert managed(CHEF.replace("}", ", converge: always}")).run(SERVER, done, NOW).jobs


def test_what_an_earlier_try_of_this_step_did_is_looked_at_again() -> None:
    done = ran(managed().run(SERVER, KNOWN, NOW))
    first, again = managed().run(SERVER, KNOWN, NOW), managed().run(SERVER, done, NOW)
    assert first.jobs == again.jobs


@pytest.mark.parametrize(
    "other",
    [
        managed(known=read(**{"workers: 4": "workers: 5"})),
        managed(known=read(**{"role[web]": "role[other]"})),
        managed(CHEF.replace("}", ", environment: production}")),
        managed(environment="staging"),
        managed(url="https://other.example.com"),
    ],
    ids=["attribute", "run-list", "environment", "connection's environment", "server"],
)
def test_a_change_runs_again(other: chef.ChefManager) -> None:
    done = ran(managed().run(SERVER, KNOWN, EARLIER))
    assert other.run(SERVER, done, NOW).jobs


def test_the_definitions_environment_goes_before_the_connections() -> None:
    assert managed().environment == "_default"
    assert managed(environment="staging").environment == "staging"
    both = managed(CHEF.replace("}", ", environment: production}"), environment="staging")
    assert both.environment == "production"


def test_no_key_is_shown() -> None:
    actor = chef_server.Actor("admin", KEY)
    shown = repr(
        chef.Credentials(
            names.ConnectionId("c"), "https://c", validator=chef_server.Actor("v", KEY), admin=actor
        )
    )
    assert "validator\n" not in shown
    assert "PRIVATE" not in shown
    assert "PRIVATE" not in repr(actor)


def test_a_script_is_downloaded_and_called_with_the_run_list() -> None:
    known = read("script: {program: s3://shop/converge.sh}")
    settings = known.launch_configurations["debian"].script
    assert isinstance(settings, models.Script)

    def management(version: str = "one") -> script.ScriptManager:
        program = downloads.Download("s3://shop/converge.sh", version, None)
        return script.ScriptManager(known, settings, program)

    assert set(put(management().prepare(SERVER, NEW))) == {script.CONFIG}
    found = management().run(SERVER, NEW, EARLIER)
    (job,) = found.jobs
    assert job.arguments[-6:] == (
        "runConfigurationManagement-SCRIPT",
        "shop-web-1",
        f"{session.TEMPORARY}/script-program",
        script.CONFIG,
        "role[web]",
        "recipe[base::users]",
    )
    assert "secret" not in job.call
    done = ran(found)
    assert management().run(SERVER, done, NOW) == Work()
    assert management("two").run(SERVER, done, NOW).jobs


POLICY = "chef: {connection: c, policy_name: bookshop, policy_group: production, reboot: false}"


def test_a_policy_takes_the_place_of_environment_and_run_list() -> None:
    known = read(POLICY, **{'    run_list: ["role[web]", "recipe[base::users]"]\n': ""})
    found = managed(POLICY, known, environment="of the connection")
    files = put(found.prepare(SERVER, NEW))
    assert "run_list" not in json.loads(files[chef.FIRST_BOOT])
    assert files[chef.EXTRA].splitlines() == ["policy_name 'bookshop'", "policy_group 'production'"]
    (job,) = found.run(SERVER, NEW, manager.Occasion("step")).jobs
    # No -E.
    assert job.arguments[-1] == "NULL"


def test_another_policy_group_is_a_change() -> None:
    known = read(POLICY, **{'    run_list: ["role[web]", "recipe[base::users]"]\n': ""})
    other = POLICY.replace("production", "staging")
    elsewhere = read(other, **{'    run_list: ["role[web]", "recipe[base::users]"]\n': ""})
    names_ = [
        managed(text, each).run(SERVER, NEW, manager.Occasion("step")).jobs[0].name
        for text, each in ((POLICY, known), (other, elsewhere))
    ]
    assert names_[0] != names_[1]


def test_a_server_is_rebooted_unless_the_definition_says_no() -> None:
    (job,) = managed().run(SERVER, NEW, manager.Occasion("step")).jobs
    assert put(managed().prepare(SERVER, NEW))[chef.REBOOT] == "yes\n"
    assert job.outlives_reboots
    never = managed("chef: {connection: c, reboot: false}")
    assert chef.REBOOT not in put(never.prepare(SERVER, NEW))
    assert not never.run(SERVER, NEW, manager.Occasion("step")).jobs[0].outlives_reboots


def test_nodes_carry_the_mark_of_their_airflow_beside_what_the_definition_says() -> None:
    marked = managed(origin="east")
    told = json.loads(put(marked.prepare(SERVER, NEW))[chef.FIRST_BOOT])
    assert (told["gantry"], told["debug"], told["run_list"][0]) == ({"origin": "east"}, False, "role[web]")
    other = managed(origin="west").run(SERVER, NEW, manager.Occasion("step")).jobs[0]
    assert marked.run(SERVER, NEW, manager.Occasion("step")).jobs[0].name != other.name
    without = json.loads(put(managed().prepare(SERVER, NEW))[chef.FIRST_BOOT])
    assert "gantry" not in without


def test_attributes_of_that_name_keep_what_else_they_hold() -> None:
    known = read(**{"      debug: false": "      gantry: {colour: red}"})
    told = json.loads(put(managed(known=known, origin="east").prepare(SERVER, NEW))[chef.FIRST_BOOT])
    assert told["gantry"] == {"colour": "red", "origin": "east"}


LICENSE = "free-58555821-925e-4a27-8fdc-e79dae5a425b-9763"


def test_a_license_key_travels_with_the_run_and_is_in_no_argument() -> None:
    found = managed(license_key=LICENSE).run(SERVER, KNOWN, NOW)
    assert put(found) == {chef.LICENSE_KEY: f"{LICENSE}\n"}
    (job,) = found.jobs
    assert job.remove == (chef.LICENSE_KEY,)
    assert LICENSE not in job.call
    new = managed(license_key=LICENSE).run(SERVER, NEW, NOW)
    assert new.jobs[0].remove == (
        f"{session.TEMPORARY}/chef-validation.pem", chef.LICENSE_KEY, chef.VALIDATION_KEY,
    )  # fmt: skip
    assert chef.LICENSE_KEY not in put(managed(license_key=LICENSE).prepare(SERVER, NEW))


def test_another_license_converges_nobody() -> None:
    applied = ran(managed(license_key=LICENSE).run(SERVER, KNOWN, EARLIER))
    other = managed(license_key=f"{LICENSE}1", license_server="https://licenses.example.com")
    assert other.run(SERVER, applied, NOW) == Work()


def test_license_servers_stand_on_the_server_and_go_with_the_field() -> None:
    found = managed(license_server="https://a.example.com,https://b.example.com").prepare(SERVER, NEW)
    content = put(found)[chef.LICENSE_SERVER]
    assert content == "https://a.example.com,https://b.example.com\n"
    there = Applied({}, digests={chef.LICENSE_SERVER: hashlib.sha256(content.encode()).hexdigest()})
    assert put(managed().prepare(SERVER, there))[chef.LICENSE_SERVER] == ""
    assert chef.LICENSE_SERVER not in put(managed().prepare(SERVER, NEW))
