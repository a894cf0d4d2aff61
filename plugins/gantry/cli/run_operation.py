"""Triggers a run, follows it, and returns an exit code."""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from gantry import errors, names
from gantry.cli.support import console, options

if TYPE_CHECKING:
    import pydantic

    from gantry import overview, requests
    from gantry.cli.queries import run_follower
    from gantry.definition import models
    from gantry.rest import client


class NothingDoneError(errors.GantryError):
    """The run ended successfully without achieving its purpose."""

    def __init__(self, dag: str, link: str) -> None:
        super().__init__(
            f"the run of {dag} ended without doing its work: it was rejected, or its tasks were skipped\n"
            f"see {link}"
        )


def duration(text: str) -> float:
    """Parse a duration in the format of definitions, in seconds.

    Raises:
        typer.BadParameter: it is not a duration.
    """
    import pydantic  # noqa: PLC0415 - which help need not load

    from gantry.definition import fields  # noqa: PLC0415

    length: pydantic.TypeAdapter[datetime.timedelta] = pydantic.TypeAdapter(fields.Duration)
    try:
        return length.validate_python(int(text) if text.isdecimal() else text).total_seconds()
    except pydantic.ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(reason) from error


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Options for waiting until the run ends."""

    no_wait: Annotated[bool, typer.Option("--no-wait", help="End as soon as the run is triggered.")] = False
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="TIME",
            parser=duration,
            help="Wait no longer than this, such as 30m; the run itself continues.",
            show_default=False,
        ),
    ] = None
    unpause: Annotated[
        bool, typer.Option("--unpause", help="Unpause the DAG if it is paused, instead of failing.")
    ] = False
    json_: options.Json = False


def operate(
    api: client.AirflowApi,
    name: str,
    operation: names.Operation,
    request: requests.OperationRequest,
    waiting: Waiting,
) -> int:
    """Run an operation that not every deployment has.

    Raises:
        NoOperationError, PausedError: the DAG does not exist, or is paused. Else as `checked_conf` and `carry_out`.
    """
    from gantry import requests  # noqa: PLC0415 - as above
    from gantry.rest import deployments  # noqa: PLC0415 - as above

    dag = names.dag_id(name, operation)
    deployments.operable(api, name, dag, unpause=waiting.unpause)
    conf = request.checked_conf(requests.schemas_of(api.params(dag)))
    return carry_out(api, name, dag, conf, None, waiting)


def carry_out(
    api: client.AirflowApi,
    name: str,
    dag: str,
    conf: client.Json,
    definition: models.Definition | None,
    waiting: Waiting,
) -> int:
    """Trigger a run and follow it; return the exit code. Without a definition, its tasks are shown.

    Raises:
        RunFailedError, RunTooLongError, NothingDoneError: it did not succeed; as text. A program receives it as JSON.
    """
    ahead = [each.id for each in api.runs(dag) if not each.is_over]
    run = api.start(dag, conf)
    if waiting.no_wait:
        _triggered(api, run, waiting)
        return console.SUCCESS
    if not waiting.json_:
        console.say(f"run {run.id} of {dag}: {api.link(dag, run.id)}")
        if ahead:
            console.say(f"it starts when the previous run has ended: {', '.join(ahead)}")
    return follow(api, name, (run.dag, run.id), definition, waiting)


def follow(
    api: client.AirflowApi,
    name: str,
    run: overview.RunKey,
    definition: models.Definition | None,
    waiting: Waiting,
) -> int:
    """Show a run to its end; return the exit code. Raises as `carry_out`."""
    from gantry.cli.output import run_progress  # noqa: PLC0415 - httpx and pydantic, which help need not load
    from gantry.cli.queries import run_follower  # noqa: PLC0415 - as above

    watched = run_follower.RunFollower(api, name, definition)
    try:
        if waiting.json_:
            return _for_a_program(watched, run, waiting.timeout)
        with run_progress.shown(console.out) as show:
            found = watched.follow(run, show, seconds=waiting.timeout)
    except KeyboardInterrupt:
        console.complain(
            f"No longer watching; the run continues. To watch it again:\n  gantry status {name} --watch\n"
            f"  gantry logs {name} --run '{run[1]}' --follow"
        )
        return console.INTERRUPTED
    dag = run[0]
    if not found.has_arrived:
        raise NothingDoneError(dag, api.link(*run))
    for line in run_progress.where_the_time_went(found):
        console.say(line)
    took = f"{found.seconds() or 0:.1f} s from trigger to end"
    if found.keeps_state:
        console.say(f"{dag} is done: {took}")
        return console.SUCCESS
    state = "STOPPED" if found.is_termination else "RUNNING"
    console.say(f"{name} is {state if found.states is None else found.states.state}: {took}")
    return console.SUCCESS


def _triggered(api: client.AirflowApi, run: client.ApiDagRun, waiting: Waiting) -> None:
    if waiting.json_:
        console.as_json(
            {"dag": run.dag, "run": run.id, "run_state": run.state, "url": api.link(run.dag, run.id)}
        )
        return
    name, _, _ = run.dag.partition(".")
    console.say(f"triggered run {run.id} of {run.dag}: {api.link(run.dag, run.id)}")
    console.say(f"to see it: gantry status {name} --watch")


def _for_a_program(watched: run_follower.RunFollower, run: overview.RunKey, seconds: float | None) -> int:
    from gantry.cli.output import run_rows  # noqa: PLC0415 - as above
    from gantry.cli.queries import run_follower  # noqa: PLC0415 - as above

    seen: list[overview.RunSnapshot] = []
    failures: list[pydantic.JsonValue] = []
    code = console.FAILURE
    try:
        found = watched.follow(run, lambda found: seen.__setitem__(slice(None), [found]), seconds=seconds)
        code = console.SUCCESS if found.has_arrived else console.FAILURE
    except run_follower.RunFailedError as error:
        failures += [
            {
                "task": each.task,
                "server": each.server,
                "error": each.error,
                "causes": [failure.dump() for failure in each.failures],
                "log": list(each.tail),
            }
            for each in error.tasks
        ]
    except run_follower.RunTooLongError as error:
        console.complain(str(error))
    console.as_json({**run_rows.as_json(seen[0]), "failures": failures})
    return code
