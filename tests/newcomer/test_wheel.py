"""What is in the distribution: all that `gantry demo` needs where there is no checkout, and no more."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.newcomer.conftest import ROOT

FILES = "gantry/local/files"
NEEDED = (
    "docker/setup-machine.sh",
    "docker/server",
    # What the cluster on one machine is made from.
    "docker/compose.yaml",
    "docker/airflow/make-secrets.sh",
    "include/bookshop",
    "include/chef",
    "dags/bookshop.py",
)


def tracked(*below: str) -> set[str]:
    """The files that git knows."""
    run = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *below],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {line for line in run.stdout.splitlines() if (ROOT / line).exists()}


def test_the_wheel_carries_the_demos_files_as_they_are_in_the_checkout(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        carried = {
            name.removeprefix(f"{FILES}/"): packed.read(name)
            for name in packed.namelist()
            if name.startswith(FILES)
        }
    assert set(carried) == tracked(*NEEDED)
    assert all((ROOT / name).read_bytes() == content for name, content in carried.items())


def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = {name for name in packed.namelist() if not name.startswith(FILES)}
        entry_points = next(
            packed.read(name).decode() for name in names if name.endswith("/entry_points.txt")
        )
    package = {name.removeprefix("plugins/") for name in tracked("plugins/gantry")}
    assert {name for name in names if ".dist-info/" not in name} == package
    assert "[gantry.commands]\ndemo = gantry.local.commands:app\n" in entry_points
    assert "gantry = gantry.cli:main\n" in entry_points


def test_the_wheel_was_built_from_the_sdist_which_holds_the_sources(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {member.name.partition("/")[2] for member in packed.getmembers()}
    assert tracked("plugins/gantry", *NEEDED) <= names
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "uv.lock"))]


@pytest.mark.parametrize("what", ["SETUP_MACHINE", "ROOT / 'docker/server/Dockerfile'", "ROOT / BOOKSHOP[0]"])
def test_an_installed_package_finds_the_files_in_itself(installed: Path, what: str) -> None:
    script = f"from gantry.local.resources import *; path = {what}; print(path.exists(), path)"
    # Isolated: neither this folder nor PYTHONPATH may help.
    found = subprocess.check_output([installed / "python", "-I", "-c", script], cwd="/", text=True).split()
    assert found[0] == "True"
    assert Path(found[1]).is_relative_to(installed.parent)


def test_an_installed_gantry_has_the_demo_among_its_commands(installed: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [installed / "gantry", "demo", "--help"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert all(command in run.stdout for command in ("up", "down", "status", "run"))
