"""Chef Infra: a node's configuration, its runs, and its removal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from gantry import errors, inventory, names
from gantry.agent import jobs, session
from gantry.agent.fan_out import Applied, Work
from gantry.configuration_management import chef_server, manager
from gantry.definition import fields, models

FOLDER = f"{session.HOME}/ws/chef"
FIRST_BOOT = f"{FOLDER}/first-boot.json"
EXTRA = f"{FOLDER}/client-extra.rb"
TRUSTED = f"{FOLDER}/trusted.crt"
REBOOT = f"{FOLDER}/reboot"
LICENSE_SERVER = f"{FOLDER}/license-server"
LICENSE_KEY = f"{session.TEMPORARY}/chef-license.key"
"""The script knows this path. An argument would be visible in the list of processes."""
CLIENT_KEY = "/etc/chef/client.pem"
VALIDATION_KEY = "/etc/chef/validation.pem"
DEFAULT_ENVIRONMENT = "_default"
OURS = "gantry"
MARK_OF_ORIGIN = "origin"
"""Attribute of a node: `gantry.origin`."""


class NoValidatorError(errors.GantryError):
    """A new node cannot be registered without a validation key."""

    def __init__(self, server: names.ServerName, connection: str) -> None:
        self.server = server
        self.connection = connection
        super().__init__(
            f"{server}: not registered with the Chef server yet, and the Airflow connection {connection!r} has no "
            f"validation client\n"
            f"Give the connection a login (the validation client's name) and a password (its private key)."
        )


@dataclasses.dataclass(frozen=True)
class Credentials:
    """A Chef server, and the credentials for it.

    Attributes:
        connection: the Airflow connection that all this comes from, for error messages.
        url: with or without `/organizations/NAME`.
        certificate: PEM, trusted in addition; for a server with its own certificate.
        validator: the client that may register nodes, and nothing else; known nodes do not need it.
        admin: the actor that may remove nodes and clients, if any.
        origin: the mark on nodes of this Airflow, if several share one organization.
        license_key: license key for Chef Infra Client 19, if its distribution requires one.
        license_server: alternatively, the URLs of license servers, separated by commas.
    """

    connection: names.ConnectionId
    url: str
    environment: str | None = None
    certificate: str | None = None
    validator: chef_server.Actor | None = None
    admin: chef_server.Actor | None = None
    origin: str | None = None
    license_key: str | None = dataclasses.field(default=None, repr=False)
    license_server: str | None = None


class ChefManager:
    """Chef for the servers of one tier. See `manager.Manager`."""

    files: tuple[str, ...] = (CLIENT_KEY, FIRST_BOOT, EXTRA, TRUSTED, REBOOT, LICENSE_SERVER)

    def __init__(
        self, definition: models.Definition, settings: models.Chef, credentials: Credentials
    ) -> None:
        self._definition = definition
        self._settings = settings
        self._credentials = credentials

    @property
    def environment(self) -> str:
        """Return the Chef environment: the definition's, else the connection's. With a policy there is none (NULL)."""
        if self._settings.policy_name is not None:
            return "NULL"
        return self._settings.environment or self._credentials.environment or DEFAULT_ENVIRONMENT

    @property
    def _place(self) -> str:
        """Return the input of a run besides the attributes: the environment, or the policy."""
        if self._settings.policy_name is None:
            return self.environment
        return f"{self._settings.policy_group}/{self._settings.policy_name}"

    def prepare(self, server: inventory.Server, applied: Applied) -> Work:
        """Return the work of writing `first-boot.json`, settings, certificate and license server, if not up to date.

        The validation key and the license key are not among them: they are sent with the run that needs them.

        Raises:
            NoValidatorError: the run could not register the node.
        """
        self._token(server, applied)
        wanted = (
            session.RemoteFile(FIRST_BOOT, self._first_boot(server)),
            session.RemoteFile(EXTRA, client_settings(self._settings)),
            session.RemoteFile(TRUSTED, (self._credentials.certificate or "").encode()),
            session.RemoteFile(REBOOT, b"yes\n" if self._settings.reboot else b""),
            session.RemoteFile(LICENSE_SERVER, _line(self._credentials.license_server)),
        )
        return Work(
            tuple(each for each in wanted if manager.differs(applied.digests, each.path, each.content))
        )

    def run(self, server: inventory.Server, applied: Applied, occasion: manager.Occasion) -> Work:
        """Return one run of chef-client, with the license key; an unregistered node also gets the validation key.

        Raises:
            NoValidatorError: it could not register the node.
        """
        first_boot = self._first_boot(server)
        wanted = manager.digest(first_boot, self._place, self._credentials.url)
        if not occasion.wants(applied, wanted, self._settings.converge):
            return Work()
        token = self._token(server, applied)
        license_ = session.RemoteFile(LICENSE_KEY, _line(self._credentials.license_key))
        validator = self._credentials.validator
        sent = (*((token,) if token else ()), *((license_,) if license_.content else ()))
        job = jobs.Job(
            f"chef-{wanted[:12]}",
            "runConfigurationManagement-CHEF",
            (
                "root",
                server.name,
                token.path if token else "NULL",
                FIRST_BOOT,
                validator.name if validator else "NULL",
                self._credentials.url,
                self.environment,
            ),
            self._definition.timeouts.execute_configuration_management.total_seconds(),
            # The script removes its copy; this covers the case that it is killed at once.
            remove=(*(each.path for each in sent), *((VALIDATION_KEY,) if token else ())),
            mark=occasion.mark(wanted),
            unmark=(manager.MARK,),
            outlives_reboots=self._settings.reboot,
        )
        return Work(sent, (job,))

    def _first_boot(self, server: inventory.Server) -> bytes:
        """Return the tier's run list and attributes, with the mark of origin, if any: Chef stores it on the node."""
        content = manager.first_boot(self._definition, server)
        if self._credentials.origin is None:
            return content
        attributes = json.loads(content)
        mark = {MARK_OF_ORIGIN: self._credentials.origin}
        return manager.as_json({**attributes, OURS: {**_mapping(attributes.get(OURS)), **mark}})

    def _token(self, server: inventory.Server, applied: Applied) -> session.RemoteFile | None:
        if registered(applied):
            return None
        if self._credentials.validator is None:
            raise NoValidatorError(server.name, self._credentials.connection)
        key = self._credentials.validator.private_key
        return session.RemoteFile(f"{session.TEMPORARY}/chef-validation.pem", key.encode())


def _line(text: str | None) -> bytes:
    """Return the content of a file with one line, or an empty one."""
    return f"{text}\n".encode() if text else b""


def registered(applied: Applied) -> bool:
    """Return whether the server has a client key of its own."""
    return CLIENT_KEY in applied.digests


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """The result of removing nodes and clients: the removed ones, as `node NAME` and `client NAME`, and the others.

    `others`: names of nodes without our mark of origin. Their clients stay too.
    """

    removed: tuple[str, ...]
    others: tuple[str, ...]


def forget(credentials: Credentials, servers: Iterable[str]) -> Forgotten:
    """Remove nodes and clients from the Chef server, unless they belong to another Airflow.

    Raises:
        LookupError: the credentials have no administrator; check before.
        ChefServerError and its subclasses: the Chef server refuses, or cannot be reached.
    """
    if credentials.admin is None:
        raise LookupError("no user to remove nodes with")
    server = chef_server.ChefServer(credentials.url, credentials.admin, credentials.certificate)
    wanted = set(servers)
    nodes = wanted & server.nodes()
    # A node that was removed since the listing has no origin.
    found = {name: server.node(name) for name in sorted(nodes)}
    others = {name for name, node in found.items() if node and _origin(node) != credentials.origin}
    clients = (wanted - others) & server.clients()
    removed = (
        *(f"node {name}" for name in sorted(nodes - others) if server.delete_node(name)),
        *(f"client {name}" for name in sorted(clients) if server.delete_client(name)),
    )
    return Forgotten(removed, tuple(sorted(others)))


def _origin(node: Any) -> str | None:  # noqa: ANN401 - JSON
    """Return a node's mark of origin."""
    found = _mapping(_mapping(_mapping(node).get("normal")).get(OURS)).get(MARK_OF_ORIGIN)
    return found if isinstance(found, str) else None


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, dict) else {}


def client_settings(settings: models.Chef) -> bytes:
    """Return the lines of `client.rb` in addition to those that the agent's script writes itself."""
    lines = []
    if settings.log_level != "auto":
        lines.append(f"log_level :{settings.log_level}")
    if settings.accept_license:
        lines.append("chef_license 'accept'")
    if settings.policy_name is not None and settings.policy_group is not None:
        lines.append(f"policy_name {_ruby(settings.policy_name)}")
        lines.append(f"policy_group {_ruby(settings.policy_group)}")
    lines += [f"{name} {_ruby(value)}" for name, value in sorted(settings.settings.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def _ruby(value: fields.Scalar) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return json.dumps(value)
