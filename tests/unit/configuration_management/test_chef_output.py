"""What chef-client says: the counts, what a failure means, and whether another try is worth it."""

from __future__ import annotations

import pytest

from gantry import names
from gantry.agent import errors
from gantry.configuration_management import chef_output, readers

CALL = "runConfigurationManagement-CHEF root shop-web-1 NULL /enstratus/ws/chef/first-boot.json v https://c _default"
READER = chef_output.ChefReader()

GOOD = """\
Chef Infra Client, version 18.10.17
Infra Phase starting
Creating a new client identity for shop-web-1 using the validator key.
Resolving cookbooks for run list: ["web"]
Converging 4 resources
Recipe: web::default
  * apt_update[] action periodic
    - update new lists of packages
    * directory[/var/lib/apt/periodic] action create (up to date)
  * apt_package[haproxy] action install
    - install version 2.6.12-1 of package haproxy
  * template[/etc/haproxy/haproxy.cfg] action create (up to date)
  * service[haproxy] action nothing (skipped due to action :nothing)
  * execute[a (strange) name] action run (skipped due to not_if)
  * file[/etc/motd (2)] action create
    - update content

Running handlers:
Running handlers complete
Infra Phase complete, 3/6 resources updated in 01 minutes 05 seconds
"""
END = """\
Running handlers:
[2026-11-24T02:00:00+00:00] ERROR: Running exception handlers
Running handlers complete
Infra Phase failed. 1 resources updated in 02 seconds
[2026-11-24T02:00:00+00:00] FATAL: Stacktrace dumped to /var/chef/cache/chef-stacktrace.out
[2026-11-24T02:00:00+00:00] FATAL: ---------------------------------------------------------------------------------
[2026-11-24T02:00:00+00:00] FATAL: PLEASE PROVIDE THE CONTENTS OF THE stacktrace.out FILE
[2026-11-24T02:00:00+00:00] FATAL: ---------------------------------------------------------------------------------
[2026-11-24T02:00:00+00:00] FATAL: {fatal}
"""


def kept(log: str) -> list[str]:
    return [line for line in log.splitlines() if READER.keeps(line)]


def failure(fatal: str, before: str = "", code: int = 99) -> errors.ServerError:
    log = f"{before}\n{END.format(fatal=fatal)}runConfigurationManagement-CHEF: chef-client ended with exit code 1\n"
    failed = errors.ScriptFailedError(names.ServerName("shop-web-1"), CALL, code, log)
    return READER.failure(failed, kept(log))


def test_a_good_run_is_counted_and_its_changes_are_named() -> None:
    assert READER.summary(kept(GOOD)) == chef_output.Summary(
        updated=3,
        total=6,
        seconds=65,
        resources=("apt_update[] periodic", "apt_package[haproxy] install", "file[/etc/motd (2)] create"),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Infra Phase complete, 0/5 resources updated in 02 seconds", (0, 5, 2)),
        ("Chef Infra Client finished, 1/2 resources updated in 01 hours 01 minutes 01 seconds", (1, 2, 3661)),
        ("Chef Client finished, 1/2 resources updated", (1, 2, None)),
    ],
)
def test_every_generation_of_the_client_is_understood(
    line: str, expected: tuple[int, int, int | None]
) -> None:
    found = READER.summary([line])
    assert found is not None
    assert (found.updated, found.total, found.seconds) == expected


def test_a_run_that_did_not_get_to_its_end_has_no_counts() -> None:
    assert READER.summary(kept(END.format(fatal="x"))) is None


@pytest.mark.parametrize(
    ("fatal", "advice"),
    [
        (
            "Chef::Exceptions::MissingRole: The expanded run list includes nonexistent roles: web",
            "upload the role",
        ),
        ('Net::HTTPClientException: 412 "Precondition Failed"', "is not on the Chef server"),
        ('Net::HTTPClientException: 401 "Unauthorized"', "does not accept the key"),
        ('Net::HTTPServerException: 401 "Unauthorized"', "does not accept the key"),
        ('Net::HTTPClientException: 404 "Not Found"', "environment"),
        ("Chef::Exceptions::PrivateKeyMissing: I cannot read /etc/chef/validation.pem", "no usable key"),
        ("Chef::Exceptions::InvalidPrivateKey: The file /etc/chef/client.pem", "no usable key"),
        (
            "OpenSSL::SSL::SSLError: SSL_connect returned=1 errno=0 state=error: certificate verify failed "
            "(self signed certificate)",
            "Trusted certificate",
        ),
        (
            "Mixlib::ShellOut::ShellCommandFailed: execute[x] (web::default line 3) had an error: "
            "Mixlib::ShellOut::ShellCommandFailed: Expected process to exit with [0], but received '7'",
            "mend the cookbook",
        ),
        # Of a recipe, even where the cause looks like a network's: it may be broken for good.
        (
            "Errno::ENOENT: remote_file[/x] (web::default line 3) had an error: Errno::ECONNREFUSED",
            "mend the cookbook",
        ),
        (
            "NoMethodError: undefined method `aptt_package' for cookbook: web, recipe: default",
            "mend the cookbook",
        ),
    ],
)
def test_what_cannot_pass_is_said_with_what_to_do_and_not_tried_again(fatal: str, advice: str) -> None:
    found = failure(fatal)
    first, second = str(found).splitlines()[:2]
    assert first.startswith(f"shop-web-1: FATAL: {fatal} — ")
    assert advice in first
    assert second.startswith(f"{CALL} failed with exit code 99. The end of its output:")
    assert not found.passing


@pytest.mark.parametrize(
    "fatal",
    [
        'Net::HTTPFatalError: 503 "Service Unavailable"',
        'Net::HTTPFatalError: 500 "Internal Server Error"',
        "Errno::ECONNREFUSED: Error connecting to https://chef.example.com/nodes/x - Connection refused",
        "Errno::ETIMEDOUT: Operation timed out",
        "SocketError: Error connecting to https://chef.example.com - getaddrinfo: Name or service not known",
        "Net::OpenTimeout: execution expired",
        "Timeout::Error: Timeout connecting to https://chef.example.com",
    ],
)
def test_what_may_pass_is_tried_again(fatal: str) -> None:
    found = failure(fatal)
    assert found.passing
    assert "cannot be reached" in str(found).splitlines()[0]


def test_the_clock_is_named_and_not_the_key() -> None:
    before = "Failed to authenticate to https://c as shop-web-1\n\nPlease check your system's clock."
    first = str(failure('Net::HTTPClientException: 401 "Unauthorized"', before)).splitlines()[0]
    assert "clocks" in first
    assert "does not accept the key" not in first


def test_a_lost_client_key_is_told_from_other_refusals() -> None:
    before = 'There may already be a client named "shop-web-1"'
    first = str(failure('Net::HTTPClientException: 403 "Forbidden"', before)).splitlines()[0]
    assert "has not got its key" in first
    assert "prepare_configuration_management" in first


def test_an_unaccepted_license_needs_no_fatal_line() -> None:
    log = (
        "Chef Infra Client cannot execute without accepting the license\n"
        "runConfigurationManagement-CHEF: chef-client ended with exit code 172\n"
    )
    failed = errors.ScriptFailedError(names.ServerName("shop-web-1"), CALL, 99, log)
    found = READER.failure(failed, kept(log))
    assert "accept_license: true" in str(found).splitlines()[0]
    assert not found.passing


def test_where_chef_did_not_get_to_speak_the_failure_stays_what_it_was() -> None:
    failed = errors.ScriptFailedError(names.ServerName("shop-web-1"), CALL, 99, "there is no chef-client")
    assert READER.failure(failed, []) is failed


def test_a_step_without_a_reader_has_nothing_to_add() -> None:
    assert readers.named(None) is None
    assert readers.report(None, []) == {}
