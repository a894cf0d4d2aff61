"""The connections that definitions name, made for an embedded cloud: its credentials, a key, generated accounts."""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncssh

from gantry import definition, names
from gantry.local import state

SSH_USER = "launcher"
Connection = dict[str, Any]
"""As Airflow's JSON form of a connection has it."""

_LONGEST_LOGIN = 32
"""MySQL's and MariaDB's limit for the name of an account."""


class Kind(enum.Enum):
    """What a connection is for."""

    CLOUD = "aws"
    SERVERS = "ssh"
    JUMP_HOST = "ssh, a jump host"
    CHEF_SERVER = "chef"
    ACCOUNT = "an account"


@dataclasses.dataclass(frozen=True)
class Need:
    """A connection that a definition names.

    Attributes:
        login, schema: of an account: who it is for, and its database.
    """

    name: names.ConnectionId
    kind: Kind
    login: str = ""
    schema: str = ""


def needs(deployment: definition.Definition) -> Iterator[Need]:
    """Every connection that a definition names, in its order; some more than once."""
    yield Need(deployment.cloud.connection, Kind.CLOUD)
    for configuration in deployment.launch_configurations.values():
        yield Need(configuration.ssh.connection, Kind.SERVERS)
        if configuration.ssh.jump_connection is not None:
            yield Need(configuration.ssh.jump_connection, Kind.JUMP_HOST)
        if configuration.chef is not None:
            yield Need(configuration.chef.connection, Kind.CHEF_SERVER)
    login = deployment.deployment.replace("-", "_")[:_LONGEST_LOGIN]
    for service in deployment.services.values():
        for name, datasource in service.datasources.items():
            yield Need(datasource.connection, Kind.ACCOUNT, login, name)


@dataclasses.dataclass(frozen=True)
class Made:
    """Connections by name, and what nobody can make up: `left` to the person."""

    connections: dict[str, Connection] = dataclasses.field(repr=False)
    left: tuple[Need, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """As Airflow reads connections from its environment, one line each."""
        return {
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(each)
            for name, each in sorted(self.connections.items())
        }


def make(
    cloud: state.EmbeddedCloud,
    deployments: Iterable[definition.Definition],
    private_key: str,
    known: Mapping[str, Connection] | None = None,
) -> Made:
    """The connections that the definitions name.

    Args:
        cloud: whose servers and objects are meant.
        deployments: whose connections are made.
        private_key: for every connection to servers (OpenSSH format).
        known: what was made before: an account keeps its password.
    """
    made = dict(known or {})
    left = {}
    for need in (each for deployment in deployments for each in needs(deployment)):
        if need.name in made:
            continue
        found = _connection(cloud, need, private_key)
        if found is None:
            left[need.name] = need
        else:
            made[need.name] = found
    return Made(made, tuple(left.values()))


def private_key(file: Path) -> str:
    """The key in that file, made at the first time; only its owner may read it."""
    try:
        return file.read_text()
    except FileNotFoundError:
        text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
        stream.write(text)
    return text


def _connection(cloud: state.EmbeddedCloud, need: Need, key: str) -> Connection | None:
    match need.kind:
        case Kind.CLOUD:
            return cloud.aws_connection()
        case Kind.SERVERS:
            return {"conn_type": "ssh", "login": SSH_USER, "extra": {"private_key": key}}
        case Kind.CHEF_SERVER:
            return cloud.chef_connection()
        case Kind.ACCOUNT:
            return {
                "conn_type": "mysql",
                "login": need.login,
                "password": secrets.token_urlsafe(18),
                "schema": need.schema,
            }
        case Kind.JUMP_HOST:
            return None
