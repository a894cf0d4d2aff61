"""A run of chef-client: what it says, what it asks the Chef server, what it leaves."""

from __future__ import annotations

import json
import re

import pytest

from .nodes import CLIENT_KEY, VALIDATOR_KEY, Kitchen, Node
from .proxy import Proxy

pytestmark = pytest.mark.docker

THREE_FILES = """
directory '/srv/three'
%w(a b).each { |name| file("/srv/three/#{name}") { content name } }
"""


def test_the_first_run_registers_and_the_second_has_nothing_to_do(
    node: Node, kitchen: Kitchen, proxy: Proxy
) -> None:
    kitchen.recipe("three", THREE_FILES)
    node.configure(url=proxy.url)
    first = node.converge("recipe[three]")
    lines = first.out.splitlines()
    assert re.match(r"Chef Infra Client, version \d+\.\d+\.\d+", lines[0])
    assert f"Creating a new client identity for {node.name} using the validator key." in lines
    assert "  * directory[/srv/three] action create" in lines
    assert "    - create new directory /srv/three" in lines
    assert "Running handlers complete" in lines
    assert first.resources == (3, 3)
    assert node.sh("cat /srv/three/a /srv/three/b") == "ab"
    assert node.sh(f"stat -c %a:%U {CLIENT_KEY}") == "600:root"
    node.sh(f"test -s {VALIDATOR_KEY}")
    name = node.name
    assert [line for line in proxy.wire() if "file_store" not in line] == [
        "POST /clients",
        f"GET /nodes/{name}",
        "POST /nodes",
        "POST /environments/_default/cookbook_versions",
        f"PUT /nodes/{name}",
    ]
    assert proxy.requests[0].headers["x-ops-userid"] == "chef-validator"
    assert {each.headers["x-ops-userid"] for each in proxy.requests[1:]} == {name}

    proxy.requests.clear()
    node.sh(f"rm {VALIDATOR_KEY}")
    second = node.converge("recipe[three]")
    assert second.resources == (0, 3)
    assert "  * file[/srv/three/a] action create (up to date)" in second.out.splitlines()
    assert "Creating a new client identity" not in second.out
    assert [line for line in proxy.wire() if "file_store" not in line] == [
        f"GET /nodes/{name}",
        "POST /environments/_default/cookbook_versions",
        f"PUT /nodes/{name}",
    ]


def test_only_the_public_half_of_the_new_key_travels(node: Node, proxy: Proxy) -> None:
    node.configure(url=proxy.url)
    node.converge()
    sent = json.loads(proxy.requests[0].body)
    assert sent["name"] == node.name
    assert sent["admin"] is False
    assert sent["public_key"].strip() == node.sh(f"openssl pkey -in {CLIENT_KEY} -pubout")
    secret = node.sh(f"cat {CLIENT_KEY}").splitlines()[1]
    assert all(secret not in each.body.decode() for each in proxy.requests)


def test_the_node_keeps_what_it_is(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("three", THREE_FILES)
    kitchen.role("keeper", ["recipe[three]"], default_attributes={"from": {"role": 1}})
    node.converge("role[keeper]", mine={"a": 1})
    kept = kitchen.server.get(f"/nodes/{node.name}")
    assert kept["run_list"] == ["role[keeper]"]
    assert kept["normal"]["mine"] == {"a": 1}
    assert kept["default"]["from"] == {"role": 1}
    assert kept["automatic"]["platform"] == "debian"
    assert kept["automatic"]["hostname"] == node.name
    assert kept["automatic"]["roles"] == ["keeper"]
    assert kept["automatic"]["ipaddress"] == node.sh("hostname -i")
    # The next run may go without a run list: the server has it.
    assert node.converge().resources == (0, 3)


def test_a_changed_run_list_replaces_the_former(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("before", "file('/srv/before')")
    kitchen.recipe("after", "file('/srv/after')")
    node.converge("recipe[before]")
    run = node.converge("recipe[after]")
    assert run.resources == (1, 1)
    assert kitchen.server.get(f"/nodes/{node.name}")["run_list"] == ["recipe[after]"]
    # Cookbooks that are no longer wanted leave the cache.
    assert node.sh("cd /var/chef/cache/cookbooks; find . -type f | cut -d/ -f2 | sort -u") == "after"


def test_a_run_list_for_once_is_not_kept(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("before", "file('/srv/before')")
    kitchen.recipe("after", "file('/srv/after')")
    node.converge("recipe[before]")
    node.converge(options="-o 'recipe[after]'")
    node.sh("test -e /srv/after")
    assert kitchen.server.get(f"/nodes/{node.name}")["run_list"] == ["recipe[before]"]


def test_roles_within_roles_run_each_recipe_once(node: Node, kitchen: Kitchen) -> None:
    order = {name: f"execute('echo {name} >> /srv/order')" for name in ("one", "two", "three")}
    kitchen.cookbook("order", {f"recipes/{name}.rb": text for name, text in order.items()})
    kitchen.role("inner", ["recipe[order::one]", "recipe[order::two]"])
    # Each is in the other: it does not go round.
    kitchen.role("outer", ["role[inner]", "role[outer]", "recipe[order::one]", "recipe[order::three]"])
    node.converge("recipe[order::two]", "role[outer]")
    assert node.sh("cat /srv/order").split() == ["two", "one", "three"]


def test_a_role_may_have_a_run_list_for_an_environment(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "choice", {"recipes/usual.rb": "file('/srv/usual')", "recipes/special.rb": "file('/srv/special')"}
    )
    kitchen.environment("special")
    kitchen.role("choosy", ["recipe[choice::usual]"], env_run_lists={"special": ["recipe[choice::special]"]})
    node.converge("role[choosy]", options="-E special")
    assert node.sh("ls /srv") == "special"
    assert kitchen.server.get(f"/nodes/{node.name}")["chef_environment"] == "special"


def test_a_second_run_waits_for_the_first(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("patient", "execute('touch /srv/begun; until test -e /srv/go; do sleep 0.05; done')")
    command = node.command("recipe[patient]")
    first = node.spawn(f"{command} > /srv/first")
    node.sh("until test -e /srv/begun; do sleep 0.05; done")
    second = node.spawn(command)
    heard = ""
    while "is running, will wait for it to finish and then run." not in heard:
        heard += next(second).decode()
        assert "Infra Phase starting" not in heard
    assert re.search(r"WARN: Chef Infra Client \d+ is running", heard)
    node.sh("touch /srv/go")
    heard += b"".join(second).decode()
    assert list(first) == []
    for text in (heard, node.sh("cat /srv/first")):
        assert "Infra Phase complete, 1/1 resources updated" in text


def test_a_lock_s_time_limit_is_kept(node: Node) -> None:
    node.configure("run_lock_timeout 0.1")
    node.sh(
        "mkdir -p /var/chef/cache; flock /var/chef/cache/chef-client-running.pid sleep 30 > /dev/null 2>&1 &"
    )
    node.sh("until ! flock -n /var/chef/cache/chef-client-running.pid true; do sleep 0.05; done")
    assert node.fails().fatal.startswith("Chef::Exceptions::RunLockTimeout: ")


@pytest.mark.standin("18.10.17 was seen to wait for what a recipe runs, longer than 300 s")
@pytest.mark.parametrize("signal", ["TERM", "INT"])
def test_asked_to_end_it_ends_with_what_it_runs(node: Node, kitchen: Kitchen, signal: str) -> None:
    kitchen.recipe("endless", "execute('touch /srv/begun; exec sleep 4711')")
    # What the recipe runs has three seconds to end.
    command = node.hurried(node.command("recipe[endless]"))
    output = node.spawn(f"{command}; echo ended with $?")
    node.sh("until test -e /srv/begun; do sleep 0.05; done")
    node.sh(f"kill -{signal} $(cat /var/chef/cache/chef-client-running.pid)")
    text = b"".join(output).decode()
    assert f"FATAL: SIG{signal} received, stopping" in text
    assert re.search(r"ended with [23]$", text.strip())
    assert "sleep 4711" not in node.sh("ps -eo args")


def test_log_lines_may_go_to_a_file(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("talk", "log('a word') { level :warn }")
    node.converge("recipe[talk]", options="-L /srv/log -l warn")
    assert "WARN: a word" in node.sh("cat /srv/log")
    run = node.converge("recipe[talk]")
    assert "WARN: a word" in run.out
    # What is only said changes nothing.
    assert run.resources == (0, 1)


@pytest.mark.standin("it names itself, has no local mode, and has words of its own for wrong options")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("--version", 0, r"^Chef Infra Client: 18\.\d+\.\d+ .*stand-in"),
        ("--nonsense", 1, r"invalid option: --nonsense\nUsage: "),
        ("-z", 1, r"no local mode"),
        ("-c", 1, r"missing argument: -c"),
        ("stray", 1, r"stray"),
    ],
)
def test_the_command_line(shared: Node, options: str, code: int, said: str) -> None:
    run = shared.attempt(f"chef-client {options}")
    assert run.code == code
    assert re.search(said, run.out)
    assert run.err == ""


def test_without_acceptance_of_the_license_nothing_is_done(node: Node) -> None:
    node.configure("chef_license nil")
    refused = node.chef()
    assert refused.code == 172
    assert "Chef Infra Client cannot execute without accepting the license" in refused.out
    assert node.attempt(f"test -e {CLIENT_KEY}").code == 1
    node.converge(options="--chef-license accept-no-persist")
    assert node.chef().code == 172
    assert node.chef(options="--chef-license maybe").code == 172
    assert node.attempt("CHEF_LICENSE=accept-silent chef-client").code == 0
    # It is remembered.
    assert node.chef().code == 0
    assert node.sh("ls /etc/chef/accepted_licenses").split() == ["chef_infra_client", "inspec"]


def test_client_rb_may_accept_the_license(node: Node) -> None:
    node.configure('chef_license "accept"')
    assert "2 product licenses accepted." in node.converge().out
    assert "accepted." not in node.converge().out
