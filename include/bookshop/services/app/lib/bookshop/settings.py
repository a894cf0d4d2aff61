"""The settings of the application: facts of `enstratus.cfg`, kept as `app.json`."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
from collections.abc import Mapping
from pathlib import Path


class SettingsError(Exception):
    """A fact is missing or not usable."""


@dataclasses.dataclass(frozen=True)
class Database:
    """Where the catalogue is and with whose account it is read."""

    hosts: tuple[str, ...]
    port: int
    name: str
    user: str
    password: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of the application."""

    server_name: str
    port: int
    greeting: str
    database: Database

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read `app.json`."""
        raw = json.loads(path.read_text(encoding="utf-8"))
        database = raw.pop("database")
        return cls(**raw, database=Database(**{**database, "hosts": tuple(database["hosts"])}))

    def save(self, path: Path, user: str) -> bool:
        """Write `app.json`, readable by the service's user only (mode 0640).

        Returns:
            Whether the file changed.

        Raises:
            SettingsError: There is no such user.
        """
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise SettingsError(f"there is no user {user} on this server: installService makes it") from None
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        if (
            path.exists()
            and path.read_text(encoding="utf-8") == text
            and path.stat().st_uid == account.pw_uid
        ):
            return False
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        # The mode is given at creation: the password is in it from the first byte on.
        with os.fdopen(
            os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        if os.geteuid() == 0:
            os.chown(new, account.pw_uid, account.pw_gid)
        new.replace(path)
        return True


def read_facts(path: Path) -> dict[str, dict[str, str]]:
    """Read `enstratus.cfg`: section → key → value. The first of equal keys counts."""
    sections: dict[str, dict[str, str]] = {}
    section = sections.setdefault("enStratus", {})
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("[") and line.rstrip().endswith("]"):
            section = sections.setdefault(line.strip().strip("[]"), {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.rstrip("\r").partition("=")
            section.setdefault(key, value)
    return sections


def service_user(facts: Mapping[str, Mapping[str, str]]) -> str:
    """The user that the service runs as.

    Raises:
        SettingsError: The file names none.
    """
    about = facts["enStratus"]
    user = about.get("runAsUser") or about.get("customerId")
    if not user:
        raise SettingsError("runAsUser= and customerId= are missing")
    return user


def from_facts(facts: Mapping[str, Mapping[str, str]], host_name: str) -> Settings:
    """Pick the settings out of the facts of `enstratus.cfg`.

    Args:
        facts: As `read_facts` gives them.
        host_name: The server's name where the file says none.

    Raises:
        SettingsError: A fact is missing or not usable.
    """
    about, custom = facts["enStratus"], facts.get("custom", {})
    return Settings(
        server_name=about.get("serverId") or host_name,
        port=_port(about, "port.1.privatePort", about.get("privatePort") or "8000"),
        greeting=custom.get("greeting", "Welcome to the bookshop"),
        database=_database(about),
    )


def _database(about: Mapping[str, str]) -> Database:
    names = [name.strip() for name in about.get("dependencies", "").split(",") if name.strip()]
    sources = [name for name in names if about.get(f"dependency.{name}.dependencyType") == "DATA_SOURCE"]
    if not sources:
        raise SettingsError(
            f"dependencies={','.join(names)} names no DATA_SOURCE: the bookshop needs a catalogue"
        )
    prefix = f"dependency.{sources[0]}"

    def needed(key: str) -> str:
        value = about.get(f"{prefix}.{key}", "")
        if not value:
            raise SettingsError(f"{prefix}.{key}= is missing or empty")
        return value

    return Database(
        hosts=tuple(host.strip() for host in needed("readHosts").split(",") if host.strip()),
        port=_port(about, f"{prefix}.port", "3306"),
        name=needed("database"),
        user=needed("user"),
        password=needed("password"),
    )


def _port(about: Mapping[str, str], key: str, default: str) -> int:
    text = about.get(key) or default
    if not text.isdecimal() or not 1 <= int(text) <= 65535:  # noqa: PLR2004 - the range of ports
        raise SettingsError(f"{key}={text} is no port")
    return int(text)
