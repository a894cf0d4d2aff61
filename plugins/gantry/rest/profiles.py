"""Profiles: a file with URLs and credentials, with one table for each Airflow that a user works with.

[production]
url = "https://airflow.example.com"
username = "ada"
password = "…"
environment_file = "/home/ada/.config/gantry/production.env"
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gantry import errors

VARIABLE = "GANTRY_PROFILES"
"""The environment variable that names the file."""

CHOICE = "GANTRY_PROFILE"
"""The environment variable that chooses a profile."""

DEFAULT = "default"
"""The profile used if several exist and none is selected."""

_COUNTS = {2: "two", 3: "three", 4: "four"}
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_TABLE = re.compile(r"\s*\[\s*\"?(?P<name>[A-Za-z0-9_-]+)\"?\s*\]\s*(#.*)?")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_PRIVATE = 0o600
_PATHS = ("ca_file", "environment_file")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class ProfileError(errors.GantryError):
    """A profile file or an environment file is unusable."""

    def __init__(self, file: Path, problem: str) -> None:
        self.file = file
        super().__init__(f"{file}: {problem}")


class NotPrivateError(ProfileError):
    """A file with secrets is readable by others."""

    def __init__(self, file: Path, mode: int) -> None:
        self.mode = mode
        super().__init__(
            file, f"holds secrets, and others may read it (mode {mode:o}). Close it with: chmod 600 {file}"
        )


class UnknownProfileError(errors.GantryError):
    """No profile has that name, or several exist and none is selected."""

    def __init__(self, file: Path, wanted: str | None, known: list[str]) -> None:
        self.wanted = wanted
        self.known = known
        kept = f"{file} has {', '.join(known) or 'none'}"
        if wanted is None:
            *others, last = known
            several = f"{_COUNTS.get(len(known), len(known))} profiles, {', '.join(others)} and {last}"
            text = f"there are {several} in {file}, and none is selected: use --profile or {CHOICE}"
        else:
            near = errors.near(wanted, known)
            text = f"unknown profile {wanted!r}{f', did you mean {near!r}?' if near else ''} ({kept})"
        super().__init__(text)


@dataclasses.dataclass(frozen=True)
class Profile:
    """One Airflow, and the credentials for it.

    Attributes:
        url: the UI's URL; the API is below it.
        token: the API token; or else `username` and `password`, which are exchanged for one.
        ca_file: certificates (PEM) of the authority that signed the server's, if the system does not trust it.
        environment_file: `KEY=VALUE` lines with connections (`AIRFLOW_CONN_…`), for commands that access the cloud or
            a server without Airflow.
    """

    name: str
    url: str
    token: str | None = dataclasses.field(default=None, repr=False)
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)
    ca_file: Path | None = None
    environment_file: Path | None = None


def file(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of profiles: `$GANTRY_PROFILES`, or `gantry/profiles.toml` in the user's configuration."""
    if named := environ.get(VARIABLE):
        return Path(named).expanduser()
    home = environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "gantry" / "profiles.toml"


def read(environ: Mapping[str, str] = os.environ) -> dict[str, Profile]:
    """Return all profiles, by name; empty if there is no file.

    Raises:
        ProfileError: it is not TOML, or has an invalid key or value.
        NotPrivateError: it has a token or a password, and is readable by others.
    """
    path = file(environ)
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(path, f"cannot be read: {error}") from error
    found = _parsed(path, text)
    if mode & _OTHERS and any(each.token or each.password for each in found.values()):
        raise NotPrivateError(path, mode)
    return found


def choose(name: str | None = None, environ: Mapping[str, str] = os.environ) -> Profile | None:
    """Return the profile of that name; by default the one in `$GANTRY_PROFILE`, or the only one, or `default`.

    None if there is no file and none is requested.

    Raises:
        UnknownProfileError: it does not exist, or the choice is ambiguous.
        ProfileError: as `read`.
    """
    found = read(environ)
    wanted = name or environ.get(CHOICE) or None
    if wanted is None and not found:
        return None
    if wanted is None:
        wanted = next(iter(found)) if len(found) == 1 else DEFAULT
        if wanted not in found:
            raise UnknownProfileError(file(environ), None, sorted(found))
    if wanted not in found:
        raise UnknownProfileError(file(environ), wanted, sorted(found))
    return found[wanted]


def write(profile: Profile, environ: Mapping[str, str] = os.environ) -> Path:
    """Store a profile, replacing one of the same name. The rest of the file is unchanged. Return its path.

    Raises:
        ProfileError: it cannot be written.
    """
    if not _NAME.fullmatch(profile.name):
        raise ProfileError(
            file(environ), f"{profile.name!r} is not a valid name of a profile: use letters, digits, - and _"
        )
    values = {field.name: getattr(profile, field.name) for field in dataclasses.fields(profile)[1:]}
    lines = [f"{key} = {_quoted(str(value))}" for key, value in values.items() if value is not None]
    return _edit(environ, profile.name, "\n".join([f"[{profile.name}]", *lines, ""]))


def remove(name: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Remove a profile; return whether it existed."""
    if not file(environ).exists() or name not in read(environ):
        return False
    _edit(environ, name, "")
    return True


def environment(profile: Profile | None) -> dict[str, str]:
    """Return the variables of a profile's environment file; empty if it names no file.

    Raises:
        ProfileError: the file does not exist, or a line of it is not `KEY=VALUE`.
        NotPrivateError: it is readable by others.
    """
    if profile is None or profile.environment_file is None:
        return {}
    path = profile.environment_file
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(
            path, f"the environment file of profile {profile.name!r} cannot be read: {error}"
        ) from error
    if mode & _OTHERS:
        raise NotPrivateError(path, mode)
    found = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.removeprefix("export ").partition("=")
        if not equals or not key.strip().isidentifier():
            # The line itself is not shown: it may contain a secret.
            raise ProfileError(path, f"line {number} is not KEY=VALUE")
        found[key.strip()] = _unquoted(value.strip())
    return found


def use_environment(profile: Profile | None) -> None:
    """Make connections from a profile's environment file available in this process.

    Existing variables take precedence.
    """
    for key, value in environment(profile).items():
        os.environ.setdefault(key, value)


def write_environment(path: Path, variables: Mapping[str, str]) -> None:
    """Write an environment file that only its owner may read.

    Raises:
        ProfileError: a value has more than one line.
    """
    for key, value in variables.items():
        if "\n" in value or "\r" in value:
            raise ProfileError(path, f"the value of {key} has more than one line")
    # A quoted value gets another pair of quotes, which reading removes.
    quotes = {key: '"' if value[:1] in ("'", '"') else "" for key, value in variables.items()}
    _replace(path, "".join(f"{key}={quotes[key]}{value}{quotes[key]}\n" for key, value in variables.items()))


def _parsed(path: Path, text: str) -> dict[str, Profile]:
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(path, f"is not valid TOML: {error}") from error
    return {name: _profile(path, name, table) for name, table in tables.items()}


def _profile(path: Path, name: str, table: Any) -> Profile:  # noqa: ANN401 - whatever TOML can say
    if not isinstance(table, dict):
        raise ProfileError(path, f"{name!r} is outside of a profile; begin one with [NAME]")
    known = [field.name for field in dataclasses.fields(Profile)[1:]]
    for key, value in table.items():
        if key not in known:
            raise ProfileError(path, f"profile {name!r}: unknown key {key!r}{errors.suggestion(key, known)}")
        if not isinstance(value, str) or not value:
            raise ProfileError(path, f"profile {name!r}: {key} has to be a text that is not empty")
    if "url" not in table:
        raise ProfileError(
            path, f'profile {name!r} lacks its url, such as url = "https://airflow.example.com"'
        )
    paths = {key: path.parent / Path(table[key]).expanduser() for key in _PATHS if key in table}
    return Profile(name=name, **{**table, **paths})


def _edit(environ: Mapping[str, str], name: str, new: str) -> Path:
    """Replace a table of the same name, and leave every other line as written."""
    path = file(environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.parent):
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            kept = list(_without(name, old))
            text = "\n".join([*kept, *([""] if kept and kept[-1].strip() and new else []), new]).lstrip("\n")
            others = {key: each for key, each in _parsed(path, old).items() if key != name}
            if {key: each for key, each in _parsed(path, text).items() if key != name} != others:
                raise ProfileError(
                    path, f"profile {name!r} is not written as [{name}]; edit the file by hand"
                )
            _replace(path, text)
    except OSError as error:
        raise ProfileError(path, f"cannot be written: {error}") from error
    return path


def _without(name: str, text: str) -> Iterator[str]:
    inside = False
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            found = _TABLE.fullmatch(line)
            inside = found is not None and found["name"] == name
        if not inside:
            yield line


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    with os.fdopen(
        os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE), "w", encoding="utf-8"
    ) as stream:
        stream.write(text)
    beside.replace(path)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Prevent two concurrent commands from losing each other's profile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _quoted(text: str) -> str:
    return (
        '"'
        + "".join(
            _ESCAPES.get(each) or (each if each.isprintable() else f"\\U{ord(each):08x}") for each in text
        )
        + '"'
    )


def _unquoted(value: str) -> str:
    """Remove the quotes of a value, as used in shells and compose files; JSON does not begin with one."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
