"""Where the stand-in was seen to differ from the real client: what it prints, how it ends, what is read from it."""

from __future__ import annotations

import pytest

from gantry import names
from gantry.agent import errors
from gantry.configuration_management import chef_log, chef_output

from .nodes import Kitchen, Node, Run

pytestmark = pytest.mark.docker

READER = chef_output.ChefReader()
NOBODY = "http://127.0.0.1:1/x"


def kept(run: Run) -> list[str]:
    found: list[str] = []
    for line in (
        f"{run.out}runConfigurationManagement-CHEF: chef-client ended with exit code {run.code}".splitlines()
    ):
        if READER.keeps(line, found):
            found.append(line)
    return found


def told(run: Run, kitchen: Kitchen) -> errors.ServerError:
    """What the failure of the run becomes."""
    call = f"runConfigurationManagement-CHEF root n NULL first-boot.json v {kitchen.url} _default"
    return READER.failure(
        errors.ScriptFailedError(names.ServerName("n"), call, 99, run.out[-500:]), kept(run)
    )


def test_a_download_that_fails_is_the_recipes_affair(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("download", f"remote_file('/srv/x') {{ source '{NOBODY}' }}")
    run = node.fails("recipe[download]")
    assert run.fatal.startswith(
        "Errno::ECONNREFUSED: remote_file[/srv/x] (download::default line 1) had an error: "
    )
    failure = told(run, kitchen)
    assert not failure.transient
    assert "correct the cookbook" in str(failure).splitlines()[0]


def test_downloads_and_requests_that_succeed(node: Node, kitchen: Kitchen) -> None:
    node.sh("mkdir -p /srv/www && echo content > /srv/www/x")
    node.sh("cd /srv/www && setsid -f python3 -m http.server 8080 >/dev/null 2>&1 || true")
    node.sh("for n in $(seq 100); do curl -fs http://127.0.0.1:8080/x && break; sleep 0.1; done")
    kitchen.recipe(
        "fetch",
        "remote_file('/srv/copy') { source 'http://127.0.0.1:8080/x' }\n"
        "http_request('look') { url 'http://127.0.0.1:8080/x'; action :get }",
    )
    assert node.converge("recipe[fetch]").resources == (2, 2)
    assert node.converge("recipe[fetch]").resources == (1, 2)
    assert node.sh("cat /srv/copy") == "content"


def test_a_reboot_ends_a_run_that_has_converged_with_35(node: Node, kitchen: Kitchen) -> None:
    node.write("/usr/local/sbin/shutdown", '#!/bin/sh\necho "$*" > /srv/shutdown\n', 0o755)
    kitchen.recipe(
        "kernel",
        "reboot('now') { action :request_reboot; reason 'a kernel' }\nfile('/srv/after') { content 'x' }",
    )
    run = node.chef("recipe[kernel]")
    assert run.code == 35
    assert "Infra Phase complete, 2/2 resources updated" in run.out
    assert "Infra Phase failed" in run.out
    assert run.fatal.startswith("Chef::Exceptions::Reboot: ")
    assert node.sh("cat /srv/shutdown") == "-r +0 a kernel"
    assert kitchen.server.get(f"/nodes/{node.name}")["run_list"] == ["recipe[kernel]"]
    assert "a recipe has requested a reboot" in str(told(run, kitchen))


def test_what_a_recipe_ends_with_is_the_exit_code_and_the_headline(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "ends", {"recipes/plain.rb": "exit 3", "recipes/loud.rb": "Chef::Application.fatal!('no place', 5)"}
    )
    plain, loud = node.chef("recipe[ends::plain]"), node.chef("recipe[ends::loud]")
    assert (plain.code, loud.code) == (3, 5)
    assert "ended with exit code 3: SystemExit: exit (Recipe Compile Error in " in str(told(plain, kitchen))
    assert str(told(loud, kitchen)).startswith("n: FATAL: no place — ")


def test_what_is_missing_is_named(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("secretive", "data_bag_item('secrets', 'db')")
    item = node.fails("recipe[secretive]")
    assert 'Failed to load data bag item: "secrets" "db" — upload the data bag item' in str(
        told(item, kitchen)
    )
    cookbook = node.fails("recipe[not-there]")
    assert "not-there" in str(told(cookbook, kitchen)).splitlines()[0]
    assert cookbook.out.index("Expanded Run List:") < cookbook.out.index("System Info:")


def test_several_failures_are_all_named(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "twice",
        "execute('exit 8') { action :nothing }\nfile('/srv/x') { notifies :run, 'execute[exit 8]' }\nexecute 'exit 9'",
    )
    first = str(told(node.fails("recipe[twice]"), kitchen)).splitlines()[0]
    assert "execute[exit 9]" in first
    assert "occurred in delayed notification: execute[exit 8]" in first


def test_only_what_was_updated_is_named(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "mixed",
        "log 'hello'\nexecute('exit 3') { ignore_failure true }\nfile('/srv/same') { content 'x' }\n"
        "execute(\"echo one\\necho two\")\nexecute('never') { only_if 'false' }",
    )
    node.sh("printf x > /srv/same")
    run = node.converge("recipe[mixed]")
    assert chef_log.read(kept(run)).updated == ("execute[echo one … echo two] run",)
    # What is ignored is counted nowhere.
    assert run.resources == (1, 4)
    assert "    Error executing action `run` on resource 'execute[exit 3]'" in run.out.splitlines()


SEARCHES = """
own = search(:node, "name:#{node.name}").first
file("/srv/found") { content [own.name, own["hostname"], own["motd"], own.run_list.map(&:to_s).join].join(" ") }
told = search(:node, "name:#{node.name}", filter_result: { "word" => ["motd"], "none" => %w(no where) }).first
file("/srv/told") { content [told["word"], told["none"].inspect].join(" ") }
words = []
search(:shelf, "word:found") { |item| words << item["id"] }
file("/srv/words") { content words.sort.join(" ") }
file("/srv/nothing") { content search(:shelf, "word:lost").inspect }
"""


def test_search_and_data_bags_answer_with_what_is_on_the_server(node: Node, kitchen: Kitchen) -> None:
    kitchen.server.post("/data", {"name": "shelf"})
    for item, word in (("a", "found"), ("b", "other"), ("c", "found")):
        kitchen.server.post("/data/shelf", {"id": item, "word": word})
    kitchen.recipe(
        "reads", "file('/srv/word') { content data_bag_item('shelf', data_bag('shelf').min)[:word] }"
    )
    kitchen.recipe("searches", SEARCHES)
    # A node is found when it has been saved.
    node.converge("recipe[reads]", motd="hello")
    node.converge("recipe[searches]", motd="bye")
    assert node.sh("cat /srv/word") == "found"
    assert node.sh("cat /srv/found") == f"{node.name} {node.name} hello recipe[reads]"
    assert node.sh("cat /srv/told /srv/words /srv/nothing; echo") == "hello nila c[]"


SITE = """
unified_mode true
provides :site
property :folder, String, name_property: true
property :pages, [Array, String], default: [], coerce: proc { |value| Array(value) }
property :words, String, default: lazy { "of #{folder}" }
default_action :create

action_class do
  def place(page) = ::File.join(new_resource.folder, page)
end

action :create do
  directory new_resource.folder
  new_resource.pages.each do |page|
    file place(page) do
      content new_resource.words
      notifies :run, "execute[told]", :delayed
    end
  end
end

action :remove do
  execute("exit 6")
end
"""


def test_a_custom_resource_is_what_its_parts_are(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "site",
        {
            "resources/default.rb": SITE,
            "recipes/default.rb": "execute('told') { command 'echo x >> /srv/told'; action :nothing }\n"
            "site('/srv/www') { pages ['a', 'b'] }",
            "recipes/remove.rb": "site('/srv/www') { action :remove }",
        },
    )
    first = node.converge("recipe[site]")
    assert node.sh("cat /srv/www/a /srv/www/b /srv/told") == "of /srv/wwwof /srv/wwwx"
    assert chef_log.read(kept(first)).updated == (
        "site[/srv/www] create", "directory[/srv/www] create", "file[/srv/www/a] create", "file[/srv/www/b] create",
        "execute[told] run",
    )  # fmt: skip
    assert first.resources == (5, 6)
    second = node.converge("recipe[site]")
    assert chef_log.read(kept(second)).updated == ()
    # On a line of its own, behind its parts.
    assert "     (up to date)" in second.out.splitlines()
    failed = node.fails("recipe[site::remove]")
    assert "Error executing action `remove` on resource 'site[/srv/www]'" in failed.out
    assert (
        str(told(failed, kitchen))
        .splitlines()[0]
        .startswith("n: FATAL: Mixlib::ShellOut::ShellCommandFailed: site[/srv/www]")
    )
