"""`gantry terminate`: takes a deployment down, once its name has been typed."""

from __future__ import annotations

from typing import Annotated

import typer

from gantry import names
from gantry.cli import carrying, confirming, groups, options, reach

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry terminate shop[/]  asks for the deployment's name first

[cyan]gantry terminate shop --confirm shop --reason "end of the test"[/]  for scripts"""
)
@groups.expanded
def terminate(
    name: options.Name,
    waiting: carrying.Waiting,
    definition: reach.Definition,
    airflow: reach.Airflow,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The deployment's name, instead of typing it.", show_default=False),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept in the run's record.", show_default=False)
    ] = "",
) -> int:
    """Terminate all servers of a deployment, balancers and services first. Their data is lost with them.

    Works on a half-launched deployment too. Ends with 0 when nothing is left, with 1 and each failed task's error
    otherwise.
    """
    from gantry import plan  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.TERMINATE)
    deployments.find(api, name, dag)
    warning = f"All servers of {name} will be terminated, and their data is lost with them."
    typed = confirming.typed(name, warning, confirm, "nothing is terminated")
    deployments.ready(api, name, dag, unpause=waiting.unpause)
    steps = None if known is None else plan.termination_plan(known)
    conf = {"confirm": typed, **({"reason": reason} if reason else {})}
    return carrying.carry_out(api, name, dag, conf, steps, waiting)
