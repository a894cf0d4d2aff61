"""`gantry doctor`: checks the prerequisites of a launch."""

from __future__ import annotations

import typer

from gantry.cli.support import connections, console, definitions, options

app = typer.Typer(add_completion=False, rich_markup_mode="rich")

_MARKS = {"well": "[green]✓[/]", "wrong": "[red]✗[/]", "unknown": "[magenta]?[/]"}
"""By the result of a check."""


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry doctor bookshop[/]

[cyan]gantry doctor bookshop -e production --profile production[/]

[cyan]gantry doctor bookshop --json | jq '.findings\\[] | select(.standing == "wrong")'[/]"""
)
def doctor(
    *,
    name: options.Name,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
    profile: options.Profile = None,
    json_: options.Json = False,
) -> int:
    """Check connections, rights, images, subnets, buckets and objects before the first launch, read-only.

    EC2 is asked for one server of each tier and subnet as a dry run, which starts nothing. Of each object the first
    bytes are read, which show its format; of one in each bucket the first byte is downloaded with a link, in the same
    way as on servers. Chef servers are asked for the contents of run lists, and jump hosts are logged in to.
    Connections are read from the same places as by `gantry plan`. The first step of each operation makes the same
    checks, as far as that operation needs them.

    ✓ is good, ✗ is wrong, ? could not be determined from here. Exits with 0 if nothing is wrong, else with 1.
    """
    found = definitions.find(name, folder, environment=environment, variables=options.variables(settings))

    connections.prepare(profile)
    # Airflow and the cloud's clients take a second or two to load.
    from gantry import preflight  # noqa: PLC0415

    findings = []
    for each in preflight.examine(found.definition, preflight.of_launch(found.definition)):
        findings.append(each)
        if not json_:
            console.out.print(_MARKS[each.standing], end=" ")
            problem = None if each.standing == "well" else each.problem(found.source)
            console.out.print(str(problem or each), markup=False, highlight=False)
            if problem is not None and problem.excerpt:
                console.out.print(problem.excerpt, markup=False, highlight=False)
    is_well = not any(each.is_wrong for each in findings)
    if json_:
        console.as_json({"is_well": is_well, "findings": [each.as_json(found.source) for each in findings]})
    return console.SUCCESS if is_well else console.FAILURE
