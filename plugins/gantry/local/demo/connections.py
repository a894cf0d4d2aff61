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
import pydantic

from gantry import definition, names
from gantry.local.cloud import certificates, state

SSH_USER = "launcher"
Connection = dict[str, Any]
"""As Airflow's JSON form of a connection has it."""

_ACCOUNT = "mysql"

_LONGEST_LOGIN = 32
"""MySQL's and MariaDB's limit for the name of an account."""


class ConnectionPurpose(enum.Enum):
    """What a connection is for."""

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
"""What for, by the key of the language (its model and field) that names the connection."""


@dataclasses.dataclass(frozen=True)
class NeededConnection:
    """A connection that a definition names.

    Attributes:
        login, schema: of an account: who it is for, and its database.
        hosts: of a certificate: whom it is for.
    """

    name: names.ConnectionId
    kind: ConnectionPurpose
    login: str = ""
    schema: str = ""
    hosts: tuple[str, ...] = ()


def needs(deployment: definition.Definition) -> Iterator[NeededConnection]:
    """Every connection that a definition names, wherever the language lets it; some more than once."""
    login = deployment.deployment.replace("-", "_")[:_LONGEST_LOGIN]
    hosts = tuple(dict.fromkeys(_hosts(deployment))) or (deployment.deployment,)
    for key, below, name in _named(deployment):
        # Who copies a database is nobody that uses it.
        account = name[:_LONGEST_LOGIN] if key == _COPIES else login
        yield NeededConnection(name, kind_of(key), account, below, hosts)


def kind_of(key: str) -> ConnectionPurpose:
    """What a key of the language, such as `Ssh.connection`, names a connection for."""
    return _KINDS.get(key, ConnectionPurpose.UNKNOWN)


def is_connection(field: str) -> bool:
    """Whether a field of the language's models names a connection: they are called so."""
    return field == "connection" or field.endswith("_connection")


def _named(value: object, below: str = "") -> Iterator[tuple[str, str, names.ConnectionId]]:
    """The key, the name that the user gave to what it stands in, and the connection."""
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
    """Connections by name, and what nobody can make up: `left` to the person."""

    connections: dict[str, Connection] = dataclasses.field(repr=False)
    left: tuple[NeededConnection, ...] = ()

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
        taken = {each.get("login") for each in made.values() if each["conn_type"] == _ACCOUNT}
        if need.kind is ConnectionPurpose.ACCOUNT and need.login in taken:
            # Two passwords for one account of one database would be one too many.
            need = dataclasses.replace(need, login=need.name[:_LONGEST_LOGIN])  # noqa: PLW2901 - the same, renamed
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
