"""Which tests of chef-client are the stand-in's own: each says why, and the documentation names it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests" / "chef_client"
PAGE = ROOT / "docs" / "configuration-management.md"
_ROW = re.compile(r"^\| `(?P<test>test_[\w.]+)` \| (?P<reason>.+) \|$", re.MULTILINE)


def marks(within: ast.AST) -> Iterator[ast.Call]:
    """Every `pytest.mark.standin(…)` in a piece of code."""
    for node in ast.walk(within):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.standin":
            yield node


def reason(mark: ast.Call) -> str:
    (given,) = mark.args
    assert isinstance(given, ast.Constant), ast.unparse(mark)
    return str(given.value)


def marked() -> Iterator[tuple[str, str]]:
    """Tests, and whole files of tests, with their reasons."""
    for path in sorted(TESTS.glob("test_*.py")):
        for statement in ast.parse(path.read_text(), str(path)).body:
            if isinstance(statement, ast.FunctionDef):
                for decorator in statement.decorator_list:
                    yield from ((statement.name, reason(mark)) for mark in marks(decorator))
            else:
                yield from ((path.name, reason(mark)) for mark in marks(statement))


def test_the_documentation_names_each_of_them_with_its_reason() -> None:
    found = list(marked())
    assert found
    assert [(row["test"], row["reason"]) for row in _ROW.finditer(PAGE.read_text())] == found


def test_every_mark_is_found() -> None:
    written = sum(path.read_text().count("mark.standin(") for path in TESTS.glob("test_*.py"))
    assert len(list(marked())) == written
