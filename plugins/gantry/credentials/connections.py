"""Conversion of Airflow connections to logins and accounts. The only place where secrets enter, masked at once."""

from __future__ import annotations

import contextlib
import datetime
import pathlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gantry import errors, inventory, names
from gantry.agent import host_keys, pem, private_keys, server_facts, ssh, tls
from gantry.configuration_management import chef, chef_server
from gantry.credentials import connection_fields, key_masks
from gantry.credentials.connection_fields import ConnectionFactError
from gantry.definition import models

if TYPE_CHECKING:
    from airflow.sdk import Connection

_CHEF_URL = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]+)?(/[A-Za-z0-9._~%/\-]*)?")
_LICENSE_KEY = re.compile(r"[A-Za-z0-9-]{20,100}")
_MOST_LICENSE_SERVERS = 5
"""chef-client tries no more of them."""


class UnknownConnectionError(errors.GantryError):
    """Airflow does not have a connection that the definition names."""

    def __init__(self, connection: str, reason: str) -> None:
        self.connection = connection
        super().__init__(
            f"Airflow connection {connection!r} cannot be read: {reason}\n"
            f"Create it (Admin → Connections, or a secrets backend), or correct the definition."
        )


def _get(connection: str) -> Connection:
    from airflow.sdk import BaseHook  # noqa: PLC0415 - decisions about servers load without Airflow

    try:
        found = BaseHook.get_connection(connection)
    except (ValueError, TypeError, AttributeError):
        # The library's error quotes what it cannot parse, which may contain a part of the password.
        raise UnknownConnectionError(connection, _NEITHER) from None
    except Exception as error:
        said = str(error)
        if said.startswith("Invalid connection string"):
            # Airflow quotes all of it.
            raise UnknownConnectionError(connection, _NEITHER) from None
        # Every secrets backend raises its own errors; none of them says what to do.
        raise UnknownConnectionError(connection, said) from error
    return connection_fields.checked(found)


_NEITHER = (
    "it is neither JSON of Airflow's fields (conn_type, host, login, password, schema, port, extra) nor a URI in which "
    "each part is percent-encoded"
)


def access(settings: models.Ssh) -> ssh.Access:
    """Return how servers are reached, from connections of the type `ssh`.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableKeyError: what is missing, and where.
    """
    jump = None
    if settings.jump_connection is not None:
        found = _get(settings.jump_connection)
        host_key = connection_fields.text(found, connection_fields.extras(found), "host_key")
        if not found.host or not host_key.strip():
            raise ConnectionFactError(
                settings.jump_connection, "a jump host needs its host, and its host_key in the extra fields"
            )
        try:
            host_key = host_keys.usable(host_key)
        except host_keys.HostKeyFormatError as error:
            raise ConnectionFactError(
                settings.jump_connection, f"the extra field host_key: {error.reason}"
            ) from None
        jump = ssh.JumpHost(found.host, host_key, _login(found))
    return ssh.Access(_login(_get(settings.connection)), jump, settings.reconnect_for.total_seconds())


def facts_of(
    definition: models.Definition,
    servers: inventory.Inventory,
    services: Iterable[names.ServiceName],
    balancers: Iterable[names.BalancerName] = (),
) -> server_facts.Facts:
    """Return the facts for the files of these services and load balancers. Reads only the secrets that they need.

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
    return server_facts.Facts(
        definition,
        servers,
        accounts(definition, needed),
        {name: replication(each.replication) for name, each in known.items() if each.replication},
        {each.connection: certificate(each.connection) for each in wanted if each is not None},
    )


def accounts(
    definition: models.Definition,
    needed: set[tuple[names.ServiceName, names.DatasourceName]],
) -> dict[tuple[names.ServiceName, names.DatasourceName], server_facts.Account]:
    """Return the accounts of datasources, from the connections that the definition names."""
    return {
        (service, datasource): _account(definition.services[service].datasources[datasource])
        for service, datasource in sorted(needed)
    }


def replication(wanted: models.Replication) -> server_facts.ReplicationAccount:
    """Return the account that replicants copy with. Raises ConnectionFactError, UnknownConnectionError."""
    found = _get(wanted.connection)
    if not found.login or not found.password:
        raise ConnectionFactError(wanted.connection, "replication needs a login and a password")
    _mask(found.password)
    return server_facts.ReplicationAccount(found.login, found.password)


def chef_credentials(settings: models.Chef) -> chef.Credentials:
    """Return the Chef server and our client on it, from the connection that the definition names.

    Raises:
        ConnectionFactError, UnknownConnectionError, UnusableChefKeyError: what is missing, and where.
    """
    return chef_from(_get(settings.connection))


def chef_from(connection: Connection) -> chef.Credentials:
    """Convert a connection of the type `chef`. Raises as `chef_credentials`."""
    connection = connection_fields.checked(connection)
    extra = connection_fields.extras(connection)
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
    admin_name = connection_fields.text(connection, extra, "admin_name")
    admin_key = connection_fields.text(connection, extra, "admin_key")
    if admin_name and admin_key:
        _mask(admin_key)
        admin = chef_server.Actor(admin_name, _chef_key(connection, admin_key, "admin_key"))
    elif admin_name or admin_key:
        raise ConnectionFactError(connection.conn_id, "an administrator needs both admin_name and admin_key")
    return chef.Credentials(
        connection=names.ConnectionId(connection.conn_id),
        url=_chef_url(connection),
        environment=connection_fields.text(connection, extra, "environment") or None,
        certificate=_chef_certificate(
            connection, connection_fields.text(connection, extra, "trusted_certificate")
        ),
        validator=validator,
        admin=admin,
        origin=str(extra.get("origin") or "") or None,
        license_key=_license_key(connection, connection_fields.text(connection, extra, "license_key")),
        license_server=_license_server(
            connection, connection_fields.text(connection, extra, "license_server")
        ),
    )


def with_secrets(definition: models.Definition) -> tuple[names.ConnectionId, ...]:
    """Return the connections whose secrets scripts on servers receive."""
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


def words_of(connection: str) -> dict[str, str]:
    """Return the secrets of a connection that could be ordinary words, by field. Raises as `access`."""
    found = _get(connection)
    given = {
        "password": found.password or "",
        "private_key_passphrase": connection_fields.text(
            found, connection_fields.extras(found), "private_key_passphrase", numbers=True
        ),
    }
    return {field: secret for field, secret in given.items() if len(secret) >= _SHORTEST_MASKED}


_SHORTEST_MASKED = 5
"""Characters. Airflow does not mask shorter secrets, unless configured to (`[logging] min_length_masked_secret`)."""


def mask(connections: Iterable[str]) -> None:
    """Mask in this process the secrets that another one has passed to scripts. Unreadable connections are skipped."""
    for each in connections:
        with contextlib.suppress(UnknownConnectionError, ConnectionFactError):
            found = _get(each)
            _mask(found.password or "")
            _mask(connection_fields.text(found, connection_fields.extras(found), "admin_key"))
            _mask(connection_fields.text(found, connection_fields.extras(found), "license_key").strip())


def certificate(connection: names.ConnectionId) -> tls.Certificate:
    """Return a certificate with its private key, from a connection of the type `tls`.

    Raises:
        ConnectionFactError, UnknownConnectionError: what is missing, and where; or that it is not valid today.
    """
    return certificate_from(_get(connection))


def certificate_from(connection: Connection) -> tls.Certificate:
    """Convert a connection of the type `tls`. Raises as `certificate`."""
    connection = connection_fields.checked(connection)
    extra = connection_fields.extras(connection)
    key = connection.password or ""
    _mask(key)
    certificate_ = connection_fields.text(connection, extra, "certificate")
    chain = connection_fields.text(connection, extra, "chain")
    try:
        found = tls.usable(key, certificate_, chain)
        tls.valid(found, datetime.datetime.now(tz=datetime.UTC))
    except tls.UnusableCertificateError as error:
        raise ConnectionFactError(connection.conn_id, error.reason) from None
    return found


def _mask(secret: str) -> None:
    """Mask a secret, and every line of one that has several: scripts' output is logged line by line."""
    from airflow.sdk.log import mask_secret  # noqa: PLC0415 - decisions about servers load without Airflow

    # Also mask a key as written on the server: it is formatted differently from the form's content. The whole forms
    # come first: where `key_masks` is Airflow's adapter, their lines are known then.
    forms = [each for each in (secret, pem.key(secret)) if each]
    mask_secret([*forms, *key_masks.telling_lines(*forms)])


def _chef_key(connection: Connection, key: str, field: str) -> str:
    try:
        usable = chef_server.usable_key(key)
    except errors.GantryError as error:
        raise ConnectionFactError(connection.conn_id, f"the field {field}: {error}") from None
    # As written on the server: it is formatted differently from the form's content.
    _mask(usable)
    return usable


def _chef_certificate(connection: Connection, text: str) -> str | None:
    try:
        return chef_server.usable_certificate(text) if text.strip() else None
    except chef_server.UnusableChefCertificateError as error:
        raise ConnectionFactError(connection.conn_id, f"the field trusted_certificate: {error}") from None


def _license_key(connection: Connection, text: str) -> str | None:
    """Return a license key as chef-client accepts it. Its vendor defines the formats, and may add new ones."""
    found = text.strip()
    if not found:
        return None
    # Also a rejected one: it may be a secret of something else.
    _mask(found)
    if not _LICENSE_KEY.fullmatch(found):
        raise ConnectionFactError(
            connection.conn_id,
            "the extra field license_key is not a license key: one word of 20 to 100 letters, digits and dashes",
        )
    return found


def _license_server(connection: Connection, text: str) -> str | None:
    """Return the URLs of Chef's license service, as chef-client accepts them."""
    found = [each.strip().rstrip("/") for each in text.split(",")] if text.strip() else []
    if len(found) > _MOST_LICENSE_SERVERS or not all(map(_CHEF_URL.fullmatch, found)):
        raise ConnectionFactError(
            connection.conn_id,
            f"the extra field license_server holds the URLs of license servers, such as "
            f"https://licenses.example.com: {_MOST_LICENSE_SERVERS} at most, with commas between them",
        )
    return ",".join(found) or None


def _chef_url(connection: Connection) -> str:
    """Return `https://chef.example.com/organizations/acme`, from the host field, or from scheme, host and port."""
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


def _account(datasource: models.Datasource) -> server_facts.Account:
    found = _get(datasource.connection)
    if not found.login or not found.password or not found.schema:
        raise ConnectionFactError(
            datasource.connection, "a datasource needs a login, a password and a schema (the database's name)"
        )
    _mask(found.password)
    return server_facts.Account(found.login, found.password, found.schema)


def _login(connection: Connection) -> ssh.Login:
    extra = connection_fields.extras(connection)
    field, content = _key_of(connection, extra)
    if not content or not connection.login:
        raise ConnectionFactError(
            connection.conn_id, "SSH needs a login, and private_key or key_file in the extra fields"
        )
    passphrase = connection_fields.text(connection, extra, "private_key_passphrase", numbers=True)
    _mask(passphrase)
    if isinstance(content, str):
        _mask(content)
    try:
        private_key = private_keys.text_of(content)
    except private_keys.PrivateKeyFormatError as error:
        raise ssh.UnusableKeyError(connection.conn_id, error.reason, field) from None
    # As used: it is formatted differently from the form's content.
    _mask(private_key)
    login = ssh.Login(
        user=connection.login,
        private_key=private_key,
        passphrase=passphrase or None,
        port=connection.port or 22,
        connection=connection.conn_id,
        key_field=field,
    )
    # An unusable key is reported here, rather than in the middle of a step.
    login.key()
    return login


def _key_of(connection: Connection, extra: dict[str, Any]) -> tuple[str, str | bytes]:
    """Return the private key as written, and the extra field that contains it or names its file."""
    written = connection_fields.text(connection, extra, "private_key")
    name = connection_fields.text(connection, extra, "key_file")
    if written.strip() or not name:
        return "private_key", written.strip()
    try:
        return "key_file", pathlib.Path(name).expanduser().read_bytes()
    except OSError as error:
        raise ConnectionFactError(
            connection.conn_id, f"the key file {name!r} cannot be read: {error.strerror}"
        ) from error
    except (ValueError, RuntimeError):
        raise ConnectionFactError(
            connection.conn_id, "the extra field key_file is not the path of a file"
        ) from None
