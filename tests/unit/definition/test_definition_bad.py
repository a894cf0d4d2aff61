"""Every way to write a definition wrongly: one file each in `bad/`, ending with what a person is told."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from gantry import definition
from gantry.definition import source

BAD = sorted(pathlib.Path(__file__).with_name("bad").glob("*.yaml"))
EXPECTED = "# expected: "


def told(text: str) -> list[str]:
    """What a person is told about a text, one line a problem, without the file's name."""
    with pytest.raises(definition.DefinitionError) as raised:
        definition.loads(text, "shop.yaml")
    parts = [part for each in raised.value.problems for part in (str(each), each.excerpt) if part]
    assert str(raised.value) == "\n".join(parts)
    return [str(each).removeprefix("shop.yaml:") for each in raised.value.problems]


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_a_bad_definition_is_refused_with_line_column_and_words(path: pathlib.Path) -> None:
    lines = path.read_text().splitlines()
    expected = [line.removeprefix(EXPECTED) for line in lines if line.startswith(EXPECTED)]
    assert expected, f"{path} must end with lines that begin with {EXPECTED!r}"
    with pytest.raises(definition.DefinitionError) as raised:
        definition.load(path)
    assert [str(each).removeprefix(f"{path}:") for each in raised.value.problems] == expected


def test_there_is_a_case_for_each_kind_of_mistake() -> None:
    assert len(BAD) > 100


def test_a_hundred_thousand_levels_do_not_end_the_process() -> None:
    # In a process of its own: the fault to be noticed is a stack overflow in C.
    script = (
        "import sys; from gantry import definition\n"
        "for text in ('a: ' + '[' * 100_000, 'a: ' + '[' * 100_000 + ']' * 100_000, '{' * 100_000,\n"
        "             '- ' * 100_000, '? ' * 100_000):\n"
        "    try: definition.loads(text)\n"
        "    except definition.DefinitionError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("nested more than 40 levels deep\n") == 5


def test_a_file_of_more_than_a_megabyte_is_refused_unread(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("#" * (source.LARGEST_FILE + 1))
    with pytest.raises(definition.DefinitionError, match=r"large\.yaml:1:1: larger than 1,000,000 bytes"):
        definition.load(path)
    assert told("#" * (source.LARGEST_FILE + 1)) == ["1:1: larger than 1,000,000 bytes"]


def test_a_file_that_is_not_utf8_is_refused_at_the_first_bad_byte(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("deployment: shop\ndescription: é ".encode() + "é\n".encode("latin-1"))
    with pytest.raises(definition.DefinitionError, match=r"latin\.yaml:2:16: not UTF-8"):
        definition.load(path)


def test_a_file_that_is_absent_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(definition.DefinitionError, match=r"none\.yaml:1:1: cannot be read: No such file"):
        definition.load(tmp_path / "none.yaml")
    with pytest.raises(definition.DefinitionError, match="cannot be read: Is a directory"):
        definition.load(tmp_path)


def test_an_empty_text_holds_no_definition() -> None:
    assert told("") == ["1:1: the file holds no definition"]


def test_half_a_surrogate_pair_is_refused() -> None:
    assert told("deployment: \ud800") == ["1:13: not Unicode: half of a surrogate pair"]


def test_a_file_full_of_mistakes_is_answered_with_the_first_hundred(bookshop_text: str) -> None:
    mistakes = "".join(
        f"  service-{number}: {{id: x, tier: 1, archive: {'y' * 500}}}\n" for number in range(500)
    )
    problems = told(bookshop_text.replace("services:\n", f"services:\n{mistakes}"))
    assert len(problems) == source.MOST_PROBLEMS
    assert max(len(each) for each in problems) < 200


def test_a_chain_of_a_thousand_services_is_followed_and_its_circle_named(bookshop_text: str) -> None:
    chain = "".join(
        f"  s{number}: {{id: a{number}, tier: database, archive: s3://shop/a.tar, depends_on: [s{number + 1}]}}\n"
        for number in range(1000)
    )
    last = "  s1000: {id: a90000, tier: database, archive: s3://shop/a.tar, depends_on: [s998]}\n"
    text = bookshop_text.replace(
        "load_balancers:", f"{chain.replace('a1001', 'b').replace('a1002', 'b')}{last}load_balancers:"
    )
    (problem,) = told(text)
    assert problem.endswith("the services depend on each other in a circle: s998 → s999 → s1000 → s998")


def test_more_names_than_a_server_can_be_told_at_once_are_refused_where_they_stand() -> None:
    text = (
        "deployment: d\ncloud: {region: eu-central-1}\nlaunch_configurations: {c: {image: i, ssh: {connection: s}}}\n"
        "tiers: {t: {launch_configuration: c, servers: 1}, u: {launch_configuration: c, servers: 1}}\n"
        "services: {v: {id: a1, tier: t, archive: s3://shop/k.zip, port: 80, protocol: http}}\n"
        "load_balancers:\n  front: {tier: u, service: v, name: shop.example.com, aliases: [ALIASES]}\n"
    )
    few = ", ".join(f"shop-{number:04}.example.com" for number in range(4000))
    assert definition.loads(text.replace("ALIASES", few)).load_balancers
    many = ", ".join(f"shop-{number:04}.example.com" for number in range(5000))
    with pytest.raises(
        definition.DefinitionError, match=r":7:\d+: these are 5001 names of 110017 characters"
    ):
        definition.loads(text.replace("ALIASES", many))
