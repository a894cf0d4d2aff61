"""`gantry backup`: makes backups of a deployment now."""

from __future__ import annotations

from typing import Annotated

import typer

from gantry import names
from gantry.cli import carrying, groups, options, reach

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry backup shop[/]  all backups of the definition, now

[cyan]gantry backup shop --only catalog --reason "before the sale"[/]  one of them"""
)
@groups.expanded
def backup(
    name: options.Name,
    waiting: carrying.Waiting,
    definition: reach.Definition,
    airflow: reach.Airflow,
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
    """Back a deployment up: what its definition's [bold]backups[/] names, or some of it.

    Ends with 0 when each backup is uploaded and complete, with 1 and each failed task's error otherwise.
    """
    from gantry.rest import deployments  # noqa: PLC0415 - pydantic and httpx, which help need not load

    name, _ = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.BACKUP)
    deployments.operable(api, name, dag, unpause=waiting.unpause)
    conf = deployments.backup_conf(api.params(dag), only or (), reason)
    return carrying.carry_out(api, name, dag, conf, None, waiting)
