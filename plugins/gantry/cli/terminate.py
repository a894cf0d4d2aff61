"""`gantry terminate`: takes a deployment down, once its name has been typed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gantry import errors, names
from gantry.cli import carrying, console, groups, options, reach

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


class NotConfirmedError(errors.GantryError):
    """The name was not typed, so nothing is terminated."""

    def __init__(self, name: str, typed: str) -> None:
        self.typed = typed
        super().__init__(f"the confirmation reads {typed!r}, not {name!r}; nothing is terminated")


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry terminate shop[/]  asks for the deployment's name first

[cyan]gantry terminate shop --confirm shop --reason "end of the test"[/]  for scripts"""
)
@groups.expanded
def terminate(
    name: options.Name,
    waiting: carrying.Waiting,
    definition: reach.Definition,
    airflow: reach.Airflow,
    confirm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The deployment's name, instead of typing it.", show_default=False),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept in the run's record.", show_default=False)
    ] = "",
) -> int:
    """Terminate all servers of a deployment, balancers and services first. Their data is lost with them.

    Works on a half-launched deployment too. Ends with 0 when nothing is left, with 1 and each failed task's error
    otherwise.
    """
    from gantry import plan  # noqa: PLC0415 - pydantic and httpx, which help need not load
    from gantry.rest import deployments  # noqa: PLC0415

    name, known = definition.at_hand(name)
    api = airflow.api()
    dag = names.dag_id(name, names.Operation.TERMINATE)
    deployments.find(api, name, dag)
    typed = _typed(name) if confirm is None else confirm
    if typed != name:
        raise NotConfirmedError(name, typed)
    deployments.ready(api, name, dag, unpause=waiting.unpause)
    steps = None if known is None else plan.termination_plan(known)
    conf = {"confirm": typed, **({"reason": reason} if reason else {})}
    return carrying.carry_out(api, name, dag, conf, steps, waiting)


def _typed(name: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"nobody is here to type the name; give --confirm {name}", param_hint="--confirm"
        )
    console.say(f"All servers of {name} will be terminated, and their data is lost with them.")
    answer: str = typer.prompt(f"Type {name} to confirm", default="", show_default=False)
    return answer.strip()
