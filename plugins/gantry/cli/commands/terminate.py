"""`gantry terminate`: terminates a deployment, after its name has been typed."""

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
class TerminateForm:
    """The fields of the form in the UI."""

    confirm: options.Confirm = None
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Skip servers that do not answer and services that do not stop: they are terminated anyway.",
            rich_help_panel=options.FORM,
        ),
    ] = False
    final_backup: Annotated[
        bool | None,
        typer.Option(
            "--final-backup/--no-final-backup",
            help="Make all backups first; if one fails, nothing is terminated. Left out: as the definition says.",
            show_default=False,
            rich_help_panel=options.FORM,
        ),
    ] = None
    new_bundle: options.NewBundle = ""
    reason: options.Reason = ""


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry terminate shop[/]  asks for the deployment's name first

[cyan]gantry terminate shop --final-backup[/]  back everything up first, and continue only if that succeeds

[cyan]gantry terminate shop --force[/]  also with a server that does not answer any more

[cyan]gantry terminate shop --confirm shop --reason "end of the test"[/]  for scripts"""
)
@option_groups.expanded
def terminate(
    name: options.Name,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    form: TerminateForm,
) -> int:
    """Terminate all servers of a deployment, balancers and services first. Their data is lost with them.

    Works on a half-launched deployment too. If a server does not answer, or a service does not stop, nothing is
    terminated, unless [bold]--force[/] skips them. Exits with 0 when nothing is left, otherwise with 1 and each failed
    task's error.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.TERMINATE)
    deployments.find(api, name, dag)
    typed = confirming.typed(name, requests.TerminateRequest, form.confirm)
    deployments.ready(api, name, dag, unpause=waiting.unpause)
    request = requests.TerminateRequest(
        confirm=typed,
        force=form.force,
        final_backup=form.final_backup,
        new_bundle=form.new_bundle,
        reason=form.reason,
    )
    conf = request.checked_conf(requests.schemas_of(api.params(dag)))
    return run_operation.carry_out(api, name, dag, conf, known, waiting)
