"""`gantry new`: creates a working deployment as a starting point."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gantry.cli.support import console, definitions, options

if TYPE_CHECKING:
    from gantry.cli.output import project_template

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_Answer = TypeVar("_Answer", str, int)
DAGS = pathlib.Path("dags")

# These exist in the embedded cloud of `gantry demo up`, so that the first launch needs no account anywhere.
CONNECTION = "aws_default"
REGION = "eu-central-1"
IMAGE = "gantry-debian-12-prepared"
SIZE = "t3.small"
SSH_CONNECTION = "gantry_ssh"
SERVERS = 2
PORT = 8000


def _option(help_: str, default: object, *names: str) -> Any:  # noqa: ANN401 - typer's own kind of annotation
    return typer.Option(*names, help=f"{help_} \\[default: {default}]", show_default=False)


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry new shop[/]  asks for the values it needs, and proposes those of the embedded cloud

[cyan]gantry new shop --yes[/]  accepts all proposals

[cyan]gantry new shop --region eu-west-1 --image ami-0123456789abcdef0 --ssh-connection shop_ssh[/]"""
)
def new(  # noqa: PLR0913 - one parameter an option
    name: Annotated[str, typer.Argument(metavar="NAME", help="The deployment's name.", show_default=False)],
    *,
    folder: options.Folder = definitions.FOLDER,
    dags: Annotated[
        pathlib.Path,
        typer.Option(metavar="DIR", help="Airflow's DAGs folder, for the loader.", file_okay=False),
    ] = DAGS,
    connection: Annotated[str | None, _option("Airflow connection of the type aws.", CONNECTION)] = None,
    region: Annotated[str | None, _option("The cloud's region.", REGION)] = None,
    image: Annotated[str | None, _option("An AMI's id or name.", IMAGE)] = None,
    size: Annotated[str | None, _option("Instance type.", SIZE)] = None,
    ssh_connection: Annotated[
        str | None, _option("Airflow connection of the type ssh.", SSH_CONNECTION)
    ] = None,
    bucket: Annotated[str | None, _option("Bucket for the service's archive.", "NAME")] = None,
    servers: Annotated[int | None, _option("How many servers the service has.", SERVERS)] = None,
    port: Annotated[int | None, _option("The port that the service listens on.", PORT)] = None,
    host_name: Annotated[
        str | None, _option("The host name that the balancer answers for.", "NAME.example.com")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: accept all proposals.")] = False,
    json_: options.Json = False,
) -> None:
    """Write a deployment that can be launched: definition, loader, and a service to replace with your own program.

    It has two servers with a small web service behind a load balancer. Values that are not given as options are asked
    for on a terminal; otherwise the proposals are used. No file is ever overwritten.
    """
    from gantry import definition  # noqa: PLC0415 - pydantic and YAML, which help need not load
    from gantry.cli.output import project_template  # noqa: PLC0415 - as above

    project_template.check("name", name)
    ask = _asking(interactive=not (yes or json_) and sys.stdin.isatty())
    answers = project_template.ProjectAnswers(
        name=name,
        connection=ask("connection", "Airflow connection of the cloud", CONNECTION, connection),
        region=ask("region", "Region", REGION, region),
        image=ask("image", "Image", IMAGE, image),
        size=ask("size", "Instance type", SIZE, size),
        ssh_connection=ask("ssh_connection", "Airflow connection for SSH", SSH_CONNECTION, ssh_connection),
        bucket=ask("bucket", "Bucket for the service's archive", project_template.bucket_for(name), bucket),
        servers=ask("servers", "Servers of the service", SERVERS, servers),
        port=ask("port", "Port of the service", PORT, port),
        host_name=ask("host_name", "Host name of the balancer", f"{name}.example.com", host_name),
    )
    wanted = project_template.files(answers, dags, folder)
    # Before anything is written: the template filled in with these answers.
    definition.loads(wanted[0].text, str(wanted[0].path))
    schema = project_template.schema_file(folder)
    is_there = os.path.lexists(schema.path)
    project_template.write(wanted if is_there else [*wanted, schema])
    written = [each.path for each in wanted] + ([] if is_there else [schema.path])
    steps = _next_steps(answers, folder)
    if json_:
        console.as_json({"files": [str(each) for each in written], "next": [*steps]})
        return
    for path in written:
        console.say(f"wrote {path}")
    console.say(
        f"\nAirflow needs the connections {answers.connection} (aws) and {answers.ssh_connection} (ssh); "
        "`gantry demo up` creates both, and a cloud to try it on.\n\nNext:"
    )
    for step in steps:
        console.say(f"  {step}")


def _asking(*, interactive: bool) -> Callable[[str, str, _Answer, _Answer | None], _Answer]:
    """Return a function that gets an answer from an option, a prompt, or the proposal."""

    def ask(key: str, question: str, proposal: _Answer, given: _Answer | None) -> _Answer:
        if given is not None or not interactive:
            return proposal if given is None else given
        answer: _Answer = typer.prompt(question, default=proposal, value_proc=_checked(key, type(proposal)))
        return answer

    return ask


def _checked(key: str, kind: type[_Answer]) -> Callable[[str], _Answer]:
    """Validate an answer by the definition's models; after an error, the question is asked again."""
    from gantry.cli.output import project_template  # noqa: PLC0415 - as above

    def value(text: str) -> _Answer:
        try:
            answer = kind(text)
            project_template.check(key, answer)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is not a whole number") from None
        except project_template.UnusableAnswerError as error:
            raise typer.BadParameter(error.reason) from None
        return answer

    return value


def _next_steps(answers: project_template.ProjectAnswers, folder: pathlib.Path) -> list[str]:
    from gantry.cli.output import project_template  # noqa: PLC0415 - as above

    elsewhere = (
        ""
        if folder == definitions.FOLDER or definitions.VARIABLE in os.environ
        else f" --definitions {folder}"
    )
    return [
        f"gantry validate {folder / answers.name}",
        f"{project_template.archive_command(answers, folder)} --create-bucket{elsewhere}",
        f"gantry plan {answers.name}{elsewhere}",
        f"gantry launch {answers.name}",
    ]
