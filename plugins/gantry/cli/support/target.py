"""Options that select the Airflow and the definition of a command."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from gantry import errors
from gantry.cli.support import console, definitions, options

if TYPE_CHECKING:
    from gantry.definition import models
    from gantry.rest import client, login


@dataclasses.dataclass(frozen=True)
class AirflowTarget:
    """Airflow's location and login. Options take precedence over the environment, and that over a profile."""

    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The URL of Airflow's UI. Or GANTRY_URL, or a profile's.",
            show_default=False,
            rich_help_panel=options.AIRFLOW,
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="A token for its API; GANTRY_TOKEN is better, since any user of this machine sees arguments.",
            show_default=False,
            rich_help_panel=options.AIRFLOW,
        ),
    ] = None
    username: Annotated[
        str | None,
        typer.Option(
            metavar="USER",
            help="Instead of a token: the user to log in as. Or GANTRY_USERNAME.",
            show_default=False,
            rich_help_panel=options.AIRFLOW,
        ),
    ] = None
    password_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with the user's password. Or GANTRY_PASSWORD.",
            show_default=False,
            rich_help_panel=options.AIRFLOW,
        ),
    ] = None
    ca_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="Certificates (PEM) of your own authority, if it signed Airflow's. Or GANTRY_CA_FILE.",
            show_default=False,
            rich_help_panel=options.AIRFLOW,
        ),
    ] = None
    profile: options.Profile = None

    def api(self) -> client.AirflowApi:
        """Return its API. Raises RestError, ProfileError."""
        from gantry.rest import client, login  # noqa: PLC0415 - httpx, which help need not load

        return client.AirflowApi(login.find(self._options()))

    def is_configured(self) -> bool:
        """Return whether an Airflow is configured."""
        from gantry.rest import login  # noqa: PLC0415 - as above

        return login.is_configured(self._options())

    def use_connections(self) -> None:
        """Make connections available in this process, from the profile's environment file and Airflow's sources."""
        from gantry.cli.support import connections  # noqa: PLC0415 - as above

        connections.prepare(self.profile)

    def _options(self) -> login.Options:
        from gantry.rest import login  # noqa: PLC0415 - as above

        return login.Options(**{each.name: getattr(self, each.name) for each in dataclasses.fields(self)})


@dataclasses.dataclass(frozen=True)
class DefinitionLocation:
    """Where the definition of what Airflow runs is, if it is at hand."""

    folder: options.Folder = definitions.FOLDER
    environment: options.Environment = None
    settings: options.Set = None

    def find(self, name: str) -> models.Definition:
        """Return the definition. Raises UnknownDefinitionError, DefinitionError."""
        found = definitions.find(
            name, self.folder, environment=self.environment, variables=options.variables(self.settings)
        )
        return found.definition

    def at_hand(self, name: str) -> tuple[str, models.Definition | None]:
        """Return the deployment's name, and its definition if it is here.

        Airflow's is decisive, ours only for display.

        Raises:
            GantryError: a path was given, and its file is unusable.
        """
        try:
            found = self.find(name)
        except definitions.UnknownDefinitionError:
            return name, None
        except errors.GantryError as error:
            if definitions.is_path(name):
                raise
            console.complain(f"{error}\nThe progress is shown by tasks, without the definition's phases.")
            return name, None
        return found.deployment, found
