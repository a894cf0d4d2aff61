"""`gantry plan`: shows what a launch would do now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gantry import errors, names
from gantry.cli.support import connections, console, definitions, option_groups, options, target
from gantry.cli.support.launch_form import LaunchForm

if TYPE_CHECKING:
    from gantry.definition import models

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry plan bookshop[/]

[cyan]gantry plan bookshop -e staging --set greeting=Hi[/]

[cyan]gantry plan bookshop --servers application=3 --redeploy app[/]

[cyan]gantry plan bookshop --json | jq '.changes\\[] | select(.restarts) | .server'[/]"""
)
@option_groups.expanded
def plan(  # noqa: PLR0913 - one parameter an option
    *,
    name: options.Name,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
    form: LaunchForm,
    diff: Annotated[bool, typer.Option(help="Show how configuration files change.")] = True,
    profile: options.Profile = None,
    json_: options.Json = False,
) -> int:
    """Show what a launch would do now, without doing it.

    Queries the cloud and every server (over SSH, read-only) with the Airflow connections that the definition names:
    from AIRFLOW_CONN_… variables, the profile's environment file, the secrets backend or Airflow's database, according
    to Airflow's configuration here.

    Exits with 2 if there is something to do or something cannot be determined, 0 if a launch would change nothing, 1
    on errors.
    """
    found = definitions.find(name, folder, environment=environment, variables=options.variables(settings))

    connections.prepare(profile)
    # Airflow and the libraries for clouds and servers take a second or two to load.
    from gantry.cli.output import plan_text  # noqa: PLC0415
    from gantry.preview import dry_run  # noqa: PLC0415

    kept_, ran = _kept(found.definition, profile)
    report = dry_run.rehearse(found.definition, form.request(), kept_, ran=ran, read=found.source)
    report = report.with_remarks(_moved(found.definition, profile, kept_, form.new_bundle))
    if json_:
        console.as_json(report.as_json())
    else:
        plan_text.show(report, console.out, diffs=diff)
    return console.SUCCESS if report.nothing_to_do else console.CHANGES


def _moved(
    definition: models.Definition, profile: str | None, kept: dict[str, Any] | None, new_bundle: str
) -> Iterator[str]:
    """Yield what is to say about the DAG bundle of the definition; nothing if Airflow does not say which it is."""
    from gantry import overview  # noqa: PLC0415 - as above

    if kept is None:
        return
    try:
        bundle = target.AirflowTarget(profile=profile).api().dag(definition.deployment).bundle
    except errors.GantryError:
        # As below; or it has not read the definition yet.
        return
    left = overview.left_bundle(kept, bundle)
    if left and new_bundle != bundle:
        yield overview.told_bundles(left, bundle)


def _kept(definition: models.Definition, profile: str | None) -> tuple[dict[str, Any] | None, bool]:
    """Return the deployment's state in Airflow, and, if that is incomplete, whether runs of it have loaded data.

    None if it is not configured which Airflow to ask, or if it does not answer.
    """
    from gantry.cli.queries import asset_state  # noqa: PLC0415 - as above
    from gantry.plan import LAUNCHING  # noqa: PLC0415
    from gantry.preview import data_loss  # noqa: PLC0415
    from gantry.reconcile import data_history  # noqa: PLC0415

    airflow = target.AirflowTarget(profile=profile)
    try:
        if not airflow.is_configured():
            return None, False
        api = airflow.api()
        found = asset_state.kept(api, definition.deployment)
        dags = [names.dag_id(definition.deployment, each) for each in LAUNCHING]
        ran = not data_history.is_complete(data_loss.StoredFacts(found)) and api.has_succeeded(
            dags, data_history.telling(definition)
        )
    except errors.GantryError:
        # A preview does not need Airflow; it then lists what it does not know.
        return None, False
    return found, ran
