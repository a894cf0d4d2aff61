"""`gantry drill`: tests the backups of a deployment now."""

from __future__ import annotations

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry drill shop[/]  restores the newest backups on servers that are thrown away

[cyan]gantry drill shop --no-wait --reason "new scripts"[/]  for schedulers"""
)
@option_groups.expanded
def drill(
    name: options.Name,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    reason: options.Reason = "",
) -> int:
    """Test whether the newest backups can be restored, on temporary servers.

    The deployment's own servers are not touched. Exits with 0 when each backup was restored and its checks succeed,
    otherwise with 1 and each failed task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load

    name, _ = definition.at_hand(name)
    request = requests.DrillRequest(reason=reason)
    return run_operation.operate(airflow.api(), name, names.Operation.DRILL, request, waiting)
