"""`gantry validate`: everything that is wrong, at once, with its place."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest

from tests.unit.cli.conftest import Gantry


@pytest.fixture
def shop(tmp_path: pathlib.Path, bookshop_text: str, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A project whose definition is fine, in a folder with YAML of other kinds."""
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path("include", "bookshop.yaml")
    path.parent.mkdir()
    path.write_text(bookshop_text)
    pathlib.Path("include", "compose.yaml").write_text("services:\n  db: {image: mariadb}\n")
    return path


def overlay(shop: pathlib.Path, environment: str, text: str) -> pathlib.Path:
    path = shop.with_name(f"{shop.stem}.{environment}.yaml")
    path.write_text(text)
    return path


def test_what_is_fine_is_said_on_one_line(gantry: Gantry, shop: pathlib.Path) -> None:
    assert gantry("validate", shop) == gantry("validate", "include") == gantry("validate")
    answer = gantry("validate")
    assert (answer.code, answer.out, answer.err) == (0, "1 definition: no problems\n", "")


def test_all_problems_of_all_files_come_at_once_with_excerpts(
    gantry: Gantry, shop: pathlib.Path, bookshop_text: str
) -> None:
    shop.write_text(bookshop_text.replace("tier: database", "tier: databse"))
    other = shop.with_name("other.yaml")
    other.write_text("deployment: Other\ntiers: 7\n")

    answer = gantry("validate", shop, other)

    assert (answer.code, answer.out) == (1, "")
    lines = answer.err.splitlines()
    place = next(number for number, line in enumerate(lines) if "unknown tier 'databse'" in line)
    assert lines[place].startswith("include/bookshop.yaml:")
    assert lines[place].endswith("did you mean 'database'?")
    assert lines[place + 1].endswith("tier: databse")
    assert lines[place + 2].strip(" |") == "^^^^^^^"
    assert any(line.startswith("include/other.yaml:1:13: 'Other' is not a name") for line in lines)
    assert any(line.startswith("include/other.yaml:2:8: ") for line in lines)
    assert lines[-1].endswith("problems in 2 definitions")


def test_a_program_gets_file_line_column_and_message(gantry: Gantry, shop: pathlib.Path) -> None:
    shop.write_text("deployment: Shop\n")
    answer = gantry("validate", shop, "--json")
    assert (answer.code, answer.err) == (1, "")
    assert answer.json["valid"] is False
    assert answer.json["checked"] == [{"file": "include/bookshop.yaml", "environment": None}]
    first = answer.json["problems"][-1]
    assert (first["file"], first["line"], first["column"]) == ("include/bookshop.yaml", 1, 13)
    assert first["message"].startswith("'Shop' is not a name")
    assert "^^^^" in first["excerpt"]


def test_an_overlay_is_checked_together_with_its_definition(gantry: Gantry, shop: pathlib.Path) -> None:
    overlay(shop, "production", "tiers: {application: {servers: 0}}\n")
    staging = overlay(shop, "staging", "tiers: {aplication: {servers: 1}}\n")

    everything = gantry("validate")
    assert everything.code == 1
    assert "include/bookshop.production.yaml:1:" in everything.err
    assert "include/bookshop.staging.yaml:1:" in everything.err
    assert everything.err.endswith("in 1 definition in 2 environments\n")

    alone = gantry("validate", staging, "--json")
    assert alone.json["checked"] == [{"file": "include/bookshop.yaml", "environment": "staging"}]


def test_a_problem_of_every_environment_is_said_once(gantry: Gantry, shop: pathlib.Path) -> None:
    overlay(shop, "production", "description: For real\n")
    shop.write_text(shop.read_text().replace("port: 8000", "port: 80000"))
    answer = gantry("validate")
    assert answer.err.count("80000 is more than 65535") == 1
    assert answer.err.splitlines()[-1] == "1 problem in 1 definition in 1 environment"


def test_a_problem_that_shows_in_one_environment_says_in_which(gantry: Gantry, shop: pathlib.Path) -> None:
    overlay(shop, "small", "load_balancers: null\ntiers: {proxy: null}\nservices: {db: null}\n")
    overlay(shop, "production", "description: For real\n")
    answer = gantry("validate")
    assert "include/bookshop.yaml:" in answer.err.splitlines()[0]
    assert answer.err.splitlines()[0].endswith("(in environment small)")


def test_a_definition_that_only_overlays_complete_need_not_stand_alone(
    gantry: Gantry, shop: pathlib.Path
) -> None:
    text = shop.read_text().replace("region: eu-central-1", 'region: "${region}"')
    shop.write_text(f"{text}variables: {{region: {{type: string}}}}\n")
    assert "the variable 'region' has no value" in gantry("validate").err
    assert gantry("validate", "--set", "region=eu-west-1").code == 0
    overlay(shop, "production", "variables: {region: eu-west-1}\n")
    assert gantry("validate").code == 0


def test_a_setting_goes_to_the_definitions_that_know_it(gantry: Gantry, shop: pathlib.Path) -> None:
    text = shop.read_text().replace("deployment: bookshop", "deployment: sized")
    shop.with_name("sized.yaml").write_text(f"{text}variables: {{size: 3}}\n")
    assert gantry("validate", "--set", "size=4").code == 0
    assert "'many' is not a whole number" in gantry("validate", "--set", "size=many").err
    assert "unknown variable 'sise'" in gantry("validate", "--set", "sise=4").err


def test_a_folder_without_definitions_is_not_taken_for_fine(gantry: Gantry, shop: pathlib.Path) -> None:
    shop.unlink()
    answer = gantry("validate", "include")
    assert (answer.code, answer.err.partition(".")[0]) == (1, "include holds no definitions")
    assert "there is no such file" in gantry("validate", "nowhere.yaml").err.lower() or "cannot be read" in (
        gantry("validate", "nowhere.yaml").err
    )


def test_a_hook_may_name_files_of_other_kinds(gantry: Gantry, shop: pathlib.Path) -> None:
    other = shop.with_name("compose.yaml")
    assert gantry("validate", shop, other).code == 1
    answer = gantry("validate", "--only-definitions", shop, other)
    assert (answer.code, answer.out) == (0, "1 definition: no problems\n")
    assert gantry("validate", "--only-definitions", other).code == 0


def test_neither_airflow_nor_a_cloud_is_loaded_for_it(shop: pathlib.Path) -> None:
    script = (
        "import sys\nfrom gantry import cli\n"
        "try: cli.main()\nexcept SystemExit as ended: code = ended.code\n"
        "print(code, sorted({'airflow', 'boto3', 'asyncssh', 'httpx'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, "validate", shop], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "1 definition: no problems\n0 []\n"


def test_one_name_in_two_definitions_is_said_with_the_second_whatever_order_they_are_named_in(
    gantry: Gantry, shop: pathlib.Path, bookshop_text: str
) -> None:
    other = shop.with_name("another.yaml")
    other.write_text(bookshop_text)
    # The environments of one definition may share its name.
    overlay(shop, "staging", "tags: [staging]\n")
    for wanted in ((shop, other), (other, shop), ("include",)):
        answer = gantry("validate", *wanted)
        assert answer.code == 1
        (said,) = [line for line in answer.err.splitlines() if "already" in line]
        assert said.startswith(
            "include/bookshop.yaml:2:13: include/another.yaml has a deployment 'bookshop' already"
        )
    overlay(other, "staging", "deployment: elsewhere\n")
    other.write_text(bookshop_text.replace("deployment: bookshop", "deployment: elsewhere"))
    assert gantry("validate").code == 0
