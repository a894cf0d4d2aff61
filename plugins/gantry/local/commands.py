"""`gantry demo`: launches deployments on this machine, on an embedded cloud, with a real Airflow."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gantry import local
from gantry.cli.support import console

if TYPE_CHECKING:
    from gantry.local.demo import background

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Try deployments out on this machine: an embedded cloud (EC2, S3, Chef) and a real Airflow.",
    epilog="It needs the extra [bold]local[/] (pip install 'airflow-provider-gantry\\[local]'), Debian 12 and root; "
    "elsewhere it says what is missing.",
)

_Name = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        envvar="GANTRY_DEMO",
        help="Several can run side by side; each has a profile of its name.",
    ),
]
_Port = Annotated[
    int | None, typer.Option(help="Airflow's port; without it 8080, or a free one.", show_default=False)
]
_Realistic = Annotated[
    bool,
    typer.Option(
        "--realistic",
        help="EC2's own delays and limits: new servers are listed late, consoles are empty for a minute, calls "
        "are throttled.",
    ),
]

_Region = Annotated[
    str | None,
    typer.Option(help="Where the embedded cloud is, and a bookshop that is brought.", show_default=False),
]


@app.command(
    epilog="Examples:\n\n"
    "gantry demo up                in the folder of an Airflow project\n\n"
    "gantry demo up --bookshop     with an example: three tiers, a database, Chef"
)
def up(
    *,
    bookshop: Annotated[
        bool,
        typer.Option(
            "--bookshop", help="Bring the bookshop: its files into this project, its archives into S3."
        ),
    ] = False,
    name: _Name = local.DEMO,
    port: _Port = None,
    realistic: _Realistic = False,
    region: _Region = None,
) -> None:
    """Start a demo of the project in this folder; it runs in the background until `gantry demo down`.

    Prepares the machine, starts the embedded cloud and an Airflow on the folder's [bold]dags/[/], and creates the
    connections that the definitions name. Writes a profile, so that `gantry plan`, `launch`, `status`, `logs` and
    `terminate` find both. When called again, it adds new connections, and restarts what is gone.
    """
    from gantry.local.cloud import behavior  # noqa: PLC0415 - Docker, Airflow: not for --help
    from gantry.local.demo import background  # noqa: PLC0415 - Docker, Airflow: not for --help

    # When asked to end, it removes what it has started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    wanted = behavior.REALISTIC if realistic else behavior.BRISK
    begun = background.up(
        name, Path.cwd(), console.say, port=port, bookshop=bookshop, region=region, wanted=wanted
    )
    _explain(begun)


@app.command()
def down(*, name: _Name = local.DEMO) -> None:
    """End the demo and remove all of it: servers, objects, Airflow, profile. Also after a crash."""
    from gantry.local.demo import background  # noqa: PLC0415 - as above

    removed = background.down(name, console.say)
    for thing in removed:
        console.say(f"removed {thing}")
    console.say("nothing is left of the demo" if removed else "there was nothing to remove")


@app.command()
def status(
    *,
    name: _Name = local.DEMO,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what is running: Airflow, the embedded cloud, its servers and buckets. Exit code 1 if a part is missing."""
    from gantry.local.demo import background  # noqa: PLC0415 - as above
    from gantry.local.demo import status as report  # noqa: PLC0415 - as above

    found = report.look(name)
    if json:
        console.as_json(found.json())
    else:
        for line in report.lines(found, background.find(name)):
            console.say(line)
    if not found.stands:
        raise typer.Exit(console.FAILURE)


@app.command()
def run(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Check the result, launch again, terminate, and end.")
    ] = False,
    name: _Name = local.DEMO,
    port: _Port = None,
    realistic: _Realistic = False,
    region: Annotated[
        str | None,
        typer.Option(help="Of cloud and bookshop; without it the definition's.", show_default=False),
    ] = None,
) -> None:
    """Launch the bookshop and show its progress; Ctrl-C removes all of it.

    This is what `make demo` runs. Uses the bookshop of this folder if there is one, else the package's.
    """
    from gantry.local import resources  # noqa: PLC0415 - as above
    from gantry.local.demo import machine  # noqa: PLC0415 - as above
    from gantry.local.demo import run as demo  # noqa: PLC0415 - as above

    machine.require_libraries()
    here = Path.cwd()
    folder = here if (here / resources.BOOKSHOP[0]).is_dir() else resources.ROOT
    machine.prepare(console.say)
    code = demo.attend(name, folder, port, once=once, region=region, realistic=realistic)
    raise typer.Exit(code)


def _explain(begun: background.Begun) -> None:
    stands = begun.standing
    example = begun.project.deployments[0] if begun.project.deployments else "NAME"
    console.say()
    console.say(f"Airflow   {stands.url}   user {stands.user}   password {stands.password}")
    console.say(f"pages     {stands.url}/plugin/deployments")
    console.say(f"Profile   {stands.name}, in {begun.profile}: the commands below need no more options")
    console.say()
    for command, purpose in (
        ("gantry archive FOLDER s3://BUCKET/FILE --create-bucket", "upload a service"),
        (f"gantry plan {example}", "what a launch would do"),
        (f"gantry launch {example}", "do it"),
        ("gantry demo status", "what is running"),
        ("gantry demo down", "remove everything"),
    ):
        console.say(f"  {command:<56} {purpose}")
