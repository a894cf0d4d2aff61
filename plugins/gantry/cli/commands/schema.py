"""`gantry schema`: prints the JSON Schema of definitions, for editors."""

from __future__ import annotations

import pathlib
import sys
from typing import Annotated

import typer

from gantry.cli.support import console, schema_text

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry schema --output include/definition.schema.json[/]

[cyan]gantry schema --overlay --output include/overlay.schema.json[/]

Then let definitions begin with [cyan]# yaml-language-server: $schema=../definition.schema.json[/], the path as seen
from the file: editors with a YAML language server complete keys, explain them, and mark what is wrong."""
)
def schema(
    *,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="The one for overlays, in which nothing is required.")
    ] = False,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write; one that exists is replaced. Left out: standard output.",
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of definitions.

    It matches this version of Gantry: write it again after an upgrade.
    """
    text = schema_text.current(overlay=overlay)
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text)
    console.say(f"wrote {output}")
