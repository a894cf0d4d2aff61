"""`gantry backup`: creates backups of a deployment now."""

from __future__ import annotations

from typing import Annotated

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry backup shop[/]  all backups of the definition, now

[cyan]gantry backup shop --only catalog --reason "before the sale"[/]  one of them"""
)
@option_groups.expanded
def backup(
    name: options.Name,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BACKUP",
            help="This backup, by its name in the definition. Repeatable.",
            show_default=False,
        ),
    ] = None,
    reason: options.Reason = "",
) -> int:
    """Back up a deployment: all [bold]backups[/] in its definition, or some of them.

    Exits with 0 when each backup is uploaded and complete, otherwise with 1 and each failed task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load

    name, _ = definition.at_hand(name)
    request = requests.BackupRequest(backups=tuple(only or ()), reason=reason)
    return run_operation.operate(airflow.api(), name, names.Operation.BACKUP, request, waiting)
