"""`gantry history`: lists what was done with a deployment, even after Airflow has forgotten the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gantry import errors
from gantry.cli.support import console, option_groups, options, target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gantry import overview
    from gantry.rest import client
    from gantry.state import run_records

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


class NoRecordError(errors.GantryError):
    """The run has no record, or the given words match several."""

    def __init__(self, name: str, wanted: str, known: list[str], *, several: bool) -> None:
        self.wanted = wanted
        what = "several runs" if several else "no run"
        told = f": {', '.join(known)}" if known else ""
        super().__init__(
            f"{what} of {name} that {wanted!r} names{told}\n"
            f"Write a run's id or its beginning, or when it began, as gantry history {name} shows it."
        )


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry history shop[/]  the last runs of all operations

[cyan]gantry history shop "2026-11-27 07:12:29"[/]  one of them: what it changed, and what servers received

[cyan]gantry history shop --facts[/]  the last files that servers received, as differences; secrets are hidden

[cyan]gantry history shop --last 200 --json | jq '.[].by'[/]  for programs"""
)
@option_groups.expanded
def history(
    name: options.Name,
    definition: target.DefinitionLocation,
    airflow: target.AirflowTarget,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="One run, by its id or when it began (or the beginning of either). Left out: all.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[int, typer.Option(metavar="COUNT", min=1, help="Maximum number of entries.")] = 20,
    *,
    facts: Annotated[
        bool,
        typer.Option("--facts", help="Show the configuration that servers received, instead of the runs."),
    ] = False,
    json_: options.Json = False,
) -> int:
    """Show what was done with a deployment: which run, who started it, why, how it ended, what it changed.

    Read from the state of the asset deployment-state://NAME, which outlives the runs. Exits with 0 if it can be read.
    """
    from gantry.cli.output import history_text  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.cli.queries import asset_state  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, _ = definition.at_hand(name)
    api = airflow.api()
    deployments.find(api, name)
    state = asset_state.state_of(api, name)
    if run is not None:
        record = _one(name, run, state.records())
        told = state.facts_of(record)
        failed = _failed(api, name, record, state.kept)
        if json_:
            (dumped,) = asset_state.as_json((record,))
            reasons = history_text.as_json(failed)
            console.as_json(
                {"record": dumped, "facts": [each.as_json() for each in told], "failures": reasons}
            )
        else:
            history_text.show(record, told, failed)
    elif facts:
        told = state.facts()[:last]
        if json_:
            console.as_json([each.as_json() for each in told])
        elif told:
            history_text.show_facts(told)
        else:
            console.say(f"No configuration of {name}'s servers is recorded.")
    else:
        records = state.records()[:last]
        if json_:
            console.as_json(asset_state.as_json(records))
        elif records:
            console.show(history_text.table(records))
        else:
            console.say(f"No run of {name} is recorded: it has had none yet.")
    return console.SUCCESS


def _failed(
    api: client.AirflowApi, name: str, record: run_records.Record, kept: Mapping[str, object]
) -> tuple[overview.FailedTask, ...]:
    """Return the failed tasks of a run that failed."""
    from gantry.cli.queries import rest_source  # noqa: PLC0415 - as above
    from gantry.state import run_records  # noqa: PLC0415

    if record.result is not run_records.Result.FAILED:
        return ()
    return rest_source.failed_tasks(api, name, record, kept)


def _one(name: str, wanted: str, known: tuple[run_records.Record, ...]) -> run_records.Record:
    """Return the record that the user means. Raises NoRecordError."""
    from gantry.cli.output import history_text  # noqa: PLC0415 - as above

    exact = [each for each in known if each.run == wanted]
    found = exact or [
        each
        for each in known
        if wanted and (each.run.startswith(wanted) or history_text.clock(each.began).startswith(wanted))
    ]
    if len(found) != 1:
        shown = [f"{each.run} ({each.operation})" for each in (found or known)[:5]]
        raise NoRecordError(name, wanted, shown, several=bool(found))
    return found[0]
