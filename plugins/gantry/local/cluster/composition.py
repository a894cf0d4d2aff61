"""Parser of `docker/compose.yaml` as a list of machines: commands, settings and secrets of each."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from gantry.local import resources

FILE = resources.ROOT / "docker" / "compose.yaml"
AIRFLOW, PREPARE, DATABASE, BROKER, API = "airflow-gantry", "prepare", "postgres", "redis", "api-server"
_POSTGRES = Path(__file__).with_name("postgres.sh")


@dataclasses.dataclass(frozen=True)
class Role:
    """The role of one machine of the cluster.

    Attributes:
        name: the machine's name: that of the service, with a number if there are several.
        service: the name under which other machines reach it; the first of several.
        command: the command that runs on it, as a container's entrypoint would run it.
        secrets: names of files below `/run/secrets`.
    """

    name: str
    service: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[str, ...]

    @property
    def is_airflow(self) -> bool:
        """Return whether a part of Airflow runs on it, which needs DAG files."""
        return self.service not in (DATABASE, BROKER)


def read(file: Path = FILE) -> list[Role]:
    """Return the machines of a compose file, in its order."""
    services = yaml.safe_load(file.read_text())["services"]
    return [role for service, about in services.items() for role in _roles(service, about)]


def _roles(service: str, about: Mapping[str, Any]) -> Iterator[Role]:
    replicas = about.get("deploy", {}).get("replicas", 1)
    for number in range(1, replicas + 1):
        yield Role(
            name=f"{service}-{number}" if replicas > 1 else service,
            service=service,
            command=_command(service, about),
            environment={name: str(value) for name, value in about.get("environment", {}).items()},
            secrets=tuple(about.get("secrets", ())),
        )


def _command(service: str, about: Mapping[str, Any]) -> tuple[str, ...]:
    if service == DATABASE:
        # The official image's entrypoint creates the database.
        return ("sh", str(_POSTGRES))
    given = about["command"]
    words = shlex.split(given) if isinstance(given, str) else [_unescaped(each) for each in given]
    if service == BROKER:
        # A volume of the image.
        return tuple(re.sub(r"dir /data", "dir /opt/airflow", each) for each in words)
    return (*about.get("entrypoint", ("airflow",)), *words)


def _unescaped(text: str) -> str:
    return text.replace("$$", "$")
