"""Arguments and options shared by several commands, so that names, help and completion are the same."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable
from typing import Annotated

import typer

from gantry.cli.support import definitions

FORM = "What the trigger form asks for"
AIRFLOW = "Which Airflow"
"""Titles under which `--help` groups options."""


def _each_is_set(values: list[str] | None) -> list[str] | None:
    """Reject `--set` without `=`; as a usage error, so that nothing is tried."""
    variables(values)
    return values


def each_is_a_count(values: list[str] | None) -> list[str] | None:
    """Reject a tier without a number, as above."""
    counts(values)
    return values


def deployments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return names of deployments, for shell completion."""
    return definitions.completions(incomplete, ctx.params.get("folder"))


def _environments(ctx: typer.Context, incomplete: str) -> list[str]:
    return definitions.environments(incomplete, ctx.params.get("name"), ctx.params.get("folder"))


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A deployment's name, or the path of its definition.",
        show_default=False,
        autocompletion=deployments,
    ),
]
"""`name`: the deployment; `definitions.find` turns it into a definition."""

Folder = Annotated[
    pathlib.Path,
    typer.Option(
        "--definitions",
        metavar="DIR",
        envvar=definitions.VARIABLE,
        help="The folder of definitions, searched recursively.",
        file_okay=False,
    ),
]
"""`folder`, default `definitions.FOLDER`."""

Environment = Annotated[
    str | None,
    typer.Option(
        "--environment",
        "-e",
        metavar="ENV",
        help="Apply the overlay [bold]NAME.ENV.yaml[/], which is next to the definition.",
        show_default=False,
        autocompletion=_environments,
    ),
]
"""`environment`, default None."""

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set a variable of the definition; this takes precedence over the file and the environment. Repeatable.",
        show_default=False,
        callback=_each_is_set,
    ),
]
"""`settings`, default None; parsed by `variables`."""

Servers = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TIER=N",
        help="Minimum number of servers of a tier, within the definition's limits. Repeatable.",
        callback=each_is_a_count,
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`servers`, default None; parsed by `counts`."""

FromDump = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SERVICE.DATASOURCE",
        help="If the server of this datasource is lost, let its data start over from the dump instead of its newest "
        "backup. Repeatable.",
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`from_dump`, default None."""

FromBackup = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SERVICE.DATASOURCE",
        help="If nothing is noted of this datasource's data, and it may have been there: restore its newest backup. "
        "Repeatable.",
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`from_backup`, default None."""

ReloadDump = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SERVICE.DATASOURCE",
        help="Load this datasource from its dump although it holds data, which is lost. Repeatable.",
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`reload_dump`, default None."""

Confirm = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The deployment's name, instead of typing it.",
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`confirm`, default None."""

NewBundle = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="The DAG bundle that the definition has moved to, where a run was refused for that.",
        show_default=False,
        rich_help_panel=FORM,
    ),
]
"""`new_bundle`, default empty."""

Reason = Annotated[
    str,
    typer.Option(metavar="TEXT", help="Kept in the run's record.", show_default=False, rich_help_panel=FORM),
]
"""`reason`, default empty."""

Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A profile of [bold]~/.config/gantry/profiles.toml[/] (GANTRY_PROFILES names another file). Or "
        "GANTRY_PROFILE. Left out: the only one, or the one called default.",
        show_default=False,
        rich_help_panel=AIRFLOW,
    ),
]
"""`profile`, default None."""

Json = Annotated[bool, typer.Option("--json", help="Output JSON, for programs.")]
"""`json_`, default False."""


def variables(settings: Iterable[str] | None) -> dict[str, str]:
    """Return the values of `--set`, by name. The last one of a name counts.

    Raises:
        typer.BadParameter: a setting is not `NAME=VALUE`.
    """
    found = {}
    for each in settings or ():
        name, sign, value = each.partition("=")
        if not sign or not name:
            message = f"{each!r} is not NAME=VALUE, such as region=eu-central-1"
            raise typer.BadParameter(message, param_hint="--set")
        found[name] = value
    return found


def counts(servers: Iterable[str] | None) -> dict[str, int]:
    """Return the values of `TIER=N`, by tier. The last one of a tier counts.

    Raises:
        typer.BadParameter: one is not `TIER=N`.
    """
    found = {}
    for each in servers or ():
        tier, _, count = each.partition("=")
        if not tier or not count.isdecimal():
            raise typer.BadParameter(f"{each!r} is not TIER=N, such as web=3", param_hint="TIER=N")
        found[tier] = int(count)
    return found
