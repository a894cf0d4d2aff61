"""`gantry status`: shows the state of deployments, according to Airflow, to the cloud's tags, or to both."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli import run_operation
from gantry.cli.support import console, definitions, option_groups, options, target

if TYPE_CHECKING:
    from gantry.cli.queries import deployment_status

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


class StatusSource(enum.StrEnum):
    """Options that select the sources."""

    AIRFLOW = "airflow"
    CLOUD = "cloud"
    BOTH = "both"


def _names(ctx: typer.Context, incomplete: str) -> list[str]:
    return definitions.completions(incomplete, ctx.params.get("folder"))


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry status[/]  all deployments of the Airflow

[cyan]gantry status shop[/]  its tiers, servers and services, and its last run

[cyan]gantry status shop --watch[/]  the current run, until it ends

[cyan]gantry status shop --from cloud[/]  its servers by the cloud's tags; no Airflow is asked

[cyan]gantry status shop --json | jq -r .state[/]  for programs"""
)
@option_groups.expanded
def status(
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A deployment's name, or the path of its definition. Left out: all deployments of the Airflow.",
            show_default=False,
            autocompletion=_names,
        ),
    ] = None,
    source: Annotated[
        StatusSource | None,
        typer.Option(
            "--from",
            help=(
                "Ask Airflow's API, the cloud's tags, or both. Left out: Airflow, or the cloud if no Airflow is "
                "configured."
            ),
            show_default=False,
        ),
    ] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show the current run until it ends.")] = False,
    json_: options.Json = False,
) -> int:
    """Show the state of deployments.

    From Airflow: states of the deployment, its tiers, agents and services, the phase and the last run. From the cloud:
    the existing servers; this needs the definition, and its connections (AIRFLOW_CONN_… variables, the profile's
    environment file, or this machine's own AWS credentials). Exits with 0 if the sources can be read.
    """
    from gantry.cli.output import status_text  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.cli.queries import deployment_status  # noqa: PLC0415 - httpx and pydantic, which help need not load

    if name is None:
        if source is StatusSource.CLOUD or watch:
            raise typer.BadParameter("this needs the name of a deployment", param_hint="NAME")
        return _all(deployment_status.every(airflow.api()), json_=json_)
    if source is None:
        source = StatusSource.AIRFLOW if airflow.is_configured() else StatusSource.CLOUD
    if watch:
        waiting = run_operation.Waiting(json_=json_)
        return _watch(name, definition, airflow, waiting)
    found = _find(name, source, definition, airflow)
    if json_:
        console.as_json(found.as_json())
    else:
        status_text.show(found, console.out)
    return console.SUCCESS


def _find(
    name: str, source: StatusSource, definition: target.DefinitionLocation, airflow: target.AirflowTarget
) -> deployment_status.StatusReport:
    from gantry.cli.queries import deployment_status  # noqa: PLC0415 - as above

    servers = known = None
    if source is StatusSource.AIRFLOW:
        name, known = definition.at_hand(name)
    else:
        known = definition.find(name)
        name = known.deployment
        airflow.use_connections()
        # The amazon provider, and with it Airflow, takes seconds to load.
        from gantry.cli.queries import servers as looking  # noqa: PLC0415

        servers = looking.find(known)
    if source is StatusSource.CLOUD and known is not None and servers is not None:
        return deployment_status.of_cloud(known, servers)
    return deployment_status.of_airflow(airflow.api(), name, known, servers)


def _watch(
    name: str,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    waiting: run_operation.Waiting,
) -> int:
    from gantry.cli.queries import rest_source  # noqa: PLC0415 - as above
    from gantry.rest import deployments  # noqa: PLC0415

    name, known = definition.at_hand(name)
    api = airflow.api()
    deployments.find(api, name)
    run = next((each for each in rest_source.runs(api, name) if each.state == "running"), None)
    if run is None:
        console.complain(f"No run of {name} is in progress.")
        return console.SUCCESS
    return run_operation.follow(api, name, (run.dag, run.id), known, waiting)


def _all(found: list[deployment_status.DeploymentLine], *, json_: bool) -> int:
    from gantry.cli.output import status_text  # noqa: PLC0415 - as above

    if json_:
        console.as_json([each.as_json() for each in found])
    elif found:
        console.show(status_text.table(found))
    else:
        console.say("This Airflow has no deployments.")
    return console.SUCCESS
