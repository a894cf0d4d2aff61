"""Profiles: which Airflow, and who we are there."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from gantry.rest import profiles

DEMO = profiles.Profile("demo", "http://127.0.0.1:8080", username="admin", password='a "quoted" \\ päss\x7f')


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"GANTRY_PROFILES": str(tmp_path / "profiles.toml")}


def write(environ: dict[str, str], text: str, mode: int = 0o600) -> Path:
    path = profiles.file(environ)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_file_is_the_named_one_or_stands_in_the_users_configuration(environ: dict[str, str]) -> None:
    assert profiles.file(environ) == Path(environ["GANTRY_PROFILES"])
    assert profiles.file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/gantry/profiles.toml")
    assert profiles.file({}) == Path.home() / ".config/gantry/profiles.toml"


def test_a_written_profile_is_read_back_and_is_private(environ: dict[str, str]) -> None:
    path = profiles.write(DEMO, environ)
    assert profiles.read(environ) == {"demo": DEMO}
    assert path.stat().st_mode & 0o777 == 0o600
    assert "päss" not in repr(DEMO)


def test_writing_and_removing_leaves_the_rest_as_a_person_wrote_it(environ: dict[str, str]) -> None:
    text = '# mine\n[default]\nurl = "https://a.example.com"  # the real one\n'
    path = write(environ, text)
    profiles.write(DEMO, environ)
    profiles.write(dataclasses.replace(DEMO, url="http://127.0.0.1:9000"), environ)
    assert sorted(profiles.read(environ)) == ["default", "demo"]
    assert profiles.read(environ)["demo"].url.endswith(":9000")
    assert path.read_text().startswith(text)
    assert profiles.remove("demo", environ)
    assert path.read_text().rstrip() == text.rstrip()
    assert not profiles.remove("demo", environ)


def test_a_table_in_the_middle_is_replaced_alone(environ: dict[str, str]) -> None:
    write(environ, '[a]\nurl = "http://a"\n\n[demo]\nurl = "http://old"\n[b]\nurl = "http://b"\n')
    profiles.write(DEMO, environ)
    assert {key: each.url for key, each in profiles.read(environ).items()} == {
        "a": "http://a",
        "b": "http://b",
        "demo": DEMO.url,
    }


def test_a_profile_that_is_written_otherwise_is_left_to_its_author(environ: dict[str, str]) -> None:
    path = write(environ, 'demo.url = "http://old"\n[a]\nurl = """\n[demo]\n"""\n')
    before = path.read_text()
    with pytest.raises(profiles.ProfileError):
        profiles.write(DEMO, environ)
    assert path.read_text() == before


def test_a_file_with_secrets_that_others_may_read_is_refused(environ: dict[str, str]) -> None:
    write(environ, '[a]\nurl = "http://a"\ntoken = "x"\n', mode=0o640)
    with pytest.raises(profiles.NotPrivateError, match=r"mode 640.*chmod 600"):
        profiles.read(environ)
    write(environ, '[a]\nurl = "http://a"\nusername = "ada"\n', mode=0o644)
    assert profiles.read(environ)["a"].username == "ada"


def test_which_profile_is_taken(environ: dict[str, str]) -> None:
    assert profiles.choose(None, environ) is None
    write(environ, '[one]\nurl = "http://one"\n')
    assert profiles.choose(None, environ) == profiles.Profile("one", "http://one")
    write(environ, '[one]\nurl = "http://one"\n[two]\nurl = "http://two"\n')
    with pytest.raises(
        profiles.UnknownProfileError,
        match=r"two profiles, one and two in .*: use --profile or GANTRY_PROFILE",
    ):
        profiles.choose(None, environ)
    write(environ, '[one]\nurl = "http://one"\n[default]\nurl = "http://d"\n')
    for given, variable, wanted in (
        (None, None, "default"),
        (None, "one", "one"),
        ("default", "one", "default"),
    ):
        found = profiles.choose(given, {**environ, **({"GANTRY_PROFILE": variable} if variable else {})})
        assert found is not None
        assert found.name == wanted
    with pytest.raises(
        profiles.UnknownProfileError, match="unknown profile 'defualt', did you mean 'default'"
    ):
        profiles.choose("defualt", environ)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a", "is not valid TOML"),
        ('url = "http://a"', "outside of a profile"),
        ('[a]\nurl = "x"\npasword = "y"', "unknown key 'pasword', did you mean 'password'"),
        ("[a]\nurl = 7", "url has to be a text"),
        ('[a]\ntoken = "x"', "lacks its url"),
    ],
)
def test_mistakes_are_named(environ: dict[str, str], text: str, message: str) -> None:
    path = write(environ, text)
    with pytest.raises(profiles.ProfileError, match=message) as found:
        profiles.read(environ)
    assert str(path) in str(found.value)


def test_the_environment_file_gives_connections(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
        "AIRFLOW_CONN_SHOP_SSH": "ssh://a=b@",
        "Q": '"q"',
    }
    path = tmp_path / "demo.env"
    profiles.write_environment(path, variables)
    assert path.stat().st_mode & 0o777 == 0o600
    # A path in the file counts from the file's folder.
    write(environ, '[demo]\nurl = "http://a"\nenvironment_file = "demo.env"\n')
    profile = profiles.choose(None, environ)
    assert profiles.environment(profile) == variables
    assert profiles.environment(None) == {}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_SSH", "mine")
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", "")
    monkeypatch.delenv("AIRFLOW_CONN_AWS_DEFAULT")
    profiles.use_environment(profile)
    assert os.environ["AIRFLOW_CONN_SHOP_SSH"] == "mine"
    assert os.environ["AIRFLOW_CONN_AWS_DEFAULT"] == '{"conn_type": "aws"}'
    path.write_text("# a comment\n\nexport A='quoted'\nB\n")
    with pytest.raises(profiles.ProfileError, match="line 4 is not KEY=VALUE"):
        profiles.environment(profile)
    path.chmod(0o644)
    with pytest.raises(profiles.NotPrivateError):
        profiles.environment(profile)
    path.unlink()
    with pytest.raises(profiles.ProfileError, match="environment file of profile 'demo'"):
        profiles.environment(profile)


def test_a_value_of_two_lines_is_no_line_of_an_environment_file(tmp_path: Path) -> None:
    with pytest.raises(profiles.ProfileError, match="KEY has more than one line"):
        profiles.write_environment(tmp_path / "env", {"KEY": "a\nb"})
