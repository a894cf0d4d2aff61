"""What people read is plain: messages, pages, docstrings and documents are without idioms that readers stumble over."""

from __future__ import annotations

import ast
import pathlib
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping

import pytest

PACKAGE = pathlib.Path(__file__).parents[2] / "plugins" / "gantry"
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(each for each in (PACKAGE / "agent" / "scripts").rglob("*") if each.is_file())
TEMPLATES = sorted(PACKAGE.rglob("*.jinja"))

ROOT = PACKAGE.parents[1]
DOCUMENTS = sorted(
    [*(ROOT / "docs").glob("*.md"), *(ROOT / each for each in ("README.md", "SECURITY.md", "CHANGELOG.md"))]
)
BESIDE = sorted(
    each
    for folder in ("benchmarks", "dags", "docker", "include", "plugins/gantry/agent/scripts")
    for each in (ROOT / folder).rglob("*")
    if each.is_file() and each.suffix not in {".gz", ".pyc"}
)
"""Files beside the package's modules, read with their comments."""

IDIOMS = {
    r"\b[Nn]obody\b": "no user, no server, nothing",
    r"\b[Ss]omebody\b|\b[Aa]nybody\b": "a user",
    r"\b[Ww]hoever\b": "the user who …",
    r"\banew\b": "again",
    r"\b[Mm]end(s|ed|ing)?\b": "fix, repair, correct",
    r"\bfor ever\b": "forever, always",
    r"\b(is|are|was|were) told\b": "receives, gets, knows",
    r"\btell(s)? apart\b|\btold apart\b": "distinguish",
    r"\bgoes away by itself\b": "passes, is released",
    r"\bword counts\b": "… applies",
    r"\blog( of [^.]*)? says more\b": "for details, see the log",
}
"""Patterns that stand nowhere, and what to write instead."""

RIDDLES = {
    **IDIOMS,
    r"(?<![Tt]here )\bis no (?!longer|more\b)": "is not a …",
    r"(?<![Tt]here )\bis none\b(?! (else|%\}))": "is not one of …",
    r"\bnobody known\b": "an unknown user",
    r"\b[Hh]anded facts\b": "configuration",
}
"""Patterns, and what to write instead."""


def texts(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The string constants of a module that are no docstrings: (line, text)."""
    tree = ast.parse(path.read_text(), str(path))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.lineno, node.value


def docstrings(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The docstrings of a module, and of what is in it, its attributes too: (line, text)."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)


def riddles(said: Iterable[tuple[int, str]], patterns: Mapping[str, str] = RIDDLES) -> list[str]:
    return [
        f"line {line}: {text.strip()!r}: rather {rather!r}"
        for line, text in said
        for pattern, rather in patterns.items()
        if re.search(pattern, text)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_messages_say_what_something_is_not_in_plain_words(path: pathlib.Path) -> None:
    assert riddles(texts(path)) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_have_no_idioms(path: pathlib.Path) -> None:
    assert riddles(docstrings(path), IDIOMS) == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_comments_have_none(path: pathlib.Path) -> None:
    with path.open("rb") as file:
        tokens = [each for each in tokenize.tokenize(file.readline) if each.type == tokenize.COMMENT]
    assert riddles(((each.start[0], each.string) for each in tokens), IDIOMS) == []


@pytest.mark.parametrize("path", BESIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_neither_have_scripts_examples_images_and_benchmarks(path: pathlib.Path) -> None:
    assert riddles(enumerate(path.read_text().splitlines(), start=1), IDIOMS) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_documentation_has_none_either(path: pathlib.Path) -> None:
    # The names of tests and links are no prose.
    text = re.sub(r"`[^`]*`|\]\([^)]*\)|#\S+", "", path.read_text())
    assert riddles(enumerate(text.splitlines(), start=1), IDIOMS) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_so_do_those_of_the_scripts_on_servers(path: pathlib.Path) -> None:
    lines = enumerate(path.read_text().splitlines(), start=1)
    assert riddles((number, line) for number, line in lines if not line.lstrip().startswith("#")) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_so_do_pages(path: pathlib.Path) -> None:
    # What Jinja computes is not read by anybody.
    text = re.sub(
        r"\{[%#{].*?[%#}]\}",
        lambda found: "\n" * found.group().count("\n"),
        path.read_text(),
        flags=re.DOTALL,
    )
    assert riddles(enumerate(text.splitlines(), start=1)) == []


def test_a_riddle_is_noticed() -> None:
    assert riddles([(3, "'many' is no whole number")]) == [
        "line 3: \"'many' is no whole number\": rather 'is not a …'"
    ]
    assert riddles([(1, "Mend it, or whoever made it.")], IDIOMS) != []
    assert riddles([(1, "there is no such run"), (2, "it is no longer there"), (3, "There is none.")]) == []
