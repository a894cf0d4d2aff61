"""Connections that definitions name, generated for an embedded cloud: its credentials, a key, accounts."""

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
import pydantic

from gantry import definition, names
from gantry.local.cloud import certificates, state

SSH_USER = "launcher"
Connection = dict[str, Any]
"""A connection in Airflow's JSON format."""

_ACCOUNT = "mysql"

_LONGEST_LOGIN = 32
"""MySQL's and MariaDB's limit for the name of an account."""


class ConnectionPurpose(enum.Enum):
    """The purpose of a connection."""

    CLOUD = "aws"
    SERVERS = "ssh"
    JUMP_HOST = "ssh, a jump host"
    CHEF_SERVER = "chef"
    ACCOUNT = "an account"
    CERTIFICATE = "tls"
    UNKNOWN = "of a kind that the demo does not know"


_COPIES = "Replication.connection"
_KINDS = {
    "Cloud.connection": ConnectionPurpose.CLOUD,
    "Ssh.connection": ConnectionPurpose.SERVERS,
    "Ssh.jump_connection": ConnectionPurpose.JUMP_HOST,
    "Chef.connection": ConnectionPurpose.CHEF_SERVER,
    "Datasource.connection": ConnectionPurpose.ACCOUNT,
    _COPIES: ConnectionPurpose.ACCOUNT,
    "ServiceTls.connection": ConnectionPurpose.CERTIFICATE,
    "BalancerTls.connection": ConnectionPurpose.CERTIFICATE,
}
"""The purpose, by the key of the language (its model and field) that names the connection."""


@dataclasses.dataclass(frozen=True)
class NeededConnection:
    """A connection that a definition names.

    Attributes:
        login, schema: for an account: its user, and its database.
        hosts: for a certificate: its host names.
    """

    name: names.ConnectionId
    kind: ConnectionPurpose
    login: str = ""
    schema: str = ""
    hosts: tuple[str, ...] = ()


def needs(deployment: definition.Definition) -> Iterator[NeededConnection]:
    """Yield every connection that a definition names, at any key; some more than once."""
    login = deployment.deployment.replace("-", "_")[:_LONGEST_LOGIN]
    hosts = tuple(dict.fromkeys(_hosts(deployment))) or (deployment.deployment,)
    for key, below, name in _named(deployment):
        # The replication account is not a user of the database.
        account = name[:_LONGEST_LOGIN] if key == _COPIES else login
        yield NeededConnection(name, kind_of(key), account, below, hosts)


def kind_of(key: str) -> ConnectionPurpose:
    """Return the purpose of the connections at a key of the language, such as `Ssh.connection`."""
    return _KINDS.get(key, ConnectionPurpose.UNKNOWN)


def is_connection(field: str) -> bool:
    """Return whether a field of the language's models names a connection, by the field's name."""
    return field == "connection" or field.endswith("_connection")


def _named(value: object, below: str = "") -> Iterator[tuple[str, str, names.ConnectionId]]:
    """Yield the key, the user's name for its section, and the connection."""
    if isinstance(value, pydantic.BaseModel):
        for field in type(value).model_fields:
            inner = getattr(value, field)
            if is_connection(field):
                if inner is not None:
                    yield f"{type(value).__name__}.{field}", below, inner
            else:
                yield from _named(inner, below)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _named(inner, str(name))
    elif isinstance(value, tuple | list):
        for inner in value:
            yield from _named(inner, below)


def _hosts(deployment: definition.Definition) -> Iterator[str]:
    for balancer in deployment.load_balancers.values():
        yield from (balancer.name, *balancer.aliases)
    for service in deployment.services.values():
        if service.tls is not None:
            yield service.tls.address


@dataclasses.dataclass(frozen=True)
class Made:
    """Connections by name, and in `left` those that cannot be generated and are left to the user."""

    connections: dict[str, Connection] = dataclasses.field(repr=False)
    left: tuple[NeededConnection, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment variables for Airflow, one line each."""
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
    """Return the connections that the definitions name.

    Args:
        cloud: the cloud of servers and objects.
        deployments: the deployments with the connections.
        private_key: the key for every connection to servers (OpenSSH format).
        known: existing connections: an account keeps its password.
    """
    made = dict(known or {})
    left = {}
    for need in (each for deployment in deployments for each in needs(deployment)):
        if need.name in made:
            continue
        taken = {each.get("login") for each in made.values() if each["conn_type"] == _ACCOUNT}
        if need.kind is ConnectionPurpose.ACCOUNT and need.login in taken:
            # One account of a database must not get two passwords.
            need = dataclasses.replace(need, login=need.name[:_LONGEST_LOGIN])  # noqa: PLW2901 - the same, renamed
        found = _connection(cloud, need, private_key)
        if found is None:
            left[need.name] = need
        else:
            made[need.name] = found
    return Made(made, tuple(left.values()))


def private_key(file: Path) -> str:
    """Return the key in that file, generated at the first call; readable by its owner only."""
    try:
        return file.read_text()
    except FileNotFoundError:
        text = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as stream:
        stream.write(text)
    return text


def _connection(cloud: state.EmbeddedCloud, need: NeededConnection, key: str) -> Connection | None:
    match need.kind:
        case ConnectionPurpose.CLOUD:
            return cloud.aws_connection()
        case ConnectionPurpose.SERVERS:
            return {"conn_type": "ssh", "login": SSH_USER, "extra": {"private_key": key}}
        case ConnectionPurpose.CHEF_SERVER:
            return cloud.chef_connection()
        case ConnectionPurpose.ACCOUNT:
            return {
                "conn_type": _ACCOUNT,
                "login": need.login,
                "password": secrets.token_urlsafe(18),
                "schema": need.schema,
            }
        case ConnectionPurpose.CERTIFICATE:
            made = certificates.self_signed(need.hosts)
            return {"conn_type": "tls", "password": made.key, "extra": {"certificate": made.certificate}}
        case ConnectionPurpose.JUMP_HOST | ConnectionPurpose.UNKNOWN:
            return None
