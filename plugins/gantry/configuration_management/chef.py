"""Chef Infra: what a node is told, when it runs, and how it is forgotten."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from gantry import errors, inventory, names
from gantry.agent import jobs, session
from gantry.agent.drive import Applied, Work
from gantry.configuration_management import chef_server, manager
from gantry.definition import fields, models

FOLDER = f"{session.HOME}/ws/chef"
FIRST_BOOT = f"{FOLDER}/first-boot.json"
EXTRA = f"{FOLDER}/client-extra.rb"
TRUSTED = f"{FOLDER}/trusted.crt"
CLIENT_KEY = "/etc/chef/client.pem"
VALIDATION_KEY = "/etc/chef/validation.pem"
DEFAULT_ENVIRONMENT = "_default"


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
    """

    connection: names.ConnectionId
    url: str
    environment: str | None = None
    certificate: str | None = None
    validator: chef_server.Actor | None = None
    admin: chef_server.Actor | None = None


class ChefManager:
    """Chef for the servers of one tier. See `manager.Manager`."""

    files: tuple[str, ...] = (CLIENT_KEY, FIRST_BOOT, EXTRA, TRUSTED)

    def __init__(
        self, definition: models.Definition, settings: models.Chef, credentials: Credentials
    ) -> None:
        self._definition = definition
        self._settings = settings
        self._credentials = credentials

    @property
    def environment(self) -> str:
        """The Chef environment: the definition's, else the connection's."""
        return self._settings.environment or self._credentials.environment or DEFAULT_ENVIRONMENT

    def prepare(self, server: inventory.Server, applied: Applied) -> Work:
        """`first-boot.json`, settings and certificate, as far as they are not there.

        The validator's key is not among them: it travels with the run that needs it.

        Raises:
            NoValidatorError: the run could not register the node.
        """
        self._token(server, applied)
        wanted = (
            session.RemoteFile(FIRST_BOOT, manager.first_boot(self._definition, server)),
            session.RemoteFile(EXTRA, client_settings(self._settings)),
            session.RemoteFile(TRUSTED, (self._credentials.certificate or "").encode()),
        )
        return Work(
            tuple(each for each in wanted if manager.differs(applied.digests, each.path, each.content))
        )

    def run(self, server: inventory.Server, applied: Applied, occasion: manager.Occasion) -> Work:
        """One run of chef-client; a node that is not registered gets the validator's key for it.

        Raises:
            NoValidatorError: it could not register the node.
        """
        first_boot = manager.first_boot(self._definition, server)
        wanted = manager.digest(first_boot, self.environment, self._credentials.url)
        if not occasion.wants(applied, wanted, self._settings.converge):
            return Work()
        token = self._token(server, applied)
        validator = self._credentials.validator
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
            remove=(token.path, VALIDATION_KEY) if token else (),
            mark=occasion.mark(wanted),
            unmark=(manager.MARK,),
        )
        return Work((token,) if token else (), (job,))

    def _token(self, server: inventory.Server, applied: Applied) -> session.RemoteFile | None:
        if registered(applied):
            return None
        if self._credentials.validator is None:
            raise NoValidatorError(server.name, self._credentials.connection)
        key = self._credentials.validator.private_key
        return session.RemoteFile(f"{session.TEMPORARY}/chef-validation.pem", key.encode())


def registered(applied: Applied) -> bool:
    """Whether the server has a client key of its own."""
    return CLIENT_KEY in applied.digests


def forget(credentials: Credentials, servers: Iterable[str]) -> tuple[str, ...]:
    """Remove nodes and clients from the Chef server; what was removed, as `node NAME` and `client NAME`.

    Raises:
        LookupError: the credentials name no administrator; ask before.
        ChefServerError and its kin: the Chef server refuses, or cannot be reached.
    """
    if credentials.admin is None:
        raise LookupError("nobody to remove nodes as")
    server = chef_server.ChefServer(credentials.url, credentials.admin, credentials.certificate)
    wanted = set(servers)
    return (
        *(f"node {name}" for name in sorted(wanted & set(server.nodes())) if server.delete_node(name)),
        *(f"client {name}" for name in sorted(wanted & set(server.clients())) if server.delete_client(name)),
    )


def client_settings(settings: models.Chef) -> bytes:
    """The lines of `client.rb` beyond those that the agent's script writes itself."""
    lines = []
    if settings.log_level != "auto":
        lines.append(f"log_level :{settings.log_level}")
    if settings.accept_license:
        lines.append("chef_license 'accept'")
    lines += [f"{name} {_ruby(value)}" for name, value in sorted(settings.settings.items())]
    return "".join(f"{line}\n" for line in lines).encode()


def _ruby(value: fields.Scalar) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return json.dumps(value)
