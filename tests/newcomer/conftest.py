"""The built distribution, and an environment that has it and no checkout."""

from __future__ import annotations

import subprocess
import sys
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
    # Compiled once: where PYTHONDONTWRITEBYTECODE is set, each process would compile all it imports again.
    uv(
        "pip", "install", "--quiet", "--compile-bytecode", "--python", environment, "--constraint", constraints,
        f"{wheel}[local]",
    )  # fmt: skip
    return environment / "bin"
