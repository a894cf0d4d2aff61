"""`gantry logs`: prints the logs of a run, a step, or the agent on a server."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from gantry.cli.support import console, option_groups, options, target

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@dataclasses.dataclass(frozen=True)
class Which:
    """Options that select the logs."""

    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="The id of a run. Left out: the newest one.", show_default=False),
    ] = None
    step: Annotated[
        str | None,
        typer.Option(
            "--step",
            "--task",
            metavar="STEP",
            help="Only this step (tier-web.handshake), all of a kind (handshake) or of a part (tier-web).",
            show_default=False,
        ),
    ] = None
    server: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The agent's log on this server, read over SSH. With --step or --run: only what the tasks say of it.",
            show_default=False,
        ),
    ] = None


@dataclasses.dataclass(frozen=True)
class How:
    """Options for amount and format."""

    lines: Annotated[
        int | None,
        typer.Option(
            "--lines",
            "-n",
            metavar="N",
            min=0,
            help="Number of lines from the end of the agent's log.",
            show_default=False,
        ),
    ] = None
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Continue with new lines as they arrive.")
    ] = False
    json_: options.Json = False


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry logs shop[/]  the newest run, task by task

[cyan]gantry logs shop --follow[/]  the current run, live

[cyan]gantry logs shop --step service-app.configure[/]  one step; [cyan]--step configure[/] is that of every service

[cyan]gantry logs shop --server web-2[/]  the agent's own log on a server, over SSH

[cyan]gantry logs shop --step handshake --server web-2[/]  what a step says of one server

[cyan]gantry logs shop --json | jq -r 'select(.level == "error").text'[/]  for programs: a line of JSON for each line"""
)
@option_groups.expanded
def logs(
    name: options.Name,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    which: Which,
    how: How,
) -> int:
    """Show the log of a run, of a step, or of the agent on a server.

    Runs and steps are read from Airflow's API. The agent's log is read from the server itself, with its host key
    checked; this needs the definition, and its connections for cloud and SSH (AIRFLOW_CONN_… variables, or the
    profile's environment file).
    """
    if which.server is None or which.step is not None or which.run is not None:
        if how.lines is not None:
            raise typer.BadParameter("this is for the agent's log (--server alone)", param_hint="--lines")
        return _of_run(name, definition, airflow, which, how)
    if how.json_:
        raise typer.BadParameter("the agent's log is plain text", param_hint="--json")
    known = definition.find(name)
    airflow.use_connections()
    # asyncssh, the amazon provider and with it Airflow take seconds to load.
    from gantry.cli.queries import servers  # noqa: PLC0415

    servers.agent_log(known, which.server, console.raw(), lines=how.lines, follow=how.follow)
    return console.SUCCESS


def _of_run(
    name: str, definition: target.DefinitionLocation, airflow: target.AirflowTarget, which: Which, how: How
) -> int:
    from gantry.cli.output import task_logs  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.cli.support import definitions  # noqa: PLC0415 - httpx and pydantic, which help need not load

    if definitions.is_path(name):
        name = definition.find(name).deployment
    wanted = task_logs.LogSelection(name, which.run, which.step, which.server)
    show = task_logs.as_json if how.json_ else task_logs.Printer(console.out).show
    task_logs.tell(airflow.api(), wanted, show, follow=how.follow)
    return console.SUCCESS
