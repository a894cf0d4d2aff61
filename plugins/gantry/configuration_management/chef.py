"""Chef Infra: what a node is told, when it runs, and how it is forgotten."""

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
"""Known to the script by its place. An argument would show in the list of processes."""
CLIENT_KEY = "/etc/chef/client.pem"
VALIDATION_KEY = "/etc/chef/validation.pem"
DEFAULT_ENVIRONMENT = "_default"
OURS = "gantry"
MARK_OF_ORIGIN = "origin"
"""Attributes of a node: `gantry.origin`."""


class NoValidatorError(errors.GantryError):
    """A new node, and nothing to register it with."""

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
    """A Chef server, and who we are there.

    Attributes:
        connection: the Airflow connection that all this comes from, for error messages.
        url: with or without `/organizations/NAME`.
        certificate: PEM; what a server with a certificate of its own is trusted by.
        validator: the client that may register nodes, and nothing else; known nodes need none.
        admin: who may remove nodes and clients, if anybody.
        origin: the mark that nodes of this Airflow carry, where several use one organization.
        license_key: what Chef Infra Client 19 runs under, where its distribution asks for it.
        license_server: where it asks for a license instead: URLs, with commas between them.
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
        """The Chef environment: the definition's, else the connection's. With a policy there is none (NULL)."""
        if self._settings.policy_name is not None:
            return "NULL"
        return self._settings.environment or self._credentials.environment or DEFAULT_ENVIRONMENT

    @property
    def _place(self) -> str:
        """What, beside its attributes, decides what a node becomes: its environment, or its policy."""
        if self._settings.policy_name is None:
            return self.environment
        return f"{self._settings.policy_group}/{self._settings.policy_name}"

    def prepare(self, server: inventory.Server, applied: Applied) -> Work:
        """`first-boot.json`, settings, certificate and license server, as far as they are not there.

        The validator's key and the license's are not among them: they travel with the run that needs them.

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
        """One run of chef-client, with the license's key; a node that is not registered gets the validator's too.

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
            # The script removes its copy; this is for the case that it is killed at once.
            remove=(*(each.path for each in sent), *((VALIDATION_KEY,) if token else ())),
            mark=occasion.mark(wanted),
            unmark=(manager.MARK,),
            outlives_reboots=self._settings.reboot,
        )
        return Work(sent, (job,))

    def _first_boot(self, server: inventory.Server) -> bytes:
        """The tier's run list and attributes, with the mark of origin if there is one: Chef keeps it on the node."""
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
    """The content of a file that holds one line, or nothing."""
    return f"{text}\n".encode() if text else b""


def registered(applied: Applied) -> bool:
    """Whether the server has a client key of its own."""
    return CLIENT_KEY in applied.digests


@dataclasses.dataclass(frozen=True)
class Forgotten:
    """What became of nodes and clients: those that were removed, as `node NAME` and `client NAME`, and those that stay.

    `others`: names of nodes that do not carry our mark of origin. Their clients stay too.
    """

    removed: tuple[str, ...]
    others: tuple[str, ...]


def forget(credentials: Credentials, servers: Iterable[str]) -> Forgotten:
    """Remove nodes and clients from the Chef server, unless they are another Airflow's.

    Raises:
        LookupError: the credentials name no administrator; ask before.
        ChefServerError and its kin: the Chef server refuses, or cannot be reached.
    """
    if credentials.admin is None:
        raise LookupError("no user to remove nodes with")
    server = chef_server.ChefServer(credentials.url, credentials.admin, credentials.certificate)
    wanted = set(servers)
    nodes = wanted & server.nodes()
    # One that has gone since it was listed is nobody's.
    found = {name: server.node(name) for name in sorted(nodes)}
    others = {name for name, node in found.items() if node and _origin(node) != credentials.origin}
    clients = (wanted - others) & server.clients()
    removed = (
        *(f"node {name}" for name in sorted(nodes - others) if server.delete_node(name)),
        *(f"client {name}" for name in sorted(clients) if server.delete_client(name)),
    )
    return Forgotten(removed, tuple(sorted(others)))


def _origin(node: Any) -> str | None:  # noqa: ANN401 - JSON
    """The mark of origin that a node carries."""
    found = _mapping(_mapping(_mapping(node).get("normal")).get(OURS)).get(MARK_OF_ORIGIN)
    return found if isinstance(found, str) else None


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, dict) else {}


def client_settings(settings: models.Chef) -> bytes:
    """The lines of `client.rb` beyond those that the agent's script writes itself."""
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
