"""What recipes can say: attributes, templates, guards, notifications."""

from __future__ import annotations

import json

import pytest

from .nodes import Kitchen, Node

pytestmark = pytest.mark.docker


def test_attributes_win_over_one_another_in_chef_s_order(node: Node, kitchen: Kitchen) -> None:
    # Each level sets its own name under all of the levels that it has to win over.
    levels = [
        "default", "env_default", "role_default", "force_default", "normal", "override", "role_override",
        "env_override", "force_override",
    ]  # fmt: skip

    def values(level: str) -> dict[str, dict[str, str]]:
        return {"won": dict.fromkeys(["automatic", *levels][: levels.index(level) + 2][1:], level)}

    in_cookbook = [
        f"{level}['won']['{key}'] = '{level}'"
        for level in ("default", "force_default", "override", "force_override")
        for key in values(level)["won"]
    ]
    kitchen.cookbook(
        "levels",
        {
            "attributes/default.rb": "\n".join(in_cookbook),
            "recipes/default.rb": "file('/srv/won') { content node['won'].map { |k, v| \"#{k}=#{v}\\n\" }.join }",
        },
    )
    kitchen.environment(
        "levels", default_attributes=values("env_default"), override_attributes=values("env_override")
    )
    kitchen.role(
        "levels",
        ["recipe[levels]"],
        default_attributes=values("role_default"),
        override_attributes=values("role_override"),
    )
    node.converge("role[levels]", options="-E levels", won=values("normal")["won"])
    won = dict(line.split("=") for line in node.sh("cat /srv/won").splitlines())
    assert won == dict.fromkeys(levels, "force_override")

    # Take the strongest away, one after the other.
    stronger = [
        ("force_override", "env_override"),
        ("override", "env_override"),
    ]
    for gone, now in stronger:
        in_cookbook = [line for line in in_cookbook if not line.startswith(gone)]
        kitchen.cookbook(
            "levels",
            {
                "attributes/default.rb": "\n".join(in_cookbook),
                "recipes/default.rb": "file('/srv/won') { content node['won']['default'] }",
            },
        )
        node.converge("role[levels]", options="-E levels", won=values("normal")["won"])
        assert node.sh("cat /srv/won") == now
    kitchen.environment("levels", default_attributes=values("env_default"))
    node.converge("role[levels]", options="-E levels", won=values("normal")["won"])
    assert node.sh("cat /srv/won") == "role_override"
    kitchen.role("levels", ["recipe[levels]"], default_attributes=values("role_default"))
    node.converge("role[levels]", options="-E levels", won=values("normal")["won"])
    assert node.sh("cat /srv/won") == "normal"


@pytest.mark.parametrize(
    ("strong", "weak"),
    [("force_default", "role_default"), ("role_default", "env_default"), ("env_default", "default")],
)
def test_defaults_win_over_one_another_too(node: Node, kitchen: Kitchen, strong: str, weak: str) -> None:
    name = f"order-{strong.replace('_', '-')}"
    cookbook = [
        f"{level}['who'] = '{level}'" for level in (strong, weak) if level in ("default", "force_default")
    ]
    places = {level: {"who": level} for level in (strong, weak)}
    kitchen.cookbook(
        name,
        {
            "attributes/default.rb": "\n".join(cookbook),
            "recipes/default.rb": "file('/srv/who') { content node['who'] }",
        },
    )
    kitchen.environment(name, default_attributes=places.get("env_default", {}))
    kitchen.role(name, [f"recipe[{name}]"], default_attributes=places.get("role_default", {}))
    node.converge(f"role[{name}]", options=f"-E {name}")
    assert node.sh("cat /srv/who") == strong


def test_hashes_are_merged_and_lists_replaced(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "merged",
        {
            "attributes/default.rb": "default['m'] = { 'kept' => 1, 'list' => [1, 2] }\ndefault[:m][:new]['deep'] = 2",
            "recipes/default.rb": "require 'json'\nfile('/srv/m') { content JSON.generate(node['m']) }",
        },
    )
    node.converge("recipe[merged]", m={"list": [3], "new": {"more": True}})
    assert json.loads(node.sh("cat /srv/m")) == {"kept": 1, "list": [3], "new": {"deep": 2, "more": True}}


def test_a_stronger_level_of_the_machine_s_own_facts(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "facts",
        "names = %w(platform platform_family os hostname ipaddress)\n"
        "file('/srv/facts') { content names.map { |name| node[name] }.join(' ') }\n"
        "file('/srv/debian') if platform?('debian') && platform_family?('debian')\n"
        "file('/srv/not') if platform?('windows')",
    )
    node.converge("recipe[facts]", platform="plan9")
    assert node.sh("cat /srv/facts") == f"debian debian linux {node.name} {node.sh('hostname -i')}"
    assert node.sh("ls /srv").split() == ["debian", "facts"]


def test_recipes_and_attributes_of_other_cookbooks(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "lender",
        {
            "attributes/default.rb": "default['lent'] = 'book'",
            "recipes/default.rb": "file('/srv/lender') { content node['lent'] }",
            "recipes/again.rb": "file('/srv/again')",
            "libraries/helper.rb": "module Lender\n  def self.word = 'helped'\nend",
        },
    )
    kitchen.cookbook(
        "borrower",
        {
            "attributes/default.rb": "include_attribute 'lender'\ndefault['borrowed'] = node['lent'] + 'ed'",
            "recipes/default.rb": "include_recipe 'lender', '::local'\ninclude_recipe 'lender::again'\n"
            "include_recipe 'lender'\nfile('/srv/borrower') { content node['borrowed'] + Lender.word }",
            "recipes/local.rb": "file('/srv/local')",
        },
        depends=["lender"],
    )
    run = node.converge("recipe[borrower]")
    assert run.resources == (4, 4)
    assert node.sh("cat /srv/lender /srv/borrower") == "bookbookedhelped"
    assert "Recipe: lender::again" in run.out


def test_templates(node: Node, kitchen: Kitchen) -> None:
    template = (
        "<% @lines.each do |line| -%>\n<%= line %> for <%= node['hostname'] -%>\n;\n<% end -%>\n"
        "<%# silent -%>\nend\n"
    )
    kitchen.cookbook(
        "page",
        {
            "recipes/default.rb": "template '/srv/page' do\n  source 'page.erb'\n  owner 'nobody'\n  group 'nogroup'\n"
            "  mode '0640'\n  variables(lines: %w(a b))\nend",
            "templates/page.erb": template,
        },
    )
    first = node.converge("recipe[page]")
    text = f"a for {node.name};\nb for {node.name};\nend\n"
    assert node.sh("cat /srv/page") == text.strip()
    assert node.sh("stat -c '%a %U %G' /srv/page") == "640 nobody nogroup"
    assert "    - create new file /srv/page" in first.out.splitlines()
    assert f"    +a for {node.name};" in first.out.splitlines()
    assert node.converge("recipe[page]").resources == (0, 1)

    node.sh("chmod 600 /srv/page; echo more >> /srv/page")
    mended = node.converge("recipe[page]")
    assert "    -more" in mended.out.splitlines()
    assert "    - change mode from '0600' to '0640'" in mended.out.splitlines()
    assert node.sh("cat /srv/page") == text.strip()
    # What was there is kept.
    assert node.sh("tail -n 1 /var/chef/backup/srv/page.chef-*") == "more"


def test_a_template_that_breaks_says_where(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook(
        "torn",
        {
            "recipes/default.rb": "template('/srv/torn') { source 'torn.erb' }",
            "templates/torn.erb": "fine\n<%= missing %>\n",
        },
    )
    run = node.fails("recipe[torn]")
    assert "Chef::Mixin::Template::TemplateError: undefined local variable or method `missing'" in run.fatal
    assert "torn.erb:2" in run.fatal
    assert node.sh("ls /srv") == ""


def test_the_most_special_file_is_taken(node: Node, kitchen: Kitchen) -> None:
    files = {
        f"files/{folder}/{name}": folder
        for name, folders in {
            "a": ("default",),
            "b": ("default", "debian"),
            "c": ("default", "debian", "debian-12"),
        }.items()
        for folder in folders
    }
    recipe = '%w(a b c d).each { |name| cookbook_file("/srv/#{name}") { source name } }'
    kitchen.cookbook("special", {"recipes/default.rb": recipe, "files/d": "plain", **files})
    node.converge("recipe[special]")
    assert node.sh("for i in a b c d; do cat /srv/$i; echo; done").split() == [
        "default", "debian", "debian-12", "plain",
    ]  # fmt: skip


def test_guards(node: Node, kitchen: Kitchen) -> None:
    guards = {
        "a": "not_if 'true'",
        "b": "not_if 'false'",
        "c": "only_if 'test -e /nowhere'",
        "d": "only_if { node['hostname'] }",
        "e": "not_if { File.exist?('/etc/passwd') }",
        "f": "only_if 'test $PWD = /tmp', cwd: '/tmp'",
        "g": "only_if 'test $(id -un) = nobody', user: 'nobody'",
        "h": "only_if 'true'\n  only_if 'false'",
        "j": "action :nothing",
    }
    kitchen.recipe(
        "guards", "\n".join(f"file '/srv/{name}' do\n  {text}\nend" for name, text in guards.items())
    )
    run = node.converge("recipe[guards]")
    assert node.sh("ls /srv").split() == ["b", "d", "f", "g"]
    assert run.resources == (4, 9)
    lines = run.out.splitlines()
    assert "  * file[/srv/a] action create (skipped due to not_if)" in lines
    assert "  * file[/srv/c] action create (skipped due to only_if)" in lines
    assert "  * file[/srv/j] action nothing (skipped due to action :nothing)" in lines


def test_a_guard_whose_command_is_missing_is_no_answer(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe("unguarded", "file('/srv/x') { only_if 'no-such-command' }")
    assert node.fails("recipe[unguarded]").fatal == (
        "Errno::ENOENT: file[/srv/x] (unguarded::default line 1) had an error: "
        "Errno::ENOENT: No such file or directory - no-such-command"
    )


def test_notifications(node: Node, kitchen: Kitchen) -> None:
    def teller(name: str, rest: str = "action :nothing") -> str:
        return f"execute '{name}' do\n  command 'echo {name} >> /srv/story'\n  {rest}\nend\n"

    recipe = (
        teller("later")
        + teller("now")
        + teller("early")
        + "file '/srv/cause' do\n  content node['text']\n  notifies :run, 'execute[later]'\n"
        "  notifies :run, 'execute[now]', :immediately\n  notifies :run, 'execute[early]', :before\nend\n"
        "file '/srv/other' do\n  content node['text']\n  notifies :run, 'execute[later]', :delayed\nend\n"
        + teller("subscriber", "action :nothing\n  subscribes :run, 'file[/srv/other]', :immediately")
        + teller("last", "not_if 'grep -q last /srv/story'")
    )
    kitchen.recipe("story", recipe)
    first = node.converge("recipe[story]", text="one")
    # Once at the end, although two asked for it; and the end is after `last`.
    assert node.sh("cat /srv/story").split() == ["early", "now", "subscriber", "last", "later"]
    assert first.resources[0] == 7
    again = node.converge("recipe[story]", text="one")
    assert again.resources[0] == 0
    node.sh("echo last > /srv/story")
    node.converge("recipe[story]", text="two")
    assert node.sh("cat /srv/story").split() == ["last", "early", "now", "subscriber", "later"]


def test_delayed_notifications_are_kept_when_the_run_fails(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "abrupt",
        "execute('restart') { command 'touch /srv/restarted'; action :nothing }\n"
        "file('/srv/x') { notifies :run, 'execute[restart]', :delayed }\nexecute 'false'",
    )
    node.fails("recipe[abrupt]")
    node.sh("test -e /srv/restarted")


def test_what_may_fail_and_what_is_tried_again(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "shaky",
        "execute 'bad' do\n  command 'exit 3'\n  ignore_failure true\nend\n"
        "execute 'flaky' do\n  command 'echo x >> /srv/tries; test $(wc -l < /srv/tries) = 3'\n"
        "  retries 2\n  retry_delay 0\nend\n"
        "execute('exit 4') { returns [0, 4] }",
    )
    run = node.converge("recipe[shaky]")
    assert "ERROR: execute[bad] (shaky::default line 1) had an error: " in run.out
    assert "ignore_failure is set, continuing" in run.out
    assert node.sh("wc -l < /srv/tries") == "3"
    node.sh("echo more >> /srv/tries")
    assert "execute[flaky] (shaky::default line 5) had an error" in node.fails("recipe[shaky]").fatal


def test_recipes_hand_things_on_within_a_run(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "relay",
        "ruby_block 'find out' do\n  block { node.run_state['word'] = 'found' }\nend\n"
        "file '/srv/word' do\n  content lazy { node.run_state['word'] }\nend\n"
        "node.default['seen'] = 'later'\nfile('/srv/seen') { content node['seen'] }",
    )
    node.converge("recipe[relay]")
    assert node.sh("cat /srv/word /srv/seen") == "foundlater"


@pytest.mark.standin("the real client knows providers of cookbooks")
def test_what_the_stand_in_does_not_know_it_says(node: Node, kitchen: Kitchen) -> None:
    kitchen.cookbook("old", {"recipes/default.rb": "", "providers/thing.rb": "action(:x) { }"})
    assert (
        "the stand-in knows no providers of cookbooks (old: providers/thing.rb)"
        in node.fails("recipe[old]").fatal
    )
