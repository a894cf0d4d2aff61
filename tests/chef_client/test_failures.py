"""What stops chef-client, and what it says of it: always on stdout, always with exit code 1."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

import pytest

from gantry.configuration_management import chef_server

from .nodes import CERTIFICATE, CLIENT_KEY, VALIDATOR_KEY, Kitchen, Node
from .proxy import Answer, Proxy, Request

pytestmark = pytest.mark.docker

QUICK = "http_retry_count 0"
# Whoever listens there does not want to.
NOBODY = "http://127.0.0.1:1"
LATE = "class << Time; alias true_now now; def now = true_now - {} * 60; end\n"


def knows(kitchen: Kitchen, name: str) -> tuple[bool, bool]:
    """Whether the Chef server has a client, and a node, of that name."""
    return name in kitchen.server.clients(), name in kitchen.server.nodes()


def test_a_missing_role(node: Node, kitchen: Kitchen) -> None:
    kitchen.role("there", ["role[nowhere]"])
    run = node.fails("role[there]", "role[lost]")
    assert run.fatal == (
        "Chef::Exceptions::MissingRole: The expanded run list includes nonexistent roles: nowhere, lost"
    )
    assert "Error expanding the run_list:" in run.out
    assert "* nowhere included by 'role[there]'" in run.out
    assert knows(kitchen, node.name) == (True, True)
    assert kitchen.server.get(f"/nodes/{node.name}")["run_list"] == []


def test_a_missing_cookbook(node: Node, kitchen: Kitchen) -> None:
    run = node.fails("recipe[nowhere]")
    assert run.fatal == 'Net::HTTPServerException: 412 "Precondition Failed"'
    assert "Error Resolving Cookbooks for Run List:" in run.out
    assert "nowhere" in run.out.partition("Missing Cookbooks:")[2]
    assert knows(kitchen, node.name) == (True, True)


def test_a_missing_recipe(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("single", "")
    run = node.fails("recipe[single::other]")
    assert run.fatal.startswith(
        "Chef::Exceptions::RecipeNotFound: could not find recipe other for cookbook single"
    )


def test_a_missing_environment(node: Node) -> None:
    assert node.fails(options="-E nowhere").fatal == 'Net::HTTPServerException: 404 "Not Found"'


def test_a_failing_recipe_leaves_what_was_done_and_does_not_save_the_node(
    node: Node, kitchen: Kitchen
) -> None:
    kitchen.recipe(
        "half",
        "file('/srv/done')\nexecute 'give up' do\n  command 'echo why >&2; exit 7'\nend\nfile('/srv/not')",
    )
    run = node.fails("recipe[half]", note="lost")
    assert run.fatal == (
        "Mixlib::ShellOut::ShellCommandFailed: execute[give up] (half::default line 2) had an error: "
        "Mixlib::ShellOut::ShellCommandFailed: Expected process to exit with [0], but received '7'"
    )
    assert "Error executing action `run` on resource 'execute[give up]'" in run.out
    assert "STDERR: why" in run.out
    # Within a recipe an explanation is indented.
    shown = ("  2: execute 'give up' do", "  3:   command 'echo why >&2; exit 7'", "  4: end")
    assert "\n".join(f"    {line}" for line in shown) in run.out
    assert "Infra Phase failed. 1 resources updated in " in run.out
    assert node.sh("ls /srv") == "done"
    assert "note" not in kitchen.server.get(f"/nodes/{node.name}")["normal"]
    trace = "/var/chef/cache/chef-stacktrace.out"
    assert f"FATAL: Stacktrace dumped to {trace}" in run.out
    assert "received '7'" in node.sh(f"cat {trace}")


@pytest.mark.parametrize(
    ("recipe", "fatal"),
    [
        (
            "frobnicate 'x'",
            "NoMethodError: undefined method `frobnicate' for cookbook: {}, recipe: default :Chef::Recipe",
        ),
        (
            "file '/srv/x' do\n  colour 'red'\nend",
            "NoMethodError: undefined method `colour' for Chef::Resource::File",
        ),
        (
            "file '/srv/x' do\n  action :paint\nend",
            "Chef::Exceptions::ValidationFailed: Option action must be equal to one of: ",
        ),
        ("file '/srv/x' do\n", "SyntaxError: /var/chef/cache/cookbooks/{}/recipes/default.rb:"),
        ("node['absent']['below']", "NoMethodError: undefined method `[]' for nil:NilClass"),
        pytest.param(
            "node['hostname'] << 'x'\nnode['kernel']['name'] = 'BSD'",
            "Chef::Exceptions::ImmutableAttributeModification: ",
            marks=pytest.mark.standin("18.9.5 stops at the first line, with a FrozenError"),
        ),
        ("raise 'not like this'", "RuntimeError: not like this"),
        ("include_recipe 'elsewhere'", "Chef::Exceptions::CookbookNotFound: Cookbook elsewhere not found."),
        pytest.param(
            "file('/srv/x') { notifies :run, 'execute[nobody]' }",
            "Chef::Exceptions::ResourceNotFound: resource file[/srv/x] is configured to notify resource execute[no",
            marks=pytest.mark.standin("18.9.5 says the same without the heading of a recipe's error"),
        ),
    ],
)
def test_a_recipe_that_does_not_compile_changes_nothing(
    shared: Node, kitchen: Kitchen, recipe: str, fatal: str
) -> None:
    name = f"broken-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    kitchen.recipe(name, f"file('/srv/first')\n{recipe}")
    run = shared.fails(f"recipe[{name}]")
    assert run.fatal.startswith(fatal.format(name))
    assert f"Recipe Compile Error in /var/chef/cache/cookbooks/{name}/recipes/default.rb" in run.out
    assert shared.sh("ls /srv") == ""


@pytest.mark.parametrize("wrong", ["name", "key"])
def test_a_wrong_validator(node: Node, kitchen: Kitchen, wrong: str) -> None:
    if wrong == "name":
        node.configure('validation_client_name "somebody"')
    else:
        node.sh(f"openssl genrsa -out {VALIDATOR_KEY} 2048")
    run = node.fails()
    assert run.fatal == 'Net::HTTPServerException: 401 "Unauthorized"'
    assert "Failed to authenticate to the Chef Infra Server (http 401)." in run.out
    assert f'encountered an error attempting to create the client "{node.name}"' in run.out
    assert "retr" not in run.out
    assert knows(kitchen, node.name) == (False, False)
    assert node.attempt(f"test -e {CLIENT_KEY}").code == 1


def test_no_key_or_garbage_is_nothing_to_ask_with(node: Node, proxy: Proxy) -> None:
    node.configure(url=proxy.url)
    node.sh(f"rm {VALIDATOR_KEY}")
    assert node.fails().fatal.startswith(
        f"Chef::Exceptions::PrivateKeyMissing: I cannot read {VALIDATOR_KEY}"
    )
    for path in (VALIDATOR_KEY, CLIENT_KEY):
        node.write(path, "garbage\n")
        fatal = node.fails().fatal
        assert fatal.startswith(f"Chef::Exceptions::InvalidPrivateKey: The file {path} or :raw_key option ")
    assert proxy.requests == []


def test_a_lost_key_is_not_replaced(node: Node, proxy: Proxy) -> None:
    node.configure(url=proxy.url)
    node.converge()
    proxy.requests.clear()
    node.sh(f"rm {CLIENT_KEY}")
    run = node.fails()
    assert proxy.wire() == ["POST /clients", f"PUT /clients/{node.name}"]
    assert run.fatal == 'Net::HTTPServerException: 403 "Forbidden"'
    assert f'* There may already be a client named "{node.name}"' in run.out
    assert node.attempt(f"test -e {CLIENT_KEY}").code == 1


def test_a_key_that_is_another_s(node: Node, kitchen: Kitchen) -> None:
    node.converge()
    node.sh(f"openssl genrsa -out {CLIENT_KEY} 2048")
    run = node.fails()
    assert run.fatal == 'Net::HTTPServerException: 401 "Unauthorized"'
    assert f'encountered an error attempting to load the node data for "{node.name}"' in run.out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Could not parse the provided JSON file (/srv/x.json): "),
        pytest.param(
            "[1]",
            "Could not parse the provided JSON file (/srv/x.json): ",
            marks=pytest.mark.standin("18.9.5 ends with a NoMethodError for JSON that is no object"),
        ),
        (None, "Cannot load configuration from /srv/x.json"),
    ],
)
def test_broken_or_missing_json(node: Node, proxy: Proxy, content: str | None, said: str) -> None:
    node.configure(url=proxy.url)
    if content:
        node.write("/srv/x.json", content)
    run = node.attempt("chef-client -j /srv/x.json")
    assert run.code == 1
    assert run.fatal.startswith(said)
    assert proxy.requests == []


def test_a_broken_client_rb(node: Node) -> None:
    node.configure("log_level :loud")
    assert re.search(r"\bfatal\b", node.fails().out)
    node.configure("nonsense_method(")
    assert node.fails().fatal.startswith("Configuration error SyntaxError: ")


def test_without_client_rb_it_looks_for_a_chef_server_on_the_node_itself(node: Node) -> None:
    node.converge()
    node.sh("rm /etc/chef/client.rb")
    with_defaults = node.spawn(f"chef-client -N {node.name} --chef-license accept-no-persist")
    heard = ""
    while "retry 1/5" not in heard:
        heard += next(with_defaults).decode()
    assert "WARN: Did not find config file: /etc/chef/client.rb. Using command line options instead." in heard
    assert re.search(
        r"WARN: Connection refused connecting to https://localhost(:443)?/nodes/\S+, retry 1/5", heard
    )
    node.sh("kill -TERM $(cat /var/chef/cache/chef-client-running.pid)")
    assert "SIGTERM received" in b"".join(with_defaults).decode()


def test_a_server_that_is_not_there_is_tried_again_at_a_fixed_pace(node: Node) -> None:
    node.configure("http_retry_count 2", "http_retry_delay 0.05", url=NOBODY)
    unregistered = node.fails()
    assert unregistered.fatal == (
        f"Errno::ECONNREFUSED: Connection refused - Connection refused connecting to {NOBODY}/clients, giving up"
    )
    assert [line.partition("WARN: ")[2] for line in unregistered.out.splitlines() if "retry" in line] == [
        f"Connection refused connecting to {NOBODY}/clients, retry {number}/2" for number in (1, 2)
    ]


def test_a_registered_node_tries_longer(node: Node) -> None:
    node.converge()
    node.configure("http_retry_count 2", "http_retry_delay 0.05", url=NOBODY)
    run = node.fails()
    assert run.out.count("retry 1/2") == run.out.count("retry 2/2") == 3
    node.configure(QUICK, url=NOBODY)
    assert "retry" not in node.fails().out


@pytest.mark.standin("it asks the stand-in's own library for its settings")
@pytest.mark.parametrize("setting", ["http_retry_count", "http_retry_delay"])
def test_five_retries_at_five_seconds_unless_told_otherwise(node: Node, setting: str) -> None:
    shown = node.sh(
        f"ruby -I /usr/local/lib/gantry-chef-client/lib -e 'require \"standin/config\"; p Chef::Config.{setting}'"
    )
    assert shown == "5"


def test_a_server_in_trouble_is_tried_ever_slower(node: Node, proxy: Proxy) -> None:
    node.converge()
    node.configure("http_retry_count 2", url=proxy.url)
    left = [503, 502]
    proxy.answer = lambda _: Answer(left.pop(0)) if left else None
    run = node.attempt(node.hurried(node.command()))
    assert run.code == 0, run.out + run.err
    waits = re.findall(r"WARN: Server returned error (\d+) for \S+, retrying (\d)/2 in (\d+)s", run.out)
    assert [(code, attempt) for code, attempt, _ in waits] == [("503", "1"), ("502", "2")]
    assert 3 <= int(waits[0][2]) <= 4
    assert 5 <= int(waits[1][2]) <= 8


def test_trouble_during_registration_is_tried_five_times_more(node: Node, proxy: Proxy) -> None:
    node.configure(QUICK, url=proxy.url)
    proxy.answer = lambda _: Answer(503)
    run = node.fails()
    assert proxy.wire() == ["POST /clients"] * 6
    assert run.out.count("WARN: Failed to register new client") == 5
    assert run.fatal == 'Net::HTTPFatalError: 503 "Service Unavailable"'
    assert "Server Unavailable" in run.out
    assert node.attempt(f"test -e {CLIENT_KEY}").code == 1


def test_a_certificate_of_its_own_is_not_trusted_until_it_stands_there(node: Node, kitchen: Kitchen) -> None:
    node.sh(f"mv {CERTIFICATE} /srv/")
    run = node.fails()
    assert run.fatal.startswith(f"OpenSSL::SSL::SSLError: SSL Error connecting to {kitchen.url}/clients - ")
    assert "certificate verify failed" in run.fatal
    assert "retry" not in run.out
    node.sh(f"mv /srv/chef.crt {CERTIFICATE}")
    node.converge()


def test_a_certificate_for_another_name_is_not_trusted(node: Node, kitchen: Kitchen) -> None:
    host = kitchen.url.removeprefix("https://").partition(":")[0]
    node.sh(f"echo '{host} elsewhere.example' >> /etc/hosts")
    node.configure(url=kitchen.url.replace(host, "elsewhere.example"))
    assert "certificate verify failed" in node.fails().fatal
    node.configure("ssl_verify_mode :verify_none", url=kitchen.url.replace(host, "elsewhere.example"))
    node.converge()


@pytest.mark.standin("the words are its own")
def test_what_is_no_chef_server(node: Node, proxy: Proxy) -> None:
    node.converge()
    node.configure(url=proxy.url)
    # goiardi's answer to a path that it does not know.
    proxy.answer = lambda _: Answer(200, b"")
    assert "did not answer in JSON" in node.fails().fatal


def with_file(changes: dict[str, str]) -> Callable[[Request, Answer], Answer]:
    """Changes what the Chef server says of a cookbook's recipe."""

    def change(request: Request, answer: Answer) -> Answer:
        if not request.path.endswith("/cookbook_versions"):
            return answer
        manifests = json.loads(answer.body)
        for manifest in manifests.values():
            manifest["recipes"][0].update(changes)
        return Answer(answer.status, json.dumps(manifests).encode())

    return change


@pytest.mark.standin("the real client does not compare a cookbook's files with their checksums")
def test_a_file_that_is_not_what_it_should_be_is_not_used(node: Node, kitchen: Kitchen, proxy: Proxy) -> None:
    kitchen.recipe("genuine", "file('/srv/genuine')")
    node.configure(url=proxy.url)
    proxy.change = with_file({"checksum": "0" * 32})
    run = node.fails("recipe[genuine]")
    assert run.fatal.startswith("Chef::Exceptions::ChecksumMismatch: ")
    assert "Error Syncing Cookbooks:" in run.out
    assert node.sh("find /var/chef/cache /srv -name '*.rb' -o -name genuine -type f") == ""


@pytest.mark.standin("the check of a file's path, and its words, are its own")
@pytest.mark.parametrize(
    "path", ["../../../../../srv/escaped.rb", "/srv/escaped.rb", "recipes/../../escaped.rb"]
)
def test_no_file_of_a_cookbook_leaves_its_folder(
    node: Node, kitchen: Kitchen, proxy: Proxy, path: str
) -> None:
    kitchen.recipe("genuine", "file('/srv/genuine')")
    node.configure(url=proxy.url)
    proxy.change = with_file({"path": path})
    assert "would leave the cookbook's folder" in node.fails("recipe[genuine]").fatal
    assert node.sh("find / -xdev -name 'escaped.rb'") == ""


@pytest.mark.standin("the check of a cookbook's name, and its words, are its own")
def test_no_cookbook_s_name_leaves_the_cache(node: Node, kitchen: Kitchen, proxy: Proxy) -> None:
    kitchen.recipe("genuine", "")
    node.configure(url=proxy.url)

    def change(request: Request, answer: Answer) -> Answer:
        if not request.path.endswith("/cookbook_versions"):
            return answer
        return Answer(200, answer.body.replace(b'"genuine":{', b'"../../../../srv/x":{'))

    proxy.change = change
    assert "is no name of a cookbook" in node.fails("recipe[genuine]").fatal
    assert node.sh("ls /srv") == ""


def test_a_clock_that_is_off(node: Node, kitchen: Kitchen) -> None:
    # The container shares the machine's clock: Ruby's own is moved instead, from which the signature's time comes.
    node.write("/srv/late.rb", LATE.format(20))
    run = node.attempt(f"RUBYOPT=-r/srv/late.rb {node.command()}")
    assert run.code == 1
    assert run.fatal == 'Net::HTTPServerException: 401 "Unauthorized"'
    assert "check your system's clock" in run.out
    assert "retr" not in run.out
    assert knows(kitchen, node.name) == (False, False)
    node.write("/srv/late.rb", LATE.format(14))
    assert node.attempt(f"RUBYOPT=-r/srv/late.rb {node.command()}").code == 0


def test_a_server_s_word_on_the_clock_is_explained(node: Node, proxy: Proxy) -> None:
    node.configure(url=proxy.url)
    proxy.answer = lambda _: Answer(401, b'{"error": ["Please synchronize the clock on your host."]}')
    assert "because your clock has drifted by more than 15 minutes" in node.fails().out


def test_no_secret_is_in_what_it_says(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "hush",
        "file '/srv/password' do\n  content 'hunter2'\n  mode '0600'\n  sensitive true\nend\n"
        "execute 'login' do\n  command 'echo hunter2 >&2; false'\n  sensitive true\nend",
    )
    run = node.fails("recipe[hush]")
    assert node.sh("cat /srv/password") == "hunter2"
    assert "hunter2" not in run.out
    assert "suppressed sensitive resource" in run.out
    key = chef_server.Actor("x", kitchen.validator_key).private_key.splitlines()[1]
    assert key not in run.out
