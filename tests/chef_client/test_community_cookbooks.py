"""Cookbooks that others have written converge as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantry.configuration_management import chef_log
from gantry.local.cloud import chef_repository

from .nodes import Kitchen, Node
from .test_like_the_real_client import kept

pytestmark = pytest.mark.docker

OTHERS = Path(__file__).with_name("community")
LINES = """
append_if_no_line "added" do
  path "/srv/settings"
  line "colour=red"
end
replace_or_add "changed" do
  path "/srv/settings"
  pattern "^size="
  line "size=2"
end
delete_lines "gone" do
  path "/srv/settings"
  pattern "^old="
end
"""


HOSTS = """
hostsfile_entry "10.9.8.7" do
  hostname "shop.example.com"
  aliases ["shop"]
  action :create
end
"""


@pytest.fixture
def community(kitchen: Kitchen) -> Kitchen:
    chef_repository.upload(OTHERS, kitchen.server)
    return kitchen


def test_line_edits_a_file_once(node: Node, community: Kitchen) -> None:
    community.cookbook("edits", {"recipes/default.rb": LINES}, depends=["line"])
    node.sh("printf 'size=1\\nold=yes\\n' > /srv/settings")
    first = node.converge("recipe[edits]")
    assert node.sh("cat /srv/settings").split() == ["size=2", "colour=red"]
    assert [each.partition("[")[0] for each in chef_log.read(kept(first)).updated] == [
        "append_if_no_line", "file", "replace_or_add", "file", "delete_lines", "file",
    ]  # fmt: skip
    again = node.converge("recipe[edits]")
    assert (again.resources[0], chef_log.read(kept(again)).updated) == (0, ())


def test_hostsfile_writes_an_entry_once(node: Node, community: Kitchen) -> None:
    # A container's own is bound into it, and cannot be replaced.
    path = {"path": "/srv/hosts"}
    node.sh("cp /etc/hosts /srv/hosts")
    community.cookbook("names", {"recipes/default.rb": HOSTS}, depends=["hostsfile"])
    first = node.converge("recipe[names]", hostsfile=path)
    assert node.sh("grep 10.9.8.7 /srv/hosts").split()[:3] == ["10.9.8.7", "shop.example.com", "shop"]
    # The real client tells of the file within it as well.
    assert chef_log.read(kept(first)).updated[0] == "hostsfile_entry[10.9.8.7] create"
    again = node.converge("recipe[names]", hostsfile=path)
    assert (again.resources, chef_log.read(kept(again)).updated) == ((0, 1), ())
