"""The command as a whole: what it lists, how it is completed and started, and how it fails."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from gantry.cli import app
from tests.unit.cli.conftest import Gantry

OURS = ("new", "validate", "show", "graph", "schema", "archive")


@pytest.fixture
def project(tmp_path: pathlib.Path, bookshop_text: str, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "bookshop.yaml").write_text(bookshop_text)
    (tmp_path / "include" / "bookshop.production.yaml").write_text("description: For real\n")
    return tmp_path


def completed(line: str, word: str) -> list[str]:
    """What Bash would offer for the last word of a line."""
    environment = {**os.environ, "_GANTRY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": word}
    script = "from gantry import cli; cli.main()"
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    return run.stdout.split()


def test_help_lists_every_command_with_what_it_does(gantry: Gantry) -> None:
    out = gantry("--help").out
    for name in OURS:
        assert f" {name} " in out


@pytest.mark.parametrize("name", OURS)
def test_help_of_a_command_shows_examples(name: str, gantry: Gantry) -> None:
    answer = gantry(name, "--help")
    assert answer.code == 0
    assert "Examples" in answer.out
    assert f"gantry {name} " in answer.out.partition("Examples")[2]
    assert "--install-completion" not in answer.out


def test_a_mistyped_option_is_no_failure_of_a_definition(gantry: Gantry, project: pathlib.Path) -> None:
    assert gantry("validate", "--nothing").code == 64
    assert gantry("show", "bookshop", "--set", "region").code == 64


def test_a_file_that_cannot_be_written_is_named(gantry: Gantry, project: pathlib.Path) -> None:
    answer = gantry("graph", "bookshop", "--output", "nowhere/bookshop.svg")
    assert (answer.code, answer.err) == (1, "nowhere/bookshop.svg: No such file or directory\n")


def test_who_reads_only_the_beginning_is_not_told_that_the_rest_is_lost(project: pathlib.Path) -> None:
    # More than a pipe holds: several hundred thousand characters.
    wrong = "tiers:\n" + "".join(f"  Tier{number}: {{}}\n" for number in range(90))
    for number in range(20):
        (project / "include" / f"wrong{number}.yaml").write_text(wrong)
    command = f"'{sys.executable}' -m gantry validate --json | head -c 20"
    run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ('{\n  "valid": false,\n', "")


def test_the_shell_completes_commands_deployments_and_environments(project: pathlib.Path) -> None:
    assert set(completed("gantry ", "1")) >= set(OURS)
    assert completed("gantry sh", "1") == ["show"]
    assert completed("gantry show boo", "2") == ["bookshop"]
    assert completed("gantry graph --definitions nowhere boo", "4") == []
    assert completed("gantry show bookshop -e ", "4") == ["production"]


def test_it_runs_as_a_module_too(project: pathlib.Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "gantry", "validate"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "1 definition in 1 environment: no problems\n")


def test_help_of_all_commands_loads_nothing_heavy(project: pathlib.Path) -> None:
    """Help imports every command, so each has to keep what it works with for later."""
    script = (
        "import importlib, sys\nfrom gantry.cli import app\n"
        "for name in sys.argv[1:]: importlib.import_module(app.COMMANDS[name])\n"
        "print(sorted({'airflow', 'asyncssh', 'boto3', 'httpx', 'jinja2', 'yaml'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script, *OURS], capture_output=True, text=True, check=False)
    assert run.stdout == "[]\n", run.stderr
    assert set(OURS) <= set(app.COMMANDS)


def test_the_schema_is_printed_or_written(gantry: Gantry, project: pathlib.Path) -> None:
    assert gantry("schema").json["properties"]["deployment"]
    assert "required" not in gantry("schema", "--overlay").json
    assert gantry("schema", "--output", "include/deep/definition.schema.json").code == 0
    assert (project / "include/deep/definition.schema.json").read_text() == gantry("schema").out


def test_a_mistyped_command_is_told_the_right_one(gantry: Gantry) -> None:
    answer = gantry("lunch", "shop")
    assert answer.code == 64
    assert "No such command 'lunch', did you mean 'launch'?" in answer.err
    assert "No such command 'xyzzy'." in gantry("xyzzy").err
