"""The hook `gantry-validate`, as a repository of definitions uses it."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[3]
BIN = pathlib.Path(sys.executable).parent


class Repository:
    """A repository of definitions; pre-commit keeps what it makes below `home`."""

    def __init__(self, folder: pathlib.Path, home: pathlib.Path) -> None:
        self.folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GANTRY_"))},
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PRE_COMMIT_HOME": str(home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            **{
                f"GIT_{who}_{what}": "somebody@example.com"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }

    def run(self, *command: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(each) for each in command],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def commit(self, *names: str) -> None:
        for command in (("git", "init", "-q"), ("git", "add", *names), ("git", "commit", "-qm", "test")):
            done = self.run(*command)
            assert done.returncode == 0, done.stderr


@pytest.fixture
def hooks(tmp_path: pathlib.Path) -> pathlib.Path:
    """This repository as pre-commit sees it, without its history."""
    folder = tmp_path / "gantry"
    folder.mkdir()
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", folder)
    Repository(folder, tmp_path / "home").commit(".pre-commit-hooks.yaml")
    return folder


@pytest.fixture
def definitions(tmp_path: pathlib.Path, bookshop_text: str) -> Repository:
    folder = tmp_path / "definitions"
    (folder / "include").mkdir(parents=True)
    (folder / "include" / "bookshop.yaml").write_text(bookshop_text)
    (folder / "include" / "bookshop.production.yaml").write_text("description: For real\n")
    (folder / "compose.yaml").write_text("services:\n  db: {image: mariadb}\n")
    repository = Repository(folder, tmp_path / "home")
    repository.commit(".")
    return repository


def tried(repository: Repository, hooks: pathlib.Path) -> subprocess.CompletedProcess[str]:
    # The hook runs the interpreter's own gantry; what runs the tests may have its package elsewhere.
    return repository.run(
        BIN / "pre-commit", "try-repo", hooks, "gantry-validate", "--all-files", "--verbose"
    )


def test_definitions_that_are_fine_pass(definitions: Repository, hooks: pathlib.Path) -> None:
    answer = tried(definitions, hooks)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "gantry validate" in answer.stdout
    assert "Passed" in answer.stdout
    assert "1 definition in 1 environment: no problems" in answer.stdout


def test_a_commit_with_a_mistake_is_stopped(definitions: Repository, hooks: pathlib.Path) -> None:
    overlay = definitions.folder / "include" / "bookshop.production.yaml"
    overlay.write_text("tiers: {database: {servers: 0}}\n")
    answer = tried(definitions, hooks)
    assert answer.returncode == 1
    assert "include/bookshop.production.yaml:1:29: 0 is less than 1" in answer.stdout
