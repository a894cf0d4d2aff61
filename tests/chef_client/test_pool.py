"""Servers that tests have after one another are as if they were new."""

from __future__ import annotations

import pytest

from gantry.local.cloud import inspect_servers
from tests import inside

from .nodes import CLIENT_KEY, Kitchen, Node
from .pool import Pool

pytestmark = pytest.mark.docker


def test_a_server_comes_back_as_it_was(pool: Pool, kitchen: Kitchen) -> None:
    with pool.server() as first:
        first.converge()
        first.sh("touch /srv/made /tmp/.made /run/made; sleep 4719 >/dev/null 2>&1 &")
    with pool.server() as second:
        assert second.name == first.name
        assert second.name not in kitchen.server.nodes() | kitchen.server.clients()
        assert second.attempt(f"test -e {CLIENT_KEY}").code == 1
        assert second.sh("ls -A /srv /tmp /var/chef; ls /run | grep made || true").split() == [
            "/srv:", "/tmp:", "/var/chef:",
        ]  # fmt: skip
        assert "4719" not in second.sh("ps -eo args")


@pytest.mark.parametrize(
    "change", ["useradd ann", "rm /etc/debian_version", "echo >> /etc/hosts", "mkdir /new"]
)
def test_a_server_that_was_changed_for_good_is_not_used_again(pool: Pool, change: str) -> None:
    with pool.server() as changed:
        changed.sh(change)
    with pool.server() as other:
        assert other.name != changed.name


@pytest.mark.parametrize(
    "command",
    [
        "id; pwd; umask; ulimit -n; hostname; echo $PATH $HOME $HOSTNAME; grep Cap /proc/self/status",
        "echo said; exit 3",
        "kill -KILL $$",
        r"printf 'a line end of HTTP\r\n'",
        # Who waits does not wait for what is left behind.
        "(sleep 600; echo late) & echo now",
    ],
)
def test_a_command_inside_is_what_dockers_own_would_be(shared: Node, command: str) -> None:
    ours, dockers = (run(shared.container, command) for run in (inside.run, inspect_servers.run))
    assert (ours.code, ours.out) == (dockers.code, dockers.out)
    shared.sh("pkill -f '^sleep 600' || true")


def test_what_a_command_inside_complains_of_is_told_apart(shared: Node) -> None:
    found = inside.run(shared.container, "echo bad >&2; echo good")
    assert (found.code, found.out, found.err) == (0, "good\n", "bad\n")
