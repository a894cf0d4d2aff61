"""The offending line with a caret: readable in a terminal and in a browser, whatever stands in the file."""

from __future__ import annotations

import unicodedata

import hypothesis
import pytest
from hypothesis import strategies

from gantry import definition
from gantry.definition import excerpt


def message(text: str) -> str:
    with pytest.raises(definition.DefinitionError) as raised:
        definition.loads(text, "shop.yaml")
    return str(raised.value)


def test_a_message_has_the_line_with_the_word_marked(bookshop_text: str) -> None:
    assert message(bookshop_text.replace("tier: database", "tier: databse")) == (
        "shop.yaml:19:11: unknown tier 'databse', did you mean 'database'?\n"
        "   19 |     tier: databse\n"
        "      |           ^^^^^^^"
    )


def test_each_problem_has_its_own_line(bookshop_text: str) -> None:
    text = bookshop_text.replace("a1001", "b1001").replace("port: 8000", "port: 80000")
    assert message(text) == (
        "shop.yaml:18:9: 'b1001' is not a service id (a and up to 9 digits, such as a1001)\n"
        "   18 |     id: b1001\n"
        "      |         ^^^^^\n"
        "shop.yaml:27:11: 80000 is more than 65535\n"
        "   27 |     port: 80000\n"
        "      |           ^^^^^"
    )


def test_wide_characters_take_two_columns() -> None:
    assert excerpt.excerpt("a: 日本 x", 7, 7, 1) == "   7 | a: 日本 x\n     |         ^"
    assert excerpt.excerpt("a: 日本", 7, 4, 2) == "   7 | a: 日本\n     |    ^^^^"
    assert excerpt.excerpt("e\u0301: x", 7, 5, 1).endswith("|    ^")


def test_tabs_escapes_and_turned_text_do_no_harm() -> None:
    first, carets = excerpt.excerpt("a:\t\x1b[31m\u202ered\x85 x", 1, 15, 1).split("\n")
    assert first == "   1 | a: ·[31m·red· x"
    assert first[carets.index("^")] == "x"


@pytest.mark.parametrize("column", [1, 300, 599_999, 600_000])
def test_a_long_line_is_cut_around_the_place(column: int) -> None:
    line = "x" * (column - 1) + "!" + "x" * (600_000 - column)
    first, carets = excerpt.excerpt(line, 12, column, 1).split("\n")
    assert first[carets.index("^")] == "!"
    assert len(first) < excerpt.WIDEST + 12
    assert ("x…" in first, "…x" in first) == (column < 599_990, column > 100)


@hypothesis.given(strategies.text(max_size=300), strategies.integers(1, 400), strategies.integers(0, 400))
def test_a_caret_stands_below_whatever_is_there(line: str, column: int, width: int) -> None:
    first, carets = excerpt.excerpt(line, 3, column, width).split("\n")
    assert set(carets.partition("|")[2]) <= {" ", "^"}
    assert "^" in carets
    assert len(carets) < 2 * excerpt.WIDEST + 20
    assert not [each for each in first if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs")]


def test_a_line_ends_where_yaml_says_it_ends() -> None:
    text = "# one\r# two\r\n# three\u2028deployment: [\n"
    assert message(text).startswith("shop.yaml:5:1: not YAML")
    assert excerpt.lines(text) == ["# one", "# two", "# three", "deployment: [", ""]
