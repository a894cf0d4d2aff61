"""Configuration management on the server: what chef-client finds, and what is left when it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .server import Result, Server, until

KEY = "-----BEGIN RSA PRIVATE KEY-----\nvalidator\n-----END RSA PRIVATE KEY-----\n"
FIRST_BOOT = '{"run_list": ["role[web]"]}\n'
URL = "https://chef.example.com/organizations/acme"
SEE = """#!/bin/sh
echo "chef-client $*"
cat "$GANTRY_ROOT/etc/chef/client.rb"
stat -c '%n %a' "$GANTRY_ROOT"/etc/chef/* | sed "s|$GANTRY_ROOT||"
cat "$GANTRY_ROOT/etc/chef/validation.pem" 2>/dev/null
exit "${CHEF_CODE:-0}"
"""


@pytest.fixture
def chef(server: Server) -> Server:
    """A server with a chef-client that shows what it was given."""
    server.write("usr/bin/chef-client", SEE, 0o755)
    server.write("tmp/token.pem", KEY)
    server.write("enstratus/ws/chef/first-boot.json", FIRST_BOOT)
    return server


def run(server: Server, token: str | Path | None = None, **changes: str) -> Result:
    arguments = {
        "user": "root",
        "node": "shop-web-1",
        "token": str(token or server.path("tmp/token.pem")),
        "config": str(server.path("enstratus/ws/chef/first-boot.json")),
        "auth": "acme-validator",
        "url": URL,
        "environment": "production",
    }
    environment = {"PATH": f"{server.path('usr/bin')}:{os.environ['PATH']}"}
    if code := changes.pop("code", None):
        environment["CHEF_CODE"] = code
    return server.call("runConfigurationManagement-CHEF", *(arguments | changes).values(), **environment)


def test_chef_client_finds_its_files_and_the_key_is_gone_afterwards(chef: Server) -> None:
    result = run(chef)
    assert result.code == 0, result.err
    etc = chef.path("etc/chef")
    assert result.out.splitlines() == [
        f"chef-client -j {etc}/first-boot.json -c {etc}/client.rb -E production",
        "# Written by Gantry at each run; settings of your own belong into the definition.",
        "log_level :auto",
        "log_location STDOUT",
        f"chef_server_url '{URL}'",
        "validation_client_name 'acme-validator'",
        "node_name 'shop-web-1'",
        "/etc/chef/client.rb 640",
        "/etc/chef/first-boot.json 600",
        "/etc/chef/trusted_certs 750",
        "/etc/chef/validation.pem 600",
        *KEY.splitlines(),
    ]
    assert (etc / "first-boot.json").read_text() == FIRST_BOOT
    assert sorted(path.name for path in etc.iterdir()) == ["client.rb", "first-boot.json", "trusted_certs"]


def test_further_settings_and_a_certificate_are_taken_along_and_taken_away(chef: Server) -> None:
    chef.write("enstratus/ws/chef/client-extra.rb", "log_level :debug\n")
    chef.write("enstratus/ws/chef/trusted.crt", "certificate\n")
    lines = run(chef).out.splitlines()
    assert lines[lines.index("node_name 'shop-web-1'") + 1] == "log_level :debug"
    assert chef.path("etc/chef/trusted_certs/gantry.crt").read_text() == "certificate\n"
    chef.write("enstratus/ws/chef/trusted.crt", "")
    run(chef)
    assert list(chef.path("etc/chef/trusted_certs").iterdir()) == []


def test_a_node_with_its_client_key_never_gets_the_validator(chef: Server) -> None:
    chef.write("etc/chef/client.pem", "own key")
    result = run(chef)
    assert "validation.pem" not in result.out
    assert "no validator is needed" in result.err
    assert chef.path("etc/chef/client.pem").read_text() == "own key"


def test_an_empty_client_key_is_none(chef: Server) -> None:
    chef.write("etc/chef/client.pem", "")
    assert KEY in run(chef).out


def test_a_failure_is_99_with_chefs_own_code_and_no_key_stays(chef: Server) -> None:
    result = run(chef, code="172")
    assert result.code == 99
    assert "chef-client ended with exit code 172" in result.err
    assert not chef.path("etc/chef/validation.pem").exists()


def test_a_key_that_lies_there_already_goes_too(chef: Server) -> None:
    chef.write("etc/chef/client.pem", "own key")
    chef.write("etc/chef/validation.pem", KEY)
    assert "validation.pem" not in run(chef).out
    assert not chef.path("etc/chef/validation.pem").exists()
    assert not chef.path("etc/chef.before-gantry/validation.pem").exists()


def test_no_key_stays_when_the_run_is_killed(chef: Server) -> None:
    chef.script("usr/bin/chef-client", 'touch "$GANTRY_ROOT/tmp/runs"; exec sleep 4715', 0o755)
    key, job = chef.path("etc/chef/validation.pem"), "run.step/1/chef"
    chef.call(
        "job", "start", job, "1", "--remove", chef.path("tmp/token.pem"), "--",
        "runConfigurationManagement-CHEF", "root", "n1", chef.path("tmp/token.pem"),
        chef.path("enstratus/ws/chef/first-boot.json"), "v", URL, "_default",
        PATH=f"{chef.path('usr/bin')}:{os.environ['PATH']}",
    )  # fmt: skip
    until(chef.path("tmp/runs").exists, "chef-client runs")
    assert key.exists()
    assert chef.call("job", "kill", job, "3").out.startswith("killed")
    assert not key.exists()
    assert not chef.path("tmp/token.pem").exists()


def test_what_was_there_before_gantry_is_kept_once(chef: Server) -> None:
    chef.write("etc/chef/client.rb", "theirs\n")
    assert "kept a copy" in run(chef).err
    assert chef.path("etc/chef.before-gantry/client.rb").read_text() == "theirs\n"
    assert "kept a copy" not in run(chef).err
    assert chef.path("etc/chef.before-gantry/client.rb").read_text() == "theirs\n"


def test_missing_values_are_left_out(chef: Server) -> None:
    result = run(chef, token="NULL", auth="NULL", environment="NULL")
    assert "validation" not in result.out
    assert result.out.splitlines()[0].endswith("client.rb")


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"user": "c100"}, 2, "runs as root"),
        ({"node": "a b"}, 2, "is not a node's name"),
        ({"node": "a'\nsystem('x')"}, 2, "is not a node's name"),
        ({"auth": "v'"}, 2, "is not a client's name"),
        ({"url": "https://x'"}, 2, "is not a URL"),
        ({"url": "ftp://x"}, 2, "is not a URL"),
        ({"environment": "a b"}, 2, "is not an environment's name"),
        ({"config": "/nowhere.json"}, 20, "there is no file /nowhere.json"),
        ({"token": "/nowhere.pem"}, 20, "there is no file /nowhere.pem"),
    ],
)
def test_wrong_arguments_change_nothing(
    chef: Server, changes: dict[str, str], code: int, message: str
) -> None:
    result = run(chef, **changes)
    assert (result.code, message in result.err) == (code, True), result.err
    assert not chef.path("etc/chef").exists()


def test_a_server_without_chef_client_says_so(server: Server) -> None:
    server.write("tmp/token.pem", KEY)
    server.write("enstratus/ws/chef/first-boot.json", FIRST_BOOT)
    result = run(server)
    assert result.code == 99
    assert "there is no chef-client on this server" in result.err


def test_a_program_gets_the_run_list_and_finds_the_rest_in_its_environment(server: Server) -> None:
    program = server.write(
        "tmp/program", '#!/bin/sh\necho "$GANTRY_NODE_NAME $(cat "$GANTRY_CONFIG_FILE") $*"; exit 7\n'
    )
    config = server.write("tmp/config.json", "{}")
    result = server.call("runConfigurationManagement-SCRIPT", "n1", program, config, "base", "web server")
    assert (result.code, result.out) == (7, "n1 {} base web server\n")


def test_a_program_that_is_none_is_said(server: Server) -> None:
    program = server.write("tmp/program", "\x7fELF?")
    config = server.write("tmp/config.json", "{}")
    assert server.call("runConfigurationManagement-SCRIPT", "n1", program, config).code == 127
    assert server.call("runConfigurationManagement-SCRIPT", "n1", "/nowhere", config).code == 20
    assert server.call("runConfigurationManagement-SCRIPT", "n1").code == 2


def test_digests_leave_out_what_is_absent_or_empty(server: Server) -> None:
    there, empty = server.write("tmp/there", "a\n"), server.write("tmp/empty", "")
    result = server.call("digests", "/nowhere", empty, there, server.path("tmp"))
    assert result.code == 0
    assert result.out == f"87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7  {there}\n"
