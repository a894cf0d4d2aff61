"""The resources: each does its work, and nothing the second time."""

from __future__ import annotations

import pytest

from .nodes import Kitchen, Node

pytestmark = pytest.mark.docker

SERVICE = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          napper
# Required-Start:    $remote_fs
# Required-Stop:     $remote_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
### END INIT INFO
case $1 in
start) setsid sleep 98765 > /dev/null 2>&1 & echo $! > /run/napper.pid ;;
stop) kill "$(cat /run/napper.pid)"; rm /run/napper.pid ;;
restart) "$0" stop; "$0" start ;;
reload) touch /srv/reloaded ;;
status) test -e /run/napper.pid && kill -0 "$(cat /run/napper.pid)" ;;
esac
"""


def test_files_directories_and_links(node: Node, kitchen: Kitchen) -> None:
    node.sh("touch /srv/unwanted; mkdir -p /srv/tree/branch")
    kitchen.recipe(
        "places",
        "directory '/srv/a/b' do\n  recursive true\n  owner 'nobody'\n  mode '0750'\nend\n"
        "file '/srv/a/b/c' do\n  content 'c'\n  mode 0o600\n  group 'nogroup'\nend\n"
        "link('/srv/link') { to '/srv/a' }\n"
        "link '/srv/hard' do\n  to '/srv/a/b/c'\n  link_type :hard\nend\n"
        "file('/srv/unwanted') { action :delete }\n"
        "directory '/srv/tree' do\n  recursive true\n  action :delete\nend\n"
        "file '/srv/once' do\n  content node['once']\n  action :create_if_missing\nend",
    )
    assert node.converge("recipe[places]", once="first").resources == (7, 7)
    assert node.sh("stat -c '%a %U' /srv/a/b") == "750 nobody"
    assert node.sh("stat -c '%a %G %h' /srv/a/b/c") == "600 nogroup 2"
    assert node.sh("readlink /srv/link") == "/srv/a"
    assert node.sh("ls /srv").split() == ["a", "hard", "link", "once"]
    assert node.converge("recipe[places]", once="second").resources == (0, 7)
    assert node.sh("cat /srv/once") == "first"


@pytest.mark.parametrize(
    ("resource", "fatal"),
    [
        ("file('/srv/no/x')", "Chef::Exceptions::EnclosingDirectoryDoesNotExist: "),
        ("directory('/srv/no/x')", "Chef::Exceptions::EnclosingDirectoryDoesNotExist: "),
        ("file('/srv/x') { owner 'whoever' }", "Chef::Exceptions::UserIDNotFound: "),
        ("cookbook_file('/srv/x') { source 'no' }", "Chef::Exceptions::FileNotFound: "),
        ("package('no-such-package')", "Chef::Exceptions::Package: "),
        pytest.param(
            "service('no-such-service') { action :start }",
            "Chef::Exceptions::Service: ",
            marks=pytest.mark.standin(
                "18.9.5 looks for the script and says Errno::ENOENT where there is no systemd"
            ),
        ),
    ],
)
def test_what_cannot_be_done_fails(shared: Node, kitchen: Kitchen, resource: str, fatal: str) -> None:
    name = f"cannot-{resource.partition('(')[0]}-{len(resource)}".replace("_", "-")
    kitchen.recipe(name, resource)
    run = shared.fails(f"recipe[{name}]")
    assert run.fatal.startswith(fatal), run.fatal
    assert f"({name}::default line 1) had an error: " in run.fatal


def test_commands(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "commands",
        "execute 'where' do\n  command 'pwd > where; id -un >> where; echo $WORD >> where'\n  cwd '/srv/free'\n"
        "  user 'nobody'\n  environment('WORD' => 'said')\nend\n"
        "execute('touch /srv/created') { creates '/srv/created' }\n"
        "bash 'script' do\n  code <<~END\n    words=(one two)\n    echo ${words[1]} > /srv/bash\n  END\nend\n"
        "script 'other' do\n  interpreter 'ruby'\n  code 'File.write(\"/srv/ruby\", 6 * 7)'\nend\n"
        "execute ['touch', '/srv/a b']",
    )
    node.sh("mkdir -m 777 /srv/free")
    run = node.converge("recipe[commands]")
    assert run.resources == (5, 5)
    assert node.sh("cat /srv/free/where").split() == ["/srv/free", "nobody", "said"]
    assert node.sh("cat /srv/bash /srv/ruby") == "two\n42"
    node.sh("test -e '/srv/a b'")
    assert "  * execute[touch /srv/created] action run (up to date)" in node.converge("recipe[commands]").out


def test_users_and_groups(node: Node, kitchen: Kitchen) -> None:
    kitchen.recipe(
        "people",
        "user 'ann' do\n  uid 4001\n  home '/home/ann'\n  manage_home true\n"
        "  shell node['shell']\n  comment 'Ann'\nend\n"
        "user('robot') { system true }\n"
        "group 'staff2' do\n  gid 4002\n  members %w(ann)\nend\n"
        "group 'more' do\n  members %w(robot)\n  append true\nend",
    )
    assert node.converge("recipe[people]", shell="/bin/sh").resources == (4, 4)
    assert node.sh("getent passwd ann") == "ann:x:4001:4001:Ann:/home/ann:/bin/sh"
    node.sh("test -d /home/ann")
    assert node.sh("getent group staff2") == "staff2:x:4002:ann"
    node.sh("gpasswd -a ann more")
    assert node.converge("recipe[people]", shell="/bin/sh").resources == (0, 4)
    assert node.sh("getent group more").endswith(":robot,ann")
    assert node.converge("recipe[people]", shell="/bin/bash").resources == (1, 4)
    assert node.sh("getent passwd ann").endswith(":/bin/bash")
    kitchen.recipe("farewell", "user('ann') { action :remove }\ngroup('staff2') { action :remove }")
    assert node.converge("recipe[farewell]").resources == (2, 2)
    assert node.attempt("getent passwd ann").code == 2
    assert node.converge("recipe[farewell]").resources == (0, 2)


def test_services_without_systemd(node: Node, kitchen: Kitchen) -> None:
    node.write("/etc/init.d/napper", SERVICE, 0o755)
    kitchen.recipe("service", "service('napper') { supports status: true; action node['do'].map(&:to_sym) }")
    first = node.converge("recipe[service]", do=["enable", "start"])
    assert first.resources == (2, 2)
    assert "    - start service service[napper]" in first.out.splitlines()
    process = node.sh("pgrep -f '^sleep 98765'")
    node.sh("ls /etc/rc2.d/S*napper")
    assert node.converge("recipe[service]", do=["enable", "start"]).resources == (0, 2)
    node.converge("recipe[service]", do=["restart", "reload"])
    assert node.sh("pgrep -f '^sleep 98765'") != process
    node.sh("test -e /srv/reloaded")
    assert node.converge("recipe[service]", do=["stop", "disable"]).resources == (2, 2)
    assert node.attempt("pgrep -f '^sleep 98765'").code == 1
    assert node.attempt("ls /etc/rc2.d/S*napper").code == 2
    assert node.converge("recipe[service]", do=["stop", "disable"]).resources == (0, 2)


def test_packages(node: Node, kitchen: Kitchen) -> None:
    node.sh("rm -rf /var/lib/apt/lists/*")
    kitchen.recipe(
        "packages",
        "apt_update('lists') { action :periodic }\n"
        "package %w(tree less)\npackage('sl') { action node['sl'].to_sym }\napt_package('less') { action :upgrade }",
    )
    first = node.converge("recipe[packages]", sl="install")
    assert first.resources[0] == 3
    assert "  * apt_package[tree, less] action install" in first.out.splitlines()
    version = node.sh("dpkg-query -W -f '${Version}' tree")
    assert f"    - install version {version} of package tree" in first.out.splitlines()
    node.sh("tree --version && test -x /usr/games/sl")
    assert node.converge("recipe[packages]", sl="install").resources == (0, 4)
    assert node.converge("recipe[packages]", sl="remove").resources == (1, 4)
    assert node.attempt("test -x /usr/games/sl").code == 1
    assert node.converge("recipe[packages]", sl="purge").resources[0] <= 1
