"""`gantry launch`: triggers a deployment's launch in Airflow and follows it until the deployment is RUNNING."""

from __future__ import annotations

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import option_groups, options, target
from gantry.cli.support.launch_form import LaunchForm

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry launch shop[/]  what is missing is started, what has changed is applied, the rest is left alone

[cyan]gantry launch shop --servers web=4 --reason "sale on Friday"[/]  more servers

[cyan]gantry launch shop --redeploy app --timeout 30m[/]  install a service again; wait half an hour at most

[cyan]gantry launch shop --profile production --no-wait[/]  trigger it in another Airflow, and look later

[cyan]gantry launch shop --json | jq -r .state[/]  for programs"""
)
@option_groups.expanded
def launch(
    name: options.Name,
    form: LaunchForm,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    reason: options.Reason = "",
) -> int:
    """Launch a deployment, or bring it up to date, and show the progress of each phase.

    The work is done by Airflow; this command triggers it over its API and watches. Ctrl-C ends the watching, not the
    launch. Exits with 0 when the deployment is RUNNING, otherwise with 1 and each failed task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    request = form.request(reason)
    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.LAUNCH)
    deployments.ready(api, name, dag, unpause=waiting.unpause)
    conf = request.checked_conf(requests.schemas_of(api.params(dag)))
    return run_operation.carry_out(api, name, dag, conf, known, waiting)
