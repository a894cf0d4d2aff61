"""`gantry graph`: draws the steps of a launch and their order, as a picture or as text."""

from __future__ import annotations

import enum
import pathlib
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli.support import console, definitions, options

if TYPE_CHECKING:
    from gantry.cli.output import plan_graph

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


class Format(enum.StrEnum):
    """Output formats of a graph."""

    TEXT = "text"
    SVG = "svg"
    MERMAID = "mermaid"


_SUFFIXES = {".svg": Format.SVG, ".mmd": Format.MERMAID, ".mermaid": Format.MERMAID}


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry graph shop[/]  the steps by phase, each with those that it waits for

[cyan]gantry graph shop -e production -o shop.svg[/]  a picture for a browser, light or dark as it prefers

[cyan]gantry graph shop --format mermaid[/]  for Markdown that draws Mermaid"""
)
def graph(
    name: options.Name,
    *,
    format_: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="Left out: by the output's file name extension, else text.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        pathlib.Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The file to write; one that exists is replaced. Left out: standard output.",
        ),
    ] = None,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
) -> None:
    """Draw the plan of a launch: its steps, and what each waits for.

    Lanes are tiers, services and load balancers. Steps that have nothing to do (configuration management that is not
    configured) are left out.
    """
    loaded = definitions.find(name, folder, environment=environment, variables=options.variables(settings))
    from gantry import plan  # noqa: PLC0415 - pydantic and YAML, which help need not load
    from gantry.cli.output import plan_graph  # noqa: PLC0415 - as above

    drawn = plan_graph.Graph(loaded.definition, plan.launch_plan(loaded.definition))
    chosen = format_ or _SUFFIXES.get(output.suffix if output else "", Format.TEXT)
    text = _text(drawn) if chosen is Format.TEXT else _filled(drawn, chosen)
    if output is None:
        sys.stdout.write(text)
        return
    output.write_text(text, encoding="utf-8")
    console.say(f"wrote {output}")


def _title(drawn: plan_graph.Graph) -> str:
    return f"Launch of {drawn.plan.deployment}"


def _filled(drawn: plan_graph.Graph, chosen: Format) -> str:
    import importlib.resources  # noqa: PLC0415 - only here

    import jinja2  # noqa: PLC0415 - not for the sake of --help

    from gantry.cli.output import plan_graph  # noqa: PLC0415 - as above

    file = "graph.svg.jinja" if chosen is Format.SVG else "graph.mmd.jinja"
    # Names are validated, but the text in a picture is escaped anyway.
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    template = environment.from_string(
        (importlib.resources.files("gantry.cli") / "templates" / "graph" / file).read_text(encoding="utf-8")
    )
    return template.render(
        title=_title(drawn),
        graph=drawn,
        node={step.id: f"step{number}" for number, step in enumerate(drawn.steps, 1)},
        picture=plan_graph.draw(drawn, _title(drawn)) if chosen is Format.SVG else None,
        margin=plan_graph.MARGIN,
        box_width=plan_graph.BOX_WIDTH,
        line_height=plan_graph.LINE_HEIGHT,
    )


def _text(drawn: plan_graph.Graph) -> str:
    """Return the steps in their phases, each with a number for references."""
    in_phases = sorted(drawn.steps, key=lambda step: step.phase)
    number = {step.id: place for place, step in enumerate(in_phases, 1)}
    lanes = max((len(drawn.label(step.group)) for step in in_phases), default=0)
    titles = max((len(drawn.title(step)) for step in in_phases), default=0)
    lines = [f"{_title(drawn)}: {drawn.note_of_all}"]
    phase = None
    for step in in_phases:
        if step.phase is not phase:
            phase = step.phase
            lines += ["", f"{phase.value} {phase.title}"]
        after = ", ".join(str(each) for each in sorted(number[before] for before in drawn.before[step.id]))
        waits = f"after {after}" if after else ""
        lane = drawn.label(step.group)
        lines.append(f"{number[step.id]:4}  {lane:{lanes}}  {drawn.title(step):{titles}}  {waits}".rstrip())
    return "\n".join(lines) + "\n"
