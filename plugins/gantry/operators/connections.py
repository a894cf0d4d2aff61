"""Airflow connections → what the rooms below work with. The only place where secrets enter, masked at once."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import re
from collections.abc import Iterable

from airflow.sdk import BaseHook, Connection
from airflow.sdk.log import mask_secret

from gantry import errors, inventory, names
from gantry.agent import facts, pem, ssh, tls
from gantry.configuration_management import chef, chef_server
from gantry.definition import models

_CHEF_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]+)?(/[A-Za-z0-9._~%/\-]*)?")


class ConnectionFactError(errors.GantryError):
    """An Airflow connection that lacks something, or holds something unusable."""

    def __init__(self, connection: str, problem: str) -> None:
        self.connection = connection
        super().__init__(f"Airflow connection {connection!r}: {problem}")


class UnknownConnectionError(errors.GantryError):
    """A connection that the definition names and Airflow does not have."""

    def __init__(self, connection: str, reason: str) -> None:
        self.connection = connection
        super().__init__(
            f"Airflow connection {connection!r} cannot be read: {reason}\n"
            f"Create it (Admin → Connections, or a secrets backend), or correct the definition."
        )


def _get(connection: str) -> Connection:
    try:
        return BaseHook.get_connection(connection)
    except Exception as error:
        # Every secrets backend raises its own; none of them names what to do.
        raise UnknownConnectionError(connection, str(error)) from error


def access(settings: models.Ssh) -> ssh.Access:
    """How servers are reached, from connections of the type `ssh`.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableKeyError: what is missing, and where.
    """
    jump = None
    if settings.jump_connection is not None:
        found = _get(settings.jump_connection)
        host_key = str(found.extra_dejson.get("host_key", ""))
        if not found.host or not host_key:
            raise ConnectionFactError(
                settings.jump_connection, "a jump host needs its host, and its host_key in the extra fields"
            )
        if " " not in host_key:
            # Airflow's ssh provider writes the bare key; asyncssh wants the kind in front of it.
            host_key = f"ssh-ed25519 {host_key}"
        jump = ssh.JumpHost(found.host, host_key, _login(found))
    return ssh.Access(_login(_get(settings.connection)), jump, settings.reconnect_for.total_seconds())


def facts_of(
    definition: models.Definition,
    servers: inventory.Inventory,
    services: Iterable[names.ServiceName],
    balancers: Iterable[names.BalancerName] = (),
) -> facts.Facts:
    """What the files of these services and load balancers are made from. Reads only the secrets that they need.

    Raises:
        ConnectionFactError, UnknownConnectionError: what is missing, and where.
    """
    known = {name: definition.services[name] for name in services}
    needed = {
        (each.service, each.datasource)
        for service in known.values()
        for each in service.depends_on
        if each.datasource is not None
    } | {(name, datasource) for name, service in known.items() for datasource in service.datasources}
    wanted = (
        *(each.tls for each in known.values()),
        *(definition.load_balancers[name].tls for name in balancers),
    )
    return facts.Facts(
        definition,
        servers,
        accounts(definition, needed),
        {name: _replication(each.replication) for name, each in known.items() if each.replication},
        {each.connection: certificate(each.connection) for each in wanted if each is not None},
    )


def accounts(
    definition: models.Definition,
    needed: set[tuple[names.ServiceName, names.DatasourceName]],
) -> dict[tuple[names.ServiceName, names.DatasourceName], facts.Account]:
    """The accounts of datasources, from the connections that the definition names."""
    return {
        (service, datasource): _account(definition.services[service].datasources[datasource])
        for service, datasource in sorted(needed)
    }


def chef_credentials(settings: models.Chef) -> chef.Credentials:
    """A Chef server and who we are there, from the connection that the definition names.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableChefKeyError: what is missing, and where.
    """
    return chef_from(_get(settings.connection))


def chef_from(connection: Connection) -> chef.Credentials:
    """What a connection of the type `chef` says. Raises as `chef_credentials`."""
    extra = connection.extra_dejson
    validator = admin = None
    if connection.login and connection.password:
        _mask(connection.password)
        key = _chef_key(connection, connection.password, "password")
        validator = chef_server.Actor(connection.login, key)
    elif connection.login or connection.password:
        raise ConnectionFactError(
            connection.conn_id,
            "a validation client needs both a login (its name) and a password (its private key)",
        )
    if extra.get("admin_name") and extra.get("admin_key"):
        key = str(extra["admin_key"])
        _mask(key)
        admin = chef_server.Actor(str(extra["admin_name"]), _chef_key(connection, key, "admin_key"))
    elif extra.get("admin_name") or extra.get("admin_key"):
        raise ConnectionFactError(connection.conn_id, "an administrator needs both admin_name and admin_key")
    return chef.Credentials(
        connection=names.ConnectionId(connection.conn_id),
        url=_chef_url(connection),
        environment=extra.get("environment") or None,
        certificate=_chef_certificate(connection, str(extra.get("trusted_certificate") or "")),
        validator=validator,
        admin=admin,
    )


def with_secrets(definition: models.Definition) -> tuple[names.ConnectionId, ...]:
    """The connections whose secrets scripts on servers are told."""
    found = [
        *(
            each.connection
            for service in definition.services.values()
            for each in service.datasources.values()
        ),
        *(each.replication.connection for each in definition.services.values() if each.replication),
        *(each.tls.connection for each in definition.services.values() if each.tls),
        *(each.tls.connection for each in definition.load_balancers.values() if each.tls),
        *(each.chef.connection for each in definition.launch_configurations.values() if each.chef),
    ]
    return tuple(sorted(set(found)))


def mask(connections: Iterable[str]) -> None:
    """Mask in this process what another one has read and told to scripts. What cannot be read is let be."""
    for each in connections:
        with contextlib.suppress(UnknownConnectionError):
            found = _get(each)
            _mask(found.password or "")
            _mask(str(found.extra_dejson.get("admin_key") or ""))


def certificate(connection: names.ConnectionId) -> tls.Certificate:
    """A certificate with its private key, from a connection of the type `tls`.

    Raises:
        ConnectionFactError, UnknownConnectionError: what is missing, and where; also that it is not valid today.
    """
    return certificate_from(_get(connection))


def certificate_from(connection: Connection) -> tls.Certificate:
    """What a connection of the type `tls` says. Raises as `certificate`."""
    extra = connection.extra_dejson
    key = connection.password or ""
    _mask(key)
    try:
        found = tls.usable(key, str(extra.get("certificate") or ""), str(extra.get("chain") or ""))
        tls.valid(found, datetime.datetime.now(tz=datetime.UTC))
    except tls.UnusableCertificateError as error:
        raise ConnectionFactError(connection.conn_id, error.reason) from None
    return found


def _mask(secret: str) -> None:
    """Mask a secret, and every line of one that has several: what scripts print comes line by line."""
    # A key also as it is written on the server: what a form has made of it looks different.
    forms = [each for each in (secret, pem.key(secret)) if each]
    lines = {line.strip() for each in forms for line in each.splitlines()}
    mask_secret(
        [*forms, *sorted(line for line in lines if len(line) >= _TELLING and not line.startswith("-----"))]
    )


_TELLING = 16
"""Characters. A shorter line of a key tells nothing, and could be a word of somebody's."""


def _replication(wanted: models.Replication) -> facts.ReplicationAccount:
    found = _get(wanted.connection)
    if not found.login or not found.password:
        raise ConnectionFactError(wanted.connection, "replication needs a login and a password")
    _mask(found.password)
    return facts.ReplicationAccount(found.login, found.password)


def _chef_key(connection: Connection, key: str, field: str) -> str:
    try:
        usable = chef_server.usable_key(key)
    except errors.GantryError as error:
        raise ConnectionFactError(connection.conn_id, f"the field {field}: {error}") from None
    # As it is written on the server: what a form has made of it looks different.
    _mask(usable)
    return usable


def _chef_certificate(connection: Connection, text: str) -> str | None:
    try:
        return chef_server.usable_certificate(text) if text.strip() else None
    except chef_server.UnusableCertificateError as error:
        raise ConnectionFactError(connection.conn_id, f"the field trusted_certificate: {error}") from None


def _chef_url(connection: Connection) -> str:
    """`https://chef.example.com/organizations/acme`: whole in the host field, or scheme, host and port apart."""
    host = (connection.host or "").strip().rstrip("/")
    if host and "://" not in host:
        port = f":{connection.port}" if connection.port else ""
        name, slash, path = host.partition("/")
        host = f"{connection.schema or 'https'}://{name}{port}{slash}{path}"
    if not _CHEF_URL.fullmatch(host):
        raise ConnectionFactError(
            connection.conn_id,
            f"the host is the Chef server's URL, such as https://chef.example.com/organizations/acme, and not "
            f"{connection.host!r}",
        )
    return host


def _account(datasource: models.Datasource) -> facts.Account:
    found = _get(datasource.connection)
    if not found.login or not found.password or not found.schema:
        raise ConnectionFactError(
            datasource.connection, "a datasource needs a login, a password and a schema (the database's name)"
        )
    _mask(found.password)
    return facts.Account(found.login, found.password, found.schema)


def _login(connection: Connection) -> ssh.Login:
    extra = connection.extra_dejson
    private_key = extra.get("private_key")
    if private_key is None and extra.get("key_file"):
        try:
            private_key = pathlib.Path(str(extra["key_file"])).expanduser().read_text()
        except OSError as error:
            raise ConnectionFactError(
                connection.conn_id, f"the key file cannot be read: {error.strerror}"
            ) from error
    if not private_key or not connection.login:
        raise ConnectionFactError(
            connection.conn_id, "SSH needs a login, and private_key or key_file in the extra fields"
        )
    passphrase = extra.get("private_key_passphrase") or None
    _mask(str(private_key))
    if passphrase:
        _mask(str(passphrase))
    login = ssh.Login(
        user=connection.login,
        private_key=str(private_key),
        passphrase=passphrase,
        port=connection.port or 22,
        connection=connection.conn_id,
    )
    # An unusable key is said here, and not in the middle of a step.
    login.key()
    return login
