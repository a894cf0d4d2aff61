"""What chef-client says: the counts, what a failure means, and whether another try is worth it."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantry import names
from gantry.agent import errors
from gantry.configuration_management import chef_causes, chef_log, chef_output
from gantry.reconcile import output_readers

URL = "https://chef.example.com/organizations/acme"
CALL = f"runConfigurationManagement-CHEF root shop-web-1 NULL /enstratus/ws/chef/first-boot.json v {URL} _default"
READER = chef_output.ChefReader()
AT = "[2026-11-24T02:00:00+00:00]"
RULER = "=" * 80

GOOD = """\
Chef Infra Client, version 18.10.17
Patents: https://www.example.com/patents
Infra Phase starting
Creating a new client identity for shop-web-1 using the validator key.
Resolving cookbooks for run list: ["web"]
Synchronizing cookbooks:
  - web (1.0.0)
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


def block(title: str, *sections: tuple[str, str], indent: int = 0, run_list: str = "") -> str:
    """An explanation as the client prints it, with what it says about itself at the end."""
    told = [*sections, *([("Expanded Run List:", run_list)] if run_list else [])]
    told.append(("System Info:", "chef_version=18.10.17\nplatform=debian\nplatform_version=12\nruby=ruby 3.1\n"
                 "program_name=/usr/bin/chef-client\nexecutable=/opt/chef/bin/chef-client"))  # fmt: skip
    lines = [RULER, title, RULER, ""]
    for heading, text in told:
        lines += [heading, "-" * len(heading), text, ""]
    return textwrap.indent("\n".join(lines), " " * indent)


def end(fatal: str = "", code: int = 1) -> str:
    """How a run that failed ends."""
    rule = "-" * 87
    said = [
        "Running handlers:",
        f"{AT} ERROR: Running exception handlers",
        "Running handlers complete",
        "Infra Phase failed. 1 resources updated in 02 seconds",
        f"{AT} FATAL: Stacktrace dumped to /var/chef/cache/chef-stacktrace.out",
        f"{AT} FATAL: {rule}",
        f"{AT} FATAL: PLEASE PROVIDE THE CONTENTS OF THE stacktrace.out FILE (above) IF YOU FILE A BUG REPORT",
        f"{AT} FATAL: {rule}",
        *([f"{AT} FATAL: {fatal}"] if fatal else []),
        f"runConfigurationManagement-CHEF: chef-client ended with exit code {code}",
    ]
    return "\n".join(said)


def kept(log: str) -> list[str]:
    found: list[str] = []
    for line in log.splitlines():
        if READER.keeps(line, found):
            found.append(line)
    return found


def failure(log: str, call: str = CALL) -> errors.ServerError:
    tail = "\n".join(log.splitlines()[-20:])
    failed = errors.ScriptFailedError(names.ServerName("shop-web-1"), call, 99, tail)
    return READER.failure(failed, kept(log))


def updated(*lines: str) -> tuple[str, ...]:
    return chef_log.read(kept("\n".join(lines))).updated


# --- what was updated ----------------------------------------------------------------------------------------


def test_a_good_run_is_counted_and_its_changes_are_named() -> None:
    assert READER.summary(kept(GOOD)) == chef_output.ChefSummary(
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
    found = READER.summary(kept(line))
    assert found is not None
    assert (found.updated, found.total, found.seconds) == expected


def test_a_run_that_did_not_get_to_its_end_has_no_counts() -> None:
    assert READER.summary(kept(end("RuntimeError: x"))) is None


UPDATED = {
    "a custom resource whose parts are up to date says so on a line of its own": (
        ["  * site[shop] action create",
         "    * directory[/srv] action create (up to date)",
         "    * file[/srv/index] action create (up to date)",
         "     (up to date)"],
        (),
    ),
    "a custom resource is updated with one of its parts": (
        ["  * site[shop] action create",
         "    * directory[/srv] action create (up to date)",
         "    * file[/srv/index] action create",
         "      - update content from 1 to 2",
         ""],
        ("site[shop] create", "file[/srv/index] create"),
    ),
    "a custom resource within a custom resource": (
        ["  * shop[all] action create",
         "    * site[one] action create",
         "      * file[/one] action create (up to date)",
         "       (up to date)",
         "    * site[two] action create",
         "      * file[/two] action create",
         "        - create new file /two",
         "  * file[/after] action create (up to date)"],
        ("shop[all] create", "site[two] create", "file[/two] create"),
    ),
    "a log resource ends without a word": (["  * log[hello] action write", "", "  * log[there] action write"], ()),
    "a file that is unchanged while the log is at info": (
        [f"  * file[/etc/motd] action create{AT} INFO: Processing file[/etc/motd] action create (web::default line 3)",
         " (up to date)"],
        (),
    ),
    "a file that is changed while the log is at debug": (
        [f"  * file[/etc/motd] action create{AT} DEBUG: reading",
         f"{AT} DEBUG: writing",
         "",
         "    - update content"],
        ("file[/etc/motd] create",),
    ),
    "a name with line breaks": (
        ["  * execute[one", "  two", "  three] action run", "    - execute one", "    two", "    three"],
        ("execute[one … three] run",),
    ),
    "a name with line breaks that is skipped": (
        ["  * execute[one", "  two] action run (skipped due to not_if)"],
        (),
    ),
    "an ignored failure": (
        ["  * execute[false] action run",
         block("Error executing action `run` on resource 'execute[false]'",
               ("Mixlib::ShellOut::ShellCommandFailed", "Expected process to exit with [0], but received '1'\n- x"),
               ("Compiled Resource:", 'execute("false") do\n  action [:run]\nend'), indent=4),
         f"{AT} ERROR: execute[false] (web::default line 1) had an error; ignore_failure is set, continuing",
         "  * file[/after] action create",
         "    - create new file /after"],
        ("file[/after] create",),
    ),
    "cookbooks and handlers are no changes": (
        ["Synchronizing cookbooks:", "  - web (1.0.0)", "Recipe: web::default",
         "  * file[/a] action create (up to date)", "Running handlers:", "  - JsonReport"],
        (),
    ),
    "a guard without a reason in the list": (["  * service[x] action start (skipped due to only_if)"], ()),
}  # fmt: skip


@pytest.mark.parametrize("case", UPDATED)
def test_exactly_what_was_updated_is_named(case: str) -> None:
    lines, expected = UPDATED[case]
    assert updated(*lines) == expected


# --- what a failure means ------------------------------------------------------------------------------------

DOOR = 'Chef Infra Client encountered an error attempting to load the node data for "shop-web-1"'
SHELL = "Mixlib::ShellOut::ShellCommandFailed"
REFUSED = "Failed to open TCP connection to mirror.example.com:80 (Connection refused)"


def resource(fatal_class: str, label: str, inner: str, *, more: str = "") -> str:
    """A resource that fails, as the client tells it."""
    return "\n".join(
        (
            f"  * {label} action run",
            block(
                f"Error executing action `run` on resource '{label}'",
                (fatal_class, f"{inner}\n{more}".strip()),
                ("Resource Declaration:", f"# In /cookbooks/web/recipes/default.rb\n\n  3: {label}"),
                indent=4,
            ),
            end(f"{fatal_class}: {label} (web::default line 3) had an error: {fatal_class}: {inner}"),
        )
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """What a client prints; what the error's first line begins with, and what its advice says."""

    log: str
    headline: str
    advice: str
    transient: bool = False
    call: str = CALL


def compiled(fatal: str, error: str, line: str, *before: str) -> str:
    """A recipe that cannot be compiled."""
    return "\n".join(
        (
            *before,
            block(
                "Recipe Compile Error in /cookbooks/web/recipes/default.rb",
                (fatal.partition(": ")[0], error),
                (
                    "Cookbook Trace: (most recent call first)",
                    "/cookbooks/web/recipes/default.rb:1:in `from_file'",
                ),
                ("Relevant File Content:", f"/cookbooks/web/recipes/default.rb:\n\n  1>> {line}"),
            ),
            end(fatal),
        )
    )


MEND, UNREACHABLE = "correct the cookbook", "cannot be reached"
CASES = {
    # --- a resource's own network is the recipe's affair
    **{
        f"a download: {kind}": Case(
            resource(kind, "remote_file[/x]", inner), f"FATAL: {kind}: remote_file[/x] (web::default", MEND
        )
        for kind, inner in {
            "Errno::ECONNREFUSED": REFUSED,
            "SocketError": "Failed to open TCP connection to nowhere.example.com:80 (Name or service not known)",
            "Net::OpenTimeout": "execution expired",
            "Net::HTTPFatalError": '500 "Internal Server Error"',
            "Net::HTTPClientException": '404 "Not Found"',
        }.items()
    },
    "a cookbook's file from the Chef server": Case(
        resource("Errno::ECONNREFUSED", "cookbook_file[/x]", f"Error connecting to {URL}/bookshelf/x - refused"),
        "FATAL: Errno::ECONNREFUSED: cookbook_file[/x]", UNREACHABLE, transient=True,
    ),
    "another port of the Chef server's host is not the Chef server": Case(
        resource("Errno::ECONNREFUSED", "remote_file[/x]", "Error connecting to https://chef.example.com:8443/x"),
        "FATAL: Errno::ECONNREFUSED: remote_file[/x]", MEND,
    ),
    "a command that fails": Case(
        resource(SHELL, "execute[exit 7]", "Expected process to exit with [0], but received '7'"),
        f"FATAL: {SHELL}: execute[exit 7]", MEND,
    ),
    "a command that speaks of clocks": Case(
        resource(SHELL, "execute[echo synchronize the clock; exit 1]", "Expected process to exit with [0]"),
        f"FATAL: {SHELL}: execute[echo synchronize the clock", MEND,
    ),
    "a name with a line break": Case(
        resource(SHELL, "execute[one\ntwo]", "Expected process to exit with [0]"),
        f"FATAL: {SHELL}: execute[one … {SHELL}: Expected process to exit", MEND,
    ),
    # --- dpkg's lock
    "dpkg's lock": Case(
        resource(
            SHELL, "apt_package[haproxy]", "Expected process to exit with [0], but received '100'",
            more="E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 712 (unattended-upgr)",
        ),
        f"FATAL: {SHELL}: apt_package[haproxy]",
        "process 712 (unattended-upgr) on the server holds the lock of its packages (/var/lib/dpkg/lock-frontend)",
        transient=True,
    ),
    "the lock of apt's lists": Case(
        resource(
            SHELL, "apt_update[x]", "Expected process to exit with [0]",
            more="E: Unable to lock directory /var/lib/apt/lists/",
        ),
        f"FATAL: {SHELL}: apt_update[x]",
        "another program on the server holds the lock of its packages (/var/lib/apt/lists/)",
        transient=True,
    ),
    # --- recipes
    "a word that nobody knows": Case(
        compiled("NoMethodError: undefined method `aptt'", "undefined method `aptt'", "aptt 'x'"),
        "FATAL: NoMethodError: undefined method", MEND,
    ),
    "a data bag item that is not there": Case(
        compiled(
            'Net::HTTPClientException: 404 "Not Found"', '404 "Not Found"', "data_bag_item('secrets', 'db')",
            f'{AT} ERROR: Failed to load data bag item: "secrets" "db"',
        ),
        'FATAL: Net::HTTPClientException: 404 "Not Found": Failed to load data bag item: "secrets" "db"',
        "upload the data bag item",
    ),
    "a data bag item, and the Chef server is in trouble": Case(
        compiled(
            'Net::HTTPFatalError: 503 "Service Unavailable"', '503 "Service Unavailable"', "data_bag_item('a', 'b')",
            f'{AT} ERROR: Failed to load data bag item: "a" "b"',
        ),
        "FATAL: Net::HTTPFatalError: 503", UNREACHABLE, transient=True,
    ),
    "a recipe that asks another server": Case(
        compiled("Errno::ECONNREFUSED: " + REFUSED, REFUSED, "Net::HTTP.get(mirror)"),
        f"FATAL: Errno::ECONNREFUSED: {REFUSED}", MEND,
    ),
    "a fatal end that a recipe asks for": Case(
        f"{AT} FATAL: this is no place for a database\n{end(code=5)}",
        "FATAL: this is no place for a database", MEND,
    ),
    "exit in a recipe": Case(
        f'{block("Recipe Compile Error in /cookbooks/web/recipes/default.rb", ("SystemExit", "exit"))}\n{end(code=3)}',
        "chef-client ended with exit code 3: SystemExit: exit (Recipe Compile Error in /cookbooks/web", MEND,
    ),
    "several failures": Case(
        end("Chef::Exceptions::MultipleFailures: Multiple failures occurred:\n"
            "* RuntimeError occurred in Chef Infra Client run: file[/x] had an error: RuntimeError: no\n"
            "* IOError occurred in delayed notification: service[y] had an error: IOError: nor that"),
        "FATAL: Chef::Exceptions::MultipleFailures: Multiple failures occurred: RuntimeError occurred in Chef Infra "
        "Client run: file[/x] had an error: RuntimeError: no; IOError occurred in delayed notification: service[y]",
        MEND,
    ),
    # --- the Chef server
    "a missing cookbook": Case(
        block("Error Resolving Cookbooks for Run List:",
              ("Missing Cookbooks:", "The following cookbooks are wanted and are not on the server:\n"
               "* nowhere\n* neither"), run_list="* web\n* nowhere")
        + "\n" + end('Net::HTTPClientException: 412 "Precondition Failed"'),
        'FATAL: Net::HTTPClientException: 412 "Precondition Failed": nowhere, neither', "is not on the Chef server",
    ),
    "a missing role": Case(
        end("Chef::Exceptions::MissingRole: The expanded run list includes nonexistent roles: web"),
        "FATAL: Chef::Exceptions::MissingRole", "upload the role",
    ),
    "a missing environment": Case(
        block(DOOR, ("Resource Not Found:", "The server returned a HTTP 404.")) + "\n"
        + end('Net::HTTPClientException: 404 "Not Found"'),
        "FATAL: Net::HTTPClientException: 404", "no environment 'nowhere'", call=CALL.replace("_default", "nowhere"),
    ),
    "a URL that is no Chef server's": Case(
        block(DOOR, ("Resource Not Found:", "The server returned a HTTP 404.")) + "\n"
        + end('Net::HTTPClientException: 404 "Not Found"'),
        "FATAL: Net::HTTPClientException: 404", f"the server at {URL} does not answer like a Chef server",
    ),
    "a page where JSON should be": Case(
        block(DOOR, ("Unexpected Error:", "Chef::Exceptions::JSON::ParseError: unexpected <")) + "\n"
        + end("Chef::Exceptions::JSON::ParseError: unexpected <"),
        "FATAL: Chef::Exceptions::JSON::ParseError", "does not answer like a Chef server",
    ),
    "the clock": Case(
        block(DOOR, ("Authentication Error:", "Failed to authenticate to the chef server (http 401).\n"
                     "The request failed because your clock has drifted by more than 15 minutes.")) + "\n"
        + end('Net::HTTPClientException: 401 "Unauthorized"'),
        "FATAL: Net::HTTPClientException: 401", "clocks of this server",
    ),
    "a key that is refused": Case(
        end('Net::HTTPClientException: 401 "Unauthorized"'),
        "FATAL: Net::HTTPClientException: 401", "does not accept the key",
    ),
    "a lost client key": Case(
        block('Chef Infra Client encountered an error attempting to create the client "shop-web-1"',
              ("Authorization Error:", 'Possible Causes:\n* There may already be a client named "shop-web-1"')) + "\n"
        + end('Net::HTTPClientException: 403 "Forbidden"'),
        "FATAL: Net::HTTPClientException: 403", "does not have its key",
    ),
    "no key": Case(
        end("Chef::Exceptions::PrivateKeyMissing: I cannot read /etc/chef/validation.pem"),
        "FATAL: Chef::Exceptions::PrivateKeyMissing", "no usable key",
    ),
    "a certificate that nobody trusts": Case(
        end("OpenSSL::SSL::SSLError: SSL_connect returned=1 errno=0 state=error: certificate verify failed"),
        "FATAL: OpenSSL::SSL::SSLError", "Trusted certificate",
    ),
    "an environment beside a policy": Case(
        end("Chef::Exceptions::ConfigurationError: Policyfile does not work with an Environment configured"),
        "FATAL: Chef::Exceptions::ConfigurationError", "policy_name and policy_group",
    ),
    **{
        f"unreachable: {fatal.partition(' ')[0]}": Case(end(fatal), f"FATAL: {fatal}", UNREACHABLE, transient=True)
        for fatal in (
            'Net::HTTPFatalError: 503 "Service Unavailable"',
            f"Errno::ECONNREFUSED: Error connecting to {URL}/nodes/x - Connection refused",
            "Errno::ETIMEDOUT: Operation timed out",
            "SocketError: Error connecting to https://chef.example.com - getaddrinfo: Name or service not known",
            "Net::OpenTimeout: execution expired",
            f"Timeout::Error: Timeout connecting to {URL}",
        )
    },
    # --- what chef-client does not say itself
    "no license key": Case(
        "[2026-11-29T10:00:00+00:00] ERROR: Chef Infra cannot execute without valid licenses.\n"
        "runConfigurationManagement-CHEF: chef-client ended with exit code 174",
        "chef-client ended with exit code 174: it has no license", "Give the connection a License key",
    ),
    "a license for something else": Case(
        "[2026-11-29T10:00:00+00:00] ERROR: License is not entitled to use Chef Infra.\n"
        "runConfigurationManagement-CHEF: chef-client ended with exit code 173",
        "chef-client ended with exit code 173: its license does not permit running it",
        "Give the connection a License key",
    ),
    "no license server answers": Case(
        "[2026-11-29T10:00:00+00:00] ERROR: Unable to connect to the licensing server.\n"
        "runConfigurationManagement-CHEF: chef-client ended with exit code 1",
        "chef-client ended with exit code 1: Unable to connect to the licensing server.",
        "or a License server that this server reaches",
    ),
    "a license": Case(
        "Chef Infra Client cannot execute without accepting the license\n"
        "runConfigurationManagement-CHEF: chef-client ended with exit code 172",
        "chef-client ended with exit code 172: it refuses to run without its license", "accept_license: true",
    ),
    "a reboot that nobody wants": Case(
        "Infra Phase complete, 1/1 resources updated in 01 seconds\n"
        + end("Chef::Exceptions::Reboot: Rebooting server at a recipe's request.", code=35),
        "chef-client ended with exit code 35: a recipe has requested a reboot", "Let reboot under chef",
    ),
    "a server that should reboot and does not": Case(
        end("Chef::Exceptions::RebootPending: a kernel").rpartition("\n")[0]
        + "\nrunConfigurationManagement-CHEF: chef-client ended with exit code 37, and the server did not go down",
        "FATAL: Chef::Exceptions::RebootPending", "Let reboot under chef",
    ),
    "a policy that is not there": Case(
        end("Chef::PolicyBuilder::Policyfile::ConfigurationError: Error loading policyfile from `x': 404"),
        "FATAL: Chef::PolicyBuilder", "policy_name and policy_group",
    ),
    "a kill": Case(
        "  * execute[x] action run\nKilled\nrunConfigurationManagement-CHEF: chef-client ended with exit code 137",
        "chef-client ended with exit code 137: it was killed", "look at the log",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_told_as_it_is(name: str) -> None:
    case = CASES[name]
    found = failure(case.log, case.call)
    first, *_ = str(found).splitlines()
    assert first.startswith(f"shop-web-1: {case.headline}")
    assert case.advice in first
    assert found.transient == case.transient


def test_an_explanation_is_shown_and_not_what_happens_to_stand_last() -> None:
    text = str(failure(CASES["a missing cookbook"].log))
    assert "Error Resolving Cookbooks for Run List:" in text
    assert "* nowhere" in text
    assert "chef_version=" not in text
    assert "Running handlers" not in text


def test_a_failure_without_an_explanation_shows_the_end_of_the_output() -> None:
    assert "The end of its output:\n" in str(failure(CASES["a key that is refused"].log))


def test_where_chef_did_not_get_to_speak_the_failure_stays_what_it_was() -> None:
    failed = errors.ScriptFailedError(names.ServerName("shop-web-1"), CALL, 99, "there is no chef-client")
    assert READER.failure(failed, []) is failed


def test_what_is_kept_of_a_long_run_is_no_more_than_what_tells_of_it() -> None:
    output = "\n".join(f"    line {number} of a command" for number in range(5000))
    assert len(kept(f"  * execute[x] action run\n{output}\n    - execute x\n{end('RuntimeError: x')}")) < 20


PIECES = st.sampled_from(
    [
        RULER, "    " + RULER, "-" * 9, "Error executing action `run` on resource 'x[y]'", "Missing Cookbooks:", "* a",
        "  * x[y] action run", "  * x[y", "  y] action run", "    * x[z] action run (up to date)", " (up to date)",
        "     (up to date)", "    - done", f"{AT} FATAL: ", f"{AT} FATAL: x[y] had an error: ", f"{AT} ERROR: no",
        "executable=/x", "* E occurred in z: y", "Infra Phase complete, 1/2 resources updated in 01 seconds",
        "runConfigurationManagement-CHEF: chef-client ended with exit code 35", "http://[", "", "x" * 300,
    ]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=20), max_size=60))
def test_whatever_a_server_prints_is_read(lines: list[str]) -> None:
    # Each server says what it likes, and one of them may be somebody else's.
    log = "\n".join(lines)
    assert str(failure(log))
    READER.summary(kept(log))


def test_a_step_without_a_reader_has_nothing_to_add() -> None:
    assert output_readers.named(None) is None
    assert output_readers.report(None, []) == {}


def test_the_documentation_has_every_exit_code_that_is_told() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration-management.md"
    rows = page.read_text().partition("| code | means |")[2].partition("\n\n")[0].splitlines()[2:]
    documented = {int(code) for row in rows for code in re.findall(r"\d+", row.split("|")[1])}
    told = {code for code in range(256) if chef_causes.meaning(code)}
    assert documented - {0, 1} == told
