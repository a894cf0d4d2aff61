"""`gantry scale`: makes tiers of a running deployment larger or smaller, and follows the scaling."""

from __future__ import annotations

from typing import Annotated

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

Sizes = Annotated[
    list[str],
    typer.Argument(
        metavar="TIER=N...",
        help="Number of servers of a tier, within the definition's limits. Other tiers are not changed.",
        callback=options.each_is_a_count,
        show_default=False,
    ),
]


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry scale shop web=4[/]  more servers: they go through all phases of a launch, and join the balancers

[cyan]gantry scale shop web=2[/]  fewer: the highest slots leave, once the load balancers no longer use them

[cyan]gantry scale shop web=4 worker=2 --reason "sale on Friday" --no-wait[/]  trigger it, and look later"""
)
@option_groups.expanded
def scale(
    name: options.Name,
    sizes: Sizes,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    reason: options.Reason = "",
) -> int:
    """Make tiers of a deployment larger or smaller, and show the progress of each phase.

    The work is done by Airflow; this command triggers it over its API and watches. Ctrl-C ends the watching, not the
    scaling. Exits with 0 when every tier has its number, otherwise with 1 and each failed task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    request = requests.ScaleRequest(servers=options.counts(sizes), reason=reason)
    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.SCALE)
    deployments.scalable(api, name, dag)
    conf = request.checked_conf(requests.schemas_of(api.params(dag)))
    deployments.ready(api, name, dag, unpause=waiting.unpause)
    return run_operation.carry_out(api, name, dag, conf, known, waiting)
