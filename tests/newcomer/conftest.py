"""The built distribution, and an environment that has it and no checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Where docker/setup-python.sh puts it: beside the environment that it makes.
UV = (ROOT / ".venv").resolve().parent / ".work" / "uv" / "bin" / "uv"


def uv(*arguments: str | Path) -> None:
    """Run the project's uv; what it says is shown if it fails."""
    run = subprocess.run(
        [str(UV), *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"uv {' '.join(map(str, arguments))}\n{run.stderr}"


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", ROOT, "--out-dir", folder, "--quiet")
    return folder


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """The built wheel."""
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that the wheel was installed into, versions as in the lock."""
    folder = tmp_path_factory.mktemp("newcomer")
    constraints = folder / "constraints.txt"
    uv(
        "export", "--frozen", "--quiet", "--no-hashes", "--no-emit-project", "--extra", "local",
        "--output-file", constraints,
    )  # fmt: skip
    environment = folder / "venv"
    uv("venv", "--quiet", "--no-project", "--python", sys.executable, environment)
    uv(
        "pip", "install", "--quiet", "--python", environment, "--constraint", constraints, f"{wheel}[local]",
    )  # fmt: skip
    lend_bytecode(environment)
    return environment / "bin"


def lend_bytecode(environment: Path) -> None:
    """Give an environment what this one has compiled of the very same files. Airflow's parts, which begin at once,
    would each compile all that they import; uv takes half a minute of a processor for all files."""
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for folder in there.rglob("*/"):
        compiled = here / folder.relative_to(there) / "__pycache__"
        if not compiled.is_dir():
            continue
        (folder / "__pycache__").mkdir(exist_ok=True)
        for file in compiled.glob("*.pyc"):
            source = f"{file.name.partition('.')[0]}.py"
            # A module that is not the same is compiled when it is imported.
            if is_same(compiled.parent / source, folder / source):
                lend(file, folder / "__pycache__" / file.name)


def is_same(one: Path, other: Path) -> bool:
    """Whether Python would take what was compiled of one file for what was compiled of the other."""
    if not (one.exists() and other.exists()):
        return False
    first, second = one.stat(), other.stat()
    return (int(first.st_mtime), first.st_size) == (int(second.st_mtime), second.st_size)


def lend(file: Path, target: Path) -> None:
    """A hard link, or a copy where the folders are of different file systems."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
