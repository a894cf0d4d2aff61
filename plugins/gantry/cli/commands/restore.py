"""`gantry restore`: replaces data of a deployment with a backup's, after its name has been typed."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import confirm as confirming
from gantry.cli.support import option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@dataclasses.dataclass(frozen=True)
class RestoreForm:
    """The fields of the form in the UI besides the backup."""

    object_: Annotated[
        str,
        typer.Option(
            "--object",
            metavar="OBJECT",
            help="The object's name, or its address s3://… in a folder that the definition allows. Left out: the "
            "newest.",
            show_default=False,
            rich_help_panel=options.FORM,
        ),
    ] = ""
    confirm: options.Confirm = None
    reason: options.Reason = ""


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry restore shop catalog[/]  the newest backup; asks for the deployment's name first

[cyan]gantry restore shop catalog --object 20260301T020000Z-1a2b3c.sql --confirm shop[/]  another one, for scripts"""
)
@option_groups.expanded
def restore(
    name: options.Name,
    backup: Annotated[
        str, typer.Argument(metavar="BACKUP", help="The backup's name in the definition.", show_default=False)
    ],
    form: RestoreForm,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
) -> int:
    """Restore a backup. All later changes of the deployment's data are lost.

    The object is checked on the server before anything is changed. Exits with 0 when the service's check succeeds
    again, otherwise with 1 and each failed task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, _ = definition.at_hand(name)
    api = airflow.api()
    deployments.find(api, name)
    request = requests.RestoreRequest(
        backup=backup,
        object=form.object_,
        confirm=confirming.typed(name, requests.RestoreRequest, form.confirm),
        reason=form.reason,
    )
    return run_operation.operate(api, name, names.Operation.RESTORE, request, waiting)
