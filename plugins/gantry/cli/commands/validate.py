"""`gantry validate`: reports every problem of definitions and their environments, before Airflow reads them."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli.support import console, definitions, options

if TYPE_CHECKING:
    import pydantic

    from gantry.cli.support import definition_checks

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry validate include[/]  every definition in a folder, with all of its environments

[cyan]gantry validate include/shop/shop.yaml[/]  one definition, with all of its environments

[cyan]gantry validate include/shop/shop.production.yaml[/]  one environment

[cyan]gantry validate include --json | jq -r '.problems[].message'[/]  for programs

As a pre-commit hook: [cyan]gantry-validate[/] of this repository, or a local one that calls this command."""
)
def validate(
    paths: Annotated[
        list[pathlib.Path] | None,
        typer.Argument(
            metavar="PATH",
            help="Files and folders. Left out: the folder of definitions.",
            show_default=False,
        ),
    ] = None,
    *,
    folder: options.Folder = definitions.FOLDER,
    settings: options.Set = None,
    only_definitions: Annotated[
        bool,
        typer.Option(
            "--only-definitions",
            help="Ignore files that are not definitions: for hooks that pass all YAML files.",
        ),
    ] = False,
    json_: options.Json = False,
) -> None:
    """Report everything that is wrong with definitions, with positions.

    A definition is checked on its own and once in each environment that an overlay (NAME.ENV.yaml) beside it defines.
    Neither Airflow nor a cloud is contacted. Exits with 1 if there is a problem.
    """
    from gantry.cli.support import definition_checks  # noqa: PLC0415 - pydantic and YAML, which help need not load

    wanted = definition_checks.checks(paths or [folder], only_definitions=only_definitions)
    found = definition_checks.findings(wanted, options.variables(settings))
    if json_:
        console.as_json(_as_json(wanted, found))
    else:
        _say(wanted, found)
    if found:
        raise typer.Exit(console.FAILURE)


def _say(
    wanted: Sequence[definition_checks.Check], found: Sequence[definition_checks.DefinitionFinding]
) -> None:
    for each in found:
        console.complain(str(each))
        if each.problem.excerpt:
            console.remark(each.problem.excerpt)
    files = len({each.file for each in wanted})
    environments = sum(each.environment is not None for each in wanted)
    checked = f"{_count(files, 'definition')}"
    if environments:
        checked += f" in {_count(environments, 'environment')}"
    if found:
        console.remark(f"{_count(len(found), 'problem')} in {checked}")
    else:
        console.say(f"{checked}: no problems")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _as_json(
    wanted: Sequence[definition_checks.Check], found: Sequence[definition_checks.DefinitionFinding]
) -> dict[str, pydantic.JsonValue]:
    return {
        "valid": not found,
        "checked": [{"file": str(each.file), "environment": each.environment} for each in wanted],
        "problems": [
            {
                "file": each.problem.file,
                "line": each.problem.place.line,
                "column": each.problem.place.column,
                "message": each.problem.message,
                "excerpt": each.problem.excerpt,
                "environments": list(each.environments),
            }
            for each in found
        ],
    }
