"""Options of a launch, which `gantry launch` and `gantry plan` share."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli.support import options

if TYPE_CHECKING:
    from gantry import requests


@dataclasses.dataclass(frozen=True)
class LaunchForm:
    """The fields of the form in the UI, without the reason."""

    servers: options.Servers = None
    redeploy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE",
            help="Install, configure and restart this service even if nothing about it has changed. Repeatable.",
            show_default=False,
            rich_help_panel=options.FORM,
        ),
    ] = None
    converge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TIER",
            help="Run configuration management on this tier again. Repeatable.",
            show_default=False,
            rich_help_panel=options.FORM,
        ),
    ] = None
    from_dump: options.FromDump = None
    from_backup: options.FromBackup = None
    reload_dump: options.ReloadDump = None
    new_bundle: options.NewBundle = ""

    def request(self, reason: str = "") -> requests.LaunchRequest:
        """Return what the launch is asked for. Raises typer.BadParameter for a tier without a number."""
        from gantry import requests  # noqa: PLC0415 - pydantic, which help need not load

        return requests.LaunchRequest(
            servers=options.counts(self.servers),
            redeploy=tuple(self.redeploy or ()),
            converge=tuple(self.converge or ()),
            from_dump=tuple(self.from_dump or ()),
            from_backup=tuple(self.from_backup or ()),
            reload_dump=tuple(self.reload_dump or ()),
            new_bundle=self.new_bundle,
            reason=reason,
        )
