"""A client of one's own in the image: docker/server/chef-client/install.sh with packages, and with an installer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .nodes import Node

pytestmark = pytest.mark.docker

INSTALL = Path(__file__).parents[2] / "docker" / "server" / "chef-client" / "install.sh"
HERE = "/usr/local/lib/gantry-chef-client"
CLIENT = "#!/bin/sh\necho 'Some Client: 19.1.0'\n"
CONTROL = """Package: some-client
Version: 1
Architecture: all
Maintainer: Ann <ann@example.com>
Description: nothing
"""


@pytest.fixture
def image(node: Node) -> Node:
    """A server as an image is while it is built: with what lies beside install.sh, and no client yet."""
    node.sh(f"rm -rf {HERE} /usr/bin/chef-client; mkdir -p {HERE}/own")
    node.write(f"{HERE}/install.sh", INSTALL.read_text())
    return node


def package(folder: Path, name: str) -> bytes:
    """A package that holds a client of that name and nothing else."""
    inside = folder / name
    for path, text, mode in (("DEBIAN/control", CONTROL, 0o644), (f"usr/bin/{name}", CLIENT, 0o755)):
        (inside / path).parent.mkdir(parents=True)
        (inside / path).write_text(text)
        (inside / path).chmod(mode)
    built = folder / f"{name}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", inside, built], check=True, capture_output=True
    )
    return built.read_bytes()


@pytest.mark.parametrize("client", ["chef-client", "cinc-client"])
def test_packages_are_installed_and_the_stand_in_goes(image: Node, tmp_path: Path, client: str) -> None:
    image.put(f"{HERE}/own/some client.deb", package(tmp_path, client))
    assert image.sh(f"sh {HERE}/install.sh own").splitlines()[-1] == "Some Client: 19.1.0"
    assert image.sh(f"dpkg-query -W -f '${{Status}}' some-client; readlink -f /usr/bin/{client}") == (
        f"install ok installed/usr/bin/{client}"
    )
    assert image.attempt(f"test -e {HERE}").code == 1


def test_an_installer_runs_as_root_whatever_its_mode(image: Node) -> None:
    script = (
        f"cat >/usr/bin/chef-client <<'END'\n{CLIENT}END\nchmod 755 /usr/bin/chef-client\nid -u >/srv/who\n"
    )
    image.write(f"{HERE}/own/installer", f"#!/bin/sh\nset -eu\n{script}", 0o644)
    assert image.sh(f"sh {HERE}/install.sh own") == "Some Client: 19.1.0"
    assert image.sh("cat /srv/who") == "0"
    assert image.attempt(f"test -e {HERE}").code == 1


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("#!/bin/sh\nexit 7\n", 7, ""),
        ("#!/bin/sh\ntrue\n", 1, "install.sh: it has put neither chef-client nor cinc-client there\n"),
    ],
)
def test_an_installer_that_fails_or_brings_no_client_fails_the_build(
    image: Node, script: str, code: int, said: str
) -> None:
    image.write(f"{HERE}/own/installer", script)
    ended = image.attempt(f"sh {HERE}/install.sh own")
    assert (ended.code, ended.err) == (code, said)
