"""The documentation says what is there: every key of a definition, files that exist, examples that load, commands."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import pydantic
import pytest
import typer.main
import yaml

from gantry import definition, plan
from gantry.cli import app
from gantry.definition import models

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "include").rglob("*.md")])
BASE = Path(__file__).with_name("bookshop.yaml")
"""What the parts of definitions that pages show are put into."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> Iterator[str]:
    """The code blocks of a page in one language, without their indentation."""
    for indent, body in re.findall(
        rf"^([ ]*)```{language}\n(.*?)^\1```$", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        yield "\n".join(line.removeprefix(indent) for line in body.split("\n"))


def reference() -> types.ModuleType:
    return generator("generate_reference")


def generator(name: str) -> types.ModuleType:
    """A script of `docs/`, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_models_say() -> None:
    made = reference().page()
    assert (ROOT / "docs" / "definition-reference.md").read_text() == made, (
        "run .venv/bin/python docs/generate_reference.py"
    )


def test_the_drawing_of_the_rooms_is_what_the_imports_say() -> None:
    made = generator("generate_rooms").page()
    assert (ROOT / "docs" / "architecture.md").read_text() == made, (
        "run .venv/bin/python docs/generate_rooms.py"
    )


def test_each_room_has_its_line_in_the_table() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    told = {
        name
        for line in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)/`", line)
    }
    assert told == set(generator("generate_rooms").rooms())


def test_the_journeys_lead_through_files_and_names_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    journeys = text.partition("## Four journeys")[2].partition("\n## ")[0]
    steps = re.findall(r"^\d+\. (.*)$", journeys, re.MULTILINE)
    assert len(steps) > 20
    for step in steps:
        file: Path | None = None
        for name in re.findall(r"`([^`]+)`", step.partition(": ")[0]):
            if "/" in name:
                file = ROOT / "plugins" / "gantry" / name
                assert file.is_file(), step
            else:
                assert file is not None, step
                assert re.search(rf"^(async )?(def|class)? *{name}\b", file.read_text(), re.MULTILINE), step


def test_every_key_has_a_description_and_an_example_that_is_a_value_of_it() -> None:
    for path, model in reference().sections():
        for key, field in model.model_fields.items():
            place = f"{path}.{key}"
            assert field.description, place
            assert field.examples, place
            kind: Any = pydantic.TypeAdapter(cast("Any", Annotated[field.annotation, field]))
            for example in field.examples:
                kind.validate_python(example)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    assert "../shared" not in text
    targets = re.findall(r'\]\(([^)\s]+)\)|src="([^"]+)"', text)
    for target in (one or other for one, other in targets):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(docs/([\w-]+\.md)", (ROOT / "README.md").read_text()))
    # `index.md` is what stands in its place where the documentation is built.
    assert linked == {each.name for each in (ROOT / "docs").glob("*.md")} - {"index.md"}


@each_page
def test_definitions_in_the_documentation_load(page: Path) -> None:
    text = page.read_text()
    # An overlay is no definition; those of the page about them are read by its own test.
    whole = re.findall(
        r"(?<!overlay\.schema\.json\n)^(deployment: .*?)^(?:```|END)$", text, re.MULTILINE | re.DOTALL
    )
    for example in whole:
        definition.loads(example, str(page))


def test_the_readme_shows_the_errors_that_its_definition_would_get() -> None:
    page = ROOT / "README.md"
    text = next(blocks(page, "yaml"))
    wrong = text.replace("db.catalog]", "db.catalogue]").replace("tier: application\n", "tier: aplication\n")
    with pytest.raises(definition.DefinitionError) as raised:
        definition.loads(wrong, "bookshop.yaml")
    assert str(raised.value) in page.read_text()


@each_page
def test_parts_of_definitions_in_the_documentation_load_within_a_whole_one(page: Path) -> None:
    for block in blocks(page, "yaml"):
        # A block of comments alone shows where they stand.
        part = yaml.safe_load(block) or {}
        if "deployment" in part or "repos" in part:
            continue
        unknown = set(part) - set(models.Definition.model_fields)
        assert not unknown, f"{page.name}: {unknown} in\n{block}"
        definition.loads(yaml.safe_dump(merged(yaml.safe_load(BASE.read_text()), part)), str(page))


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A whole definition with what a part says: its tiers, services and so on are added, or take others' places."""
    result = dict(whole)
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(whole.get(key), dict)
        result[key] = {**whole[key], **value} if both else value
    return result


_OURS = r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:gantry|make|python -m gantry\S*) "


def commands(page: Path) -> Iterator[list[str]]:
    """Every command line of ours that a page shows, in blocks and in the middle of a sentence, as words."""
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(rf"^ *(?:\$ )?({_OURS}.*)$", text, re.MULTILINE)
    for line in [*lines, *re.findall(rf"`({_OURS}[^`\n]*)`", text)]:
        words = shlex.split(line, comments=True)
        while re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        yield [words[0].removeprefix(".venv/bin/"), *words[1:]]


@each_page
def test_commands_in_the_documentation_are_understood(page: Path) -> None:
    for words in commands(page):
        match words:
            case ["gantry", *arguments]:
                understood(arguments)
            case ["make", target, *_] if re.fullmatch(r"[a-z]+", target):
                assert f"\n{target}:" in (ROOT / "Makefile").read_text(), words
            case ["python", "-m", module, *_] if module.startswith("gantry"):
                assert importlib.util.find_spec(module), words


def understood(arguments: list[str]) -> None:
    """Have the command line parse these arguments, without doing anything. Placeholders are arguments too."""
    is_shortened = any("…" in each for each in arguments)
    arguments = [re.sub(r"^\[|\]$", "", each) for each in arguments if "…" not in each and each != "|"]
    for end in ("&&", "||", ";", ">", "<", "2>"):
        if end in arguments:
            arguments = arguments[: arguments.index(end)]
    command: Any = typer.main.get_command(app.app)
    context = command.make_context("gantry", list(arguments), resilient_parsing=True)
    words = arguments
    while hasattr(command, "resolve_command"):
        assert words, f"no command: gantry {arguments}"
        name, command, words = command.resolve_command(context, words)
        assert command is not None, f"unknown command: gantry {arguments}"
        # A command's bare name in a sentence is not a call of it.
        is_mentioned = hasattr(command, "resolve_command") or not words or is_shortened
        context = command.make_context(name, list(words), parent=context, resilient_parsing=is_mentioned)


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="unknown command: gantry"):
        understood(["lanch", "bookshop"])


def test_the_picture_of_a_plan_is_what_the_command_draws(tmp_path: Path) -> None:
    drawn = tmp_path / "plan.svg"
    subprocess.run(
        [sys.executable, "-m", "gantry", "graph", "bookshop", "--output", str(drawn)], cwd=ROOT, check=True
    )
    assert (ROOT / "docs" / "images" / "plan.svg").read_text() == drawn.read_text(), (
        "run .venv/bin/gantry graph bookshop --output docs/images/plan.svg"
    )


def test_every_operation_s_button_is_on_the_page_about_pages() -> None:
    text = (ROOT / "docs" / "pages.md").read_text()
    buttons = [each.title for each in plan.OPERATIONS.values() if not each.read_only]
    assert [each for each in buttons if f"**{each}**" not in text] == []


def test_every_operation_that_leaves_a_record_is_on_the_page_about_history() -> None:
    (row,) = re.findall(r"^\| `operation`.*$", (ROOT / "docs" / "history.md").read_text(), re.MULTILINE)
    recorded = {each.value for each, facts in plan.OPERATIONS.items() if not facts.read_only}
    assert set(re.findall(r"`(\w+)`", row)) == recorded | {"operation", "run"}


def test_the_changelog_says_what_is_not_released_yet_and_then_each_version_the_newest_first() -> None:
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", each) for each in heads[1:]]
    versions = [tuple(map(int, each.groups())) for each in released if each is not None]
    assert len(versions) == len(released)
    assert versions == sorted(versions, reverse=True)
    kinds = set(re.findall(r"^### (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_versions_that_it_runs_on_are_those_that_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "docs" / "versions.md").read_text()
    pythons = [each.rpartition(" ")[2] for each in project["classifiers"] if "Python :: 3." in each]
    assert f"| Python | {', '.join(pythons)} |" in text
    (bound,) = [each for each in project["dependencies"] if each.startswith("apache-airflow>")]
    ((minor, lowest),) = re.findall(r"^\| Airflow \| (\S+), from (\S+) \|", text, re.MULTILINE)
    assert f">={lowest}," in bound
    assert lowest.startswith(f"{minor}.")


def test_the_documentation_builds_strictly(tmp_path: Path) -> None:
    built = subprocess.run(
        [
            str(Path(sys.executable).with_name("mkdocs")),
            "build",
            "--strict",
            "--site-dir",
            str(tmp_path / "site"),
        ],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    pages = {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert {page.stem for page in (tmp_path / "site").glob("*.html")} == pages | {"404"}
