"""`gantry show`: prints a definition with overlays and variables applied, and the source of each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli.support import console, definitions, options

if TYPE_CHECKING:
    import pydantic

    from gantry import definition

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry show shop -e production[/]  the definition of production, and which file sets each value

[cyan]gantry show shop --no-defaults > merged.yaml[/]  one file instead of several; it is a definition itself

[cyan]gantry show shop --set servers=3 --json | jq .definition.tiers[/]  for programs"""
)
def show(
    name: options.Name,
    *,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
    defaults: Annotated[
        bool, typer.Option("--defaults/--no-defaults", help="Whether to show default values, too.")
    ] = True,
    json_: options.Json = False,
) -> None:
    """Print the definition that a launch uses, with overlays merged and variables filled in.

    After each value comes its source: file, line and column; the variables in it; or that it is a default.
    """
    loaded = definitions.find(name, folder, environment=environment, variables=options.variables(settings))
    if json_:
        console.as_json(_as_json(loaded, defaults=defaults))
        return
    from gantry.cli.output import definition_text  # noqa: PLC0415 - pydantic and YAML, which help need not load

    for line in definition_text.lines(loaded, defaults=defaults):
        console.code(line.text, line.comment)


def _as_json(loaded: definition.Loaded, *, defaults: bool) -> dict[str, pydantic.JsonValue]:
    return {
        "deployment": loaded.definition.deployment,
        "environment": loaded.environment,
        "files": [str(each) for each in loaded.files],
        "variables": {
            name: {"value": each.value, "origin": _origin(each.origin)}
            for name, each in loaded.variables.items()
        },
        "definition": loaded.definition.model_dump(
            mode="json", exclude_unset=not defaults, exclude={"variables"}
        ),
        "values": [
            {"path": list(each.path), "value": each.value, "origin": _origin(each.origin)}
            for each in loaded.values()
            if each.path[0] != "variables" and (defaults or each.origin.file is not None)
        ],
    }


def _origin(origin: definition.Origin) -> dict[str, pydantic.JsonValue]:
    return {
        "kind": origin.kind.value,
        "file": origin.file,
        "line": origin.place.line if origin.place else None,
        "column": origin.place.column if origin.place else None,
        "variables": {each.variable: _origin(each.origin) for each in origin.insertions},
    }
