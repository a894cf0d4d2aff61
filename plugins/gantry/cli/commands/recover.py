"""`gantry recover`: replaces lost servers of a deployment, and follows the recovery."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gantry import names
from gantry.cli import run_operation
from gantry.cli.support import option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

Servers = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SERVER]...",
        help="By name, or TIER-SLOT: replace only these, immediately. Left out: every lost server.",
        show_default=False,
    ),
]


@dataclasses.dataclass(frozen=True)
class RecoverForm:
    """The fields of the form in the UI besides the servers."""

    anyway: Annotated[
        bool,
        typer.Option(
            "--anyway",
            help="Replace the named servers even if they are healthy.",
            rich_help_panel=options.FORM,
        ),
    ] = False
    from_dump: options.FromDump = None
    from_backup: options.FromBackup = None
    reason: options.Reason = ""


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry recover shop[/]  replace every lost server

[cyan]gantry recover shop web-2[/]  this one, without waiting until its recovery delay is over

[cyan]gantry recover shop web-2 --anyway --reason "a disk that creaks"[/]  even if it is well

[cyan]gantry recover shop --from-dump db.main[/]  a lost database without a backup starts over from its dump"""
)
@option_groups.expanded
def recover(
    name: options.Name,
    form: RecoverForm,
    waiting: run_operation.Waiting,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    servers: Servers = None,
) -> int:
    """Replace lost servers in their slots: balancers remove them, new ones go through all phases of a launch.

    The work is done by Airflow; this command triggers it over its API and watches. Ctrl-C ends the watching, not the
    recovery. Exits with 0 when every lost server is replaced, otherwise with 1, also if none is lost.
    """
    from gantry import requests  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.RECOVER)
    deployments.operable(api, name, dag, unpause=waiting.unpause)
    request = requests.RecoverRequest(
        servers=tuple(servers or ()),
        anyway=form.anyway,
        from_dump=tuple(form.from_dump or ()),
        from_backup=tuple(form.from_backup or ()),
        reason=form.reason,
    )
    conf = request.checked_conf(requests.schemas_of(api.params(dag)))
    return run_operation.carry_out(api, name, dag, conf, known, waiting)
