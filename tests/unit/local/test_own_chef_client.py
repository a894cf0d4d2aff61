"""`CHEF_CLIENT=` of `make setup`: what docker/setup-machine.sh hands to the build of the image. No image is built."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SETUP = ROOT / "docker" / "setup-machine.sh"

# Answers as the engine does that has the base image, and builds by keeping what it is given.
ENGINE = """#!/bin/sh
case "$1 $2" in
"version "*) echo 20.10 ;;
"image inspect")
    case $4 in
    *gantry.inputs*) cat "$KEPT/label-$5" 2>/dev/null ;;
    *) exit 0 ;;
    esac
    ;;
"build --target")
    echo "$*" >>"$KEPT/builds"
    for argument; do
        case $argument in
        gantry.inputs=*) label=${argument#gantry.inputs=} ;;
        gantry-server:*) echo "$label" >"$KEPT/label-$argument" ;;
        esac
    done
    rm -rf "$KEPT/context"
    cp -R "$argument" "$KEPT/context"
    ;;
esac
"""


@dataclasses.dataclass
class Setup:
    """The script, with an engine that builds nothing."""

    folder: Path

    def run(self, client: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        more: Mapping[str, str] = {"PATH": path, "KEPT": str(self.folder), "CHEF_CLIENT": client}
        return subprocess.run(
            ["sh", SETUP],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.folder / "tmp"), **more, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def builds(self) -> list[str]:
        found = self.folder / "builds"
        return found.read_text().splitlines() if found.exists() else []

    @property
    def own(self) -> Path:
        """Where the image's build finds a client of the user's."""
        return self.folder / "context" / "chef-client" / "own"


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    if "ID=debian" not in Path("/etc/os-release").read_text():
        pytest.skip("it changes nothing on other systems than Debian")
    for folder in ("bin", "tmp", "packages"):
        (tmp_path / folder).mkdir()
    # It finds nothing to install, and could not.
    for name, text in (("docker", ENGINE), ("dpkg-query", "echo installed"), ("apt-get", "exit 9")):
        program = tmp_path / "bin" / name
        program.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return Setup(tmp_path)


def test_a_folder_of_packages_becomes_part_of_the_build(setup: Setup) -> None:
    for name in ("chef_19.1.0-1_amd64.deb", "with a space.deb", "notes.txt"):
        (setup.folder / "packages" / name).write_text(name)
    ended = setup.run("./packages")
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[2] for line in setup.builds] == ["bare", "prepared"]
    assert all("--build-arg CHEF_CLIENT=own" in line for line in setup.builds)
    assert sorted(each.name for each in setup.own.iterdir()) == [
        "chef_19.1.0-1_amd64.deb",
        "with a space.deb",
    ]
    assert (setup.own.parent / "install.sh").read_text() == (
        ROOT / "docker" / "server" / "chef-client" / "install.sh"
    ).read_text()
    # What it was put together in is gone, and nothing of it is in the project.
    assert list((setup.folder / "tmp").iterdir()) == []
    assert not (ROOT / "docker" / "server" / "chef-client" / "own").exists()


def test_the_image_is_built_again_when_a_package_is_another_and_only_then(setup: Setup) -> None:
    package = setup.folder / "packages" / "with a space.deb"
    package.write_text("one")
    for content, builds in (("one", 2), ("one", 2), ("two", 4)):
        package.write_text(content)
        assert setup.run("./packages").returncode == 0
        assert len(setup.builds) == builds
    assert setup.run("stand-in").returncode == 0
    assert len(setup.builds) == 6


def test_an_installer_becomes_part_of_the_build(setup: Setup) -> None:
    installer = setup.folder / "install-chef.sh"
    installer.write_text("#!/bin/sh\necho installed\n")
    ended = setup.run(str(installer))
    assert ended.returncode == 0, ended.stderr
    assert [each.name for each in setup.own.iterdir()] == ["installer"]
    assert (setup.own / "installer").read_text() == installer.read_text()


@pytest.mark.parametrize("client", ["stand-in", "18", "18.10.17", "latest"])
def test_a_word_is_a_version_and_handed_on_as_it_is(setup: Setup, client: str) -> None:
    ended = setup.run(client)
    assert ended.returncode == 0, ended.stderr
    assert all(f"--build-arg CHEF_CLIENT={client} " in line for line in setup.builds)
    assert not setup.own.exists()


@pytest.mark.parametrize(
    ("client", "said"),
    [
        ("./packages", "CHEF_CLIENT: there is no package (*.deb) in ./packages"),
        ("./nowhere", "CHEF_CLIENT: there is neither a folder nor a file ./nowhere"),
    ],
)
def test_what_is_none_is_said_before_anything_is_built(setup: Setup, client: str, said: str) -> None:
    ended = setup.run(client)
    assert (ended.returncode, ended.stderr) == (1, f"setup-machine: {said}\n")
    assert setup.builds == []
    assert list((setup.folder / "tmp").iterdir()) == []


def test_make_hands_it_on() -> None:
    shown = subprocess.run(
        [shutil.which("make") or "make", "--dry-run", "setup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "docker/setup-machine.sh" in shown.stdout
