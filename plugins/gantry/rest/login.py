"""Selection of Airflow and credentials: options take precedence over the environment, and that over a profile."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from gantry import errors as root
from gantry.rest import errors, profiles

URL, TOKEN, USERNAME, PASSWORD = "GANTRY_URL", "GANTRY_TOKEN", "GANTRY_USERNAME", "GANTRY_PASSWORD"
CA_FILE = "GANTRY_CA_FILE"


@dataclasses.dataclass(frozen=True)
class Options:
    """The options of the command line; none of them is required."""

    url: str | None = None
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    profile: str | None = None


@dataclasses.dataclass(frozen=True)
class AirflowLogin:
    """An Airflow and the credentials for it: a token, or a user and a password that are exchanged for one.

    Attributes:
        url: the UI's URL, without a trailing slash.
        url_from, credentials_from: their sources, for error messages.
    """

    url: str
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ca_file: Path | None = None
    url_from: str = "given"
    credentials_from: str = "given"


@dataclasses.dataclass(frozen=True)
class _Level:
    """The values from one source."""

    source: str
    url: str | None
    token: str | None = dataclasses.field(repr=False)
    username: str | None
    password: str | None = dataclasses.field(repr=False)
    ca_file: Path | None

    @property
    def has_credentials(self) -> bool:
        """Return whether it has credentials."""
        return bool(self.token or self.username)


def is_configured(options: Options, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether an Airflow is configured. An unreadable profile is reported by `find`."""
    try:
        return bool(options.url or environ.get(URL) or profiles.choose(options.profile, environ))
    except root.GantryError:
        return True


def find(options: Options, environ: Mapping[str, str] = os.environ) -> AirflowLogin:
    """Return the Airflow and the credentials for it.

    A profile's secrets are sent to that profile's URL only.

    Raises:
        NoAirflowError: none is configured.
        UrlError, SecretFileError: the configuration is invalid.
        ProfileError, UnknownProfileError: as `profiles.choose`.
    """
    levels = [_of_options(options), _of_environment(environ)]
    told = next((each for each in levels if each.url), None)
    named = bool(options.profile or environ.get(profiles.CHOICE))
    if named or told is None or not any(each.has_credentials for each in levels):
        levels += _of_profile(options, environ, told, required=named or told is None)
        told = told or next((each for each in levels if each.url), None)
    if told is None or told.url is None:
        raise errors.NoAirflowError(profiles.file(environ))
    who = next((each for each in levels if each.has_credentials), told)
    username = None if who.token else who.username
    passwords = (each.password for each in levels if each.password and each.username in (None, username))
    return AirflowLogin(
        url=_checked(told.url, told.source),
        token=who.token,
        username=username,
        password=next(passwords, None) if username else None,
        ca_file=next((each.ca_file for each in levels if each.ca_file), None),
        url_from=told.source,
        credentials_from=who.source,
    )


def _checked(url: str, source: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise errors.UrlError(url, source)
    return url.rstrip("/").removesuffix("/api/v2")


def _of_options(options: Options) -> _Level:
    password = None
    if options.password_file is not None:
        try:
            password = options.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise errors.SecretFileError("--password-file", options.password_file, str(error)) from error
        if not password:
            raise errors.SecretFileError("--password-file", options.password_file, "is empty")
    return _Level("an option", options.url, options.token, options.username, password, options.ca_file)


def _of_environment(environ: Mapping[str, str]) -> _Level:
    ca_file = environ.get(CA_FILE)
    return _Level(
        "the environment",
        environ.get(URL) or None,
        environ.get(TOKEN) or None,
        environ.get(USERNAME) or None,
        environ.get(PASSWORD) or None,
        Path(ca_file) if ca_file else None,
    )


def _of_profile(
    options: Options, environ: Mapping[str, str], told: _Level | None, *, required: bool
) -> list[_Level]:
    try:
        found = profiles.choose(options.profile, environ)
    except profiles.UnknownProfileError:
        if required:
            raise
        return []
    if found is None or (told is not None and str(told.url).rstrip("/") != found.url.rstrip("/")):
        # Its secrets are for another Airflow.
        return []
    source = f"profile {found.name!r} in {profiles.file(environ)}"
    return [_Level(source, found.url, found.token, found.username, found.password, found.ca_file)]
