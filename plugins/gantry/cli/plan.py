"""`gantry plan`: what a launch would do now."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gantry import errors, names
from gantry.cli import connections, console, definitions, options, reach

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_REDEPLOY_HELP = "As if this service were to be redeployed: installed, configured and restarted in any case."
_CONVERGE_HELP = "As if this tier were to be converged: configuration management runs in any case."


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry plan bookshop[/]

[cyan]gantry plan bookshop -e staging --set greeting=Hi[/]

[cyan]gantry plan bookshop --servers application=3 --redeploy app[/]

[cyan]gantry plan bookshop --json | jq '.changes\\[] | select(.restarts) | .server'[/]"""
)
def plan(  # noqa: PLR0913 - one parameter an option
    *,
    name: options.Name,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
    servers: options.Servers = None,
    redeploy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE", help=_REDEPLOY_HELP, show_default=False, rich_help_panel=options.FORM
        ),
    ] = None,
    converge: Annotated[
        list[str] | None,
        typer.Option(metavar="TIER", help=_CONVERGE_HELP, show_default=False, rich_help_panel=options.FORM),
    ] = None,
    from_dump: options.FromDump = None,
    diff: Annotated[bool, typer.Option(help="Show how configuration files change.")] = True,
    profile: options.Profile = None,
    json_: options.Json = False,
) -> int:
    """Say what a launch would do now, and do nothing.

    Asks the cloud and every server (over SSH, reading only) with the Airflow connections that the definition names:
    from AIRFLOW_CONN_… variables, the profile's environment file, the secrets backend or Airflow's database, as Airflow
    is configured here.

    Ends with 2 if there is something to do or something cannot be known, 0 if a launch would change nothing,
    1 on errors.
    """
    found = definitions.find(name, folder, environment=environment, variables=options.variables(settings))

    connections.prepare(profile)
    # Airflow and all that speaks to clouds and servers take a second or two to load.
    from gantry.cli import plan_text  # noqa: PLC0415
    from gantry.preview import rehearsal, wishes  # noqa: PLC0415

    wanted = wishes.Wishes(
        servers=options.counts(servers),
        redeploy=frozenset(redeploy or ()),
        converge=frozenset(converge or ()),
        from_dump=frozenset(from_dump or ()),
    )
    report = rehearsal.rehearse(found.definition, wanted, _kept(found.definition.deployment, profile))
    if json_:
        console.as_json(report.as_json())
    else:
        plan_text.show(report, console.out, diffs=diff)
    return console.SUCCESS if report.nothing_to_do else console.CHANGES


def _kept(deployment: str, profile: str | None) -> dict[str, Any] | None:
    """What Airflow keeps about the deployment; None if nobody says which Airflow, or it does not say it."""
    airflow = reach.Airflow(profile=profile)
    try:
        if not airflow.is_configured():
            return None
        return airflow.api().asset_state(names.asset(deployment))
    except errors.GantryError:
        # A preview needs no Airflow; it says then what it does not know.
        return None
