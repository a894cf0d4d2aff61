"""`gantry history`: what was done with a deployment, also when Airflow has forgotten the runs."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gantry.cli import console, groups, options, reach

if TYPE_CHECKING:
    from rich.table import Table

    from gantry.status import records

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry history shop[/]  the last runs of all operations

[cyan]gantry history shop --last 200 --json | jq '.[].by'[/]  for programs"""
)
@groups.expanded
def history(
    name: options.Name,
    definition: reach.Definition,
    airflow: reach.Airflow,
    last: Annotated[int, typer.Option(metavar="COUNT", min=1, help="So many runs at most.")] = 20,
    *,
    json_: options.Json = False,
) -> int:
    """Say what was done with a deployment: which run, who asked for it, why, how it ended, what it changed.

    Read from the state of the asset deployment://NAME, which outlives the runs. Ends with 0 if it could say.
    """
    from gantry.cli import kept  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, _ = definition.at_hand(name)
    api = airflow.api()
    deployments.find(api, name)
    found = kept.records_of(api, name)[:last]
    if json_:
        console.as_json(kept.as_json(found))
    elif found:
        console.show(_table(found))
    else:
        console.say(f"Nothing is kept about {name}: it has had no run yet.")
    return console.SUCCESS


def _table(found: list[records.Record]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - as above

    drawn = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("began", "operation", "result", "took", "by", "servers", "versions", "reason"):
        drawn.add_column(title, no_wrap=True)
    for each in found:
        servers = [f"+{len(each.started)}"] if each.started else []
        servers += [f"-{len(each.ended)}"] if each.ended else []
        drawn.add_row(
            _clock(each.began),
            each.operation,
            each.result.value,
            _took(each),
            each.by,
            " ".join(servers),
            " ".join(f"{service}={version[:_SHORT]}" for service, version in each.versions.items()),
            each.reason,
        )
    return drawn


_SHORT = 8


def _clock(text: str) -> str:
    return f"{datetime.datetime.fromisoformat(text).astimezone():%Y-%m-%d %H:%M:%S}" if text else ""


def _took(record: records.Record) -> str:
    if record.over is None or not record.began:
        return ""
    took = datetime.datetime.fromisoformat(record.over) - datetime.datetime.fromisoformat(record.began)
    return f"{took.total_seconds():.0f} s"
