"""Which Airflow, and who asks: options, then the environment, then a profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantry.rest import errors, login, profiles

PROD = "https://airflow.example.com"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"GANTRY_PROFILES": str(tmp_path / "profiles.toml")}


@pytest.fixture
def kept(environ: dict[str, str]) -> dict[str, str]:
    profiles.write(
        profiles.Profile("prod", PROD, username="ada", password="kept", ca_file=Path("/ca.pem")), environ
    )
    return environ


def test_a_profile_says_it_all(kept: dict[str, str]) -> None:
    found = login.find(login.Options(), kept)
    assert (found.url, found.username, found.password, found.ca_file) == (
        PROD,
        "ada",
        "kept",
        Path("/ca.pem"),
    )
    assert found.url_from == found.credentials_from == f"profile 'prod' in {kept['GANTRY_PROFILES']}"
    assert "kept" not in repr(found)


def test_the_environment_goes_before_a_profile_and_options_before_both(
    kept: dict[str, str], tmp_path: Path
) -> None:
    environ = {**kept, "GANTRY_URL": "http://env:8080/", "GANTRY_USERNAME": "eve", "GANTRY_PASSWORD": "env"}
    found = login.find(login.Options(), environ)
    assert (found.url, found.username, found.password) == ("http://env:8080", "eve", "env")
    password = tmp_path / "password"
    password.write_text("typed\n")
    options = login.Options(url="http://option:8080", username="olga", password_file=password)
    found = login.find(options, environ)
    assert (found.url, found.username, found.password) == ("http://option:8080", "olga", "typed")


def test_a_user_of_the_options_goes_before_a_token_of_the_environment(kept: dict[str, str]) -> None:
    environ = {**kept, "GANTRY_TOKEN": "t", "GANTRY_PASSWORD": "env"}
    assert login.find(login.Options(), environ).token == "t"
    found = login.find(login.Options(username="olga"), environ)
    assert (found.token, found.username, found.password) == (None, "olga", "env")
    assert login.find(login.Options(username="olga", token="o"), environ).token == "o"


def test_a_password_is_used_for_its_own_user_only(kept: dict[str, str]) -> None:
    assert login.find(login.Options(username="olga"), kept).password is None
    assert login.find(login.Options(username="ada"), kept).password == "kept"


def test_a_profiles_secrets_are_sent_to_its_own_airflow_only(kept: dict[str, str]) -> None:
    found = login.find(login.Options(url="http://elsewhere:8080", profile="prod"), kept)
    assert (found.username, found.password, found.ca_file) == (None, None, None)
    assert login.find(login.Options(url=f"{PROD}/", profile="prod"), kept).password == "kept"


def test_nobody_needs_a_profile_who_says_it_all(environ: dict[str, str]) -> None:
    Path(environ["GANTRY_PROFILES"]).write_text("[broken")
    said = {**environ, "GANTRY_URL": "http://env:8080", "GANTRY_TOKEN": "t"}
    assert login.find(login.Options(), said).token == "t"
    with pytest.raises(profiles.ProfileError):
        login.find(login.Options(), {**said, "GANTRY_PROFILE": "prod"})


def test_with_several_profiles_and_an_address_none_is_guessed(environ: dict[str, str]) -> None:
    for name in ("one", "two"):
        profiles.write(profiles.Profile(name, f"http://{name}", token="t"), environ)
    assert login.find(login.Options(url="http://three"), environ).token is None
    with pytest.raises(profiles.UnknownProfileError, match="and none is selected"):
        login.find(login.Options(), environ)


def test_nobody_said_which(environ: dict[str, str]) -> None:
    with pytest.raises(errors.NoAirflowError, match=r"--url or GANTRY_URL[\s\S]*profiles.toml"):
        login.find(login.Options(), environ)
    assert not login.is_configured(login.Options(), environ)
    assert login.is_configured(login.Options(), {**environ, "GANTRY_URL": "x"})


def test_whether_it_is_configured_also_if_the_file_is_no_good(environ: dict[str, str]) -> None:
    Path(environ["GANTRY_PROFILES"]).write_text("[broken")
    assert login.is_configured(login.Options(), environ)


@pytest.mark.parametrize("url", ["airflow.example.com", "ftp://a", "http://", "https://ada:secret@a"])
def test_an_address_that_is_none(environ: dict[str, str], url: str) -> None:
    with pytest.raises(errors.UrlError, match="an option"):
        login.find(login.Options(url=url), environ)


def test_the_address_of_the_api_is_that_of_the_ui(environ: dict[str, str]) -> None:
    assert login.find(login.Options(url="http://a/airflow/api/v2"), environ).url == "http://a/airflow"


@pytest.mark.parametrize("content", [None, ""])
def test_a_password_file_without_a_password(
    environ: dict[str, str], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_text(content)
    with pytest.raises(errors.SecretFileError, match="--password-file"):
        login.find(login.Options(url="http://a", password_file=file), environ)
