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
cat "$APT_CONFIG"
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
    if seconds := changes.pop("reboot_seconds", None):
        environment["GANTRY_REBOOT_SECONDS"] = seconds
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
        f"client_key '{etc}/client.pem'",
        f"validation_key '{etc}/validation.pem'",
        f"trusted_certs_dir '{etc}/trusted_certs'",
        "/etc/chef/client.rb 640",
        "/etc/chef/first-boot.json 600",
        "/etc/chef/trusted_certs 750",
        "/etc/chef/validation.pem 600",
        'DPkg::Lock::Timeout "300";',
        *KEY.splitlines(),
    ]
    assert (etc / "first-boot.json").read_text() == FIRST_BOOT
    assert sorted(path.name for path in etc.iterdir()) == ["client.rb", "first-boot.json", "trusted_certs"]


def test_further_settings_and_a_certificate_are_taken_along_and_taken_away(chef: Server) -> None:
    chef.write("enstratus/ws/chef/client-extra.rb", "log_level :debug\n")
    chef.write("enstratus/ws/chef/trusted.crt", "certificate\n")
    lines = run(chef).out.splitlines()
    # The last word in Ruby counts: what is Gantry's own comes first, and cannot be set again in a definition.
    assert (
        lines[lines.index(f"trusted_certs_dir '{chef.path('etc/chef')}/trusted_certs'") + 1]
        == "log_level :debug"
    )
    assert chef.path("etc/chef/trusted_certs/gantry.crt").read_text() == "certificate\n"
    chef.write("enstratus/ws/chef/trusted.crt", "")
    run(chef)
    assert list(chef.path("etc/chef/trusted_certs").iterdir()) == []


LICENSED = """#!/bin/sh
echo "key ${CHEF_LICENSE_KEY-none}, server ${CHEF_LICENSE_SERVER-none}, arguments: $*"
tr '\\0' ' ' <"/proc/$PPID/cmdline"
"""


def test_a_license_is_in_the_clients_environment_and_in_no_command_line(chef: Server) -> None:
    chef.write("usr/bin/chef-client", LICENSED, 0o755)
    assert run(chef).out.startswith("key none, server none, arguments: -j ")
    chef.write("enstratus/ws/chef/license-server", "https://a.example.com,https://b.example.com\n")
    chef.write("enstratus/ws/tmp/chef-license.key", "free-5855\n")
    result = run(chef)
    assert result.out.startswith(
        "key free-5855, server https://a.example.com,https://b.example.com, arguments: "
    )
    assert result.out.count("free-5855") == 1
    assert "free-5855" not in result.err
    assert "free-5855" not in chef.path("etc/chef/client.rb").read_text()
    chef.write("enstratus/ws/chef/license-server", "")
    chef.write("enstratus/ws/tmp/chef-license.key", "")
    assert run(chef).out.startswith("key none, server none, ")


def test_a_node_with_its_client_key_never_gets_the_validator(chef: Server) -> None:
    chef.write("etc/chef/client.pem", "own key")
    result = run(chef)
    assert "validation.pem 600" not in result.out
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
    assert "validation.pem 600" not in run(chef).out
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
    assert "validation_client_name" not in result.out
    assert "validation.pem 600" not in result.out
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


def test_cincs_client_is_as_good_and_finds_the_same_files(chef: Server) -> None:
    chef.path("usr/bin/chef-client").rename(chef.path("usr/bin/cinc-client"))
    # As Cinc does, it would look into a folder of its own for what it is not told.
    result = run(chef)
    assert result.code == 0, result.err
    etc = chef.path("etc/chef")
    for setting, file in (("client_key", "client.pem"), ("validation_key", "validation.pem")):
        assert f"{setting} '{etc}/{file}'" in result.out.splitlines()


@pytest.mark.parametrize(("code", "called"), [("35", []), ("37", ["-r now"])])
def test_a_run_that_wants_a_reboot_is_not_over_before_the_server_goes_down(
    chef: Server, code: str, called: list[str]
) -> None:
    chef.write("enstratus/ws/chef/reboot", "yes\n")
    chef.script("usr/bin/shutdown", f'echo "$*" >>{chef.path("tmp/shutdown")}', 0o755)
    result = run(chef, code=code, reboot_seconds="1")
    assert "chef-client runs again after it" in result.err
    assert f"exit code {code}, and the server did not go down within 1 s" in result.err
    shutdown = chef.path("tmp/shutdown")
    assert (shutdown.read_text().splitlines() if shutdown.exists() else []) == called
    assert not chef.path("etc/chef/validation.pem").exists()


def test_where_the_definition_wants_no_reboot_the_run_has_failed(chef: Server) -> None:
    chef.write("enstratus/ws/chef/reboot", "")
    chef.script("usr/bin/shutdown", f"touch {chef.path('tmp/shutdown')}", 0o755)
    result = run(chef, code="37")
    assert (result.code, chef.path("tmp/shutdown").exists()) == (99, False)
    assert "chef-client ended with exit code 37\n" in result.err


def test_after_a_reboot_the_token_is_gone_and_not_missed(chef: Server) -> None:
    chef.write("etc/chef/client.pem", "own key")
    assert run(chef, token="/nowhere/token.pem").code == 0
