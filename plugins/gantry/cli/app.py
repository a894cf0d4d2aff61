"""Command table. A command's module is loaded when it is called, so no command pays for another's imports."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
import typer.core
import typer.main

import gantry
from gantry import errors
from gantry.cli.support import console

if TYPE_CHECKING:
    from importlib import metadata

COMMANDS: dict[str, str] = {
    "new": "gantry.cli.commands.new",
    "validate": "gantry.cli.commands.validate",
    "show": "gantry.cli.commands.show",
    "graph": "gantry.cli.commands.graph",
    "doctor": "gantry.cli.commands.doctor",
    "plan": "gantry.cli.commands.plan",
    "schema": "gantry.cli.commands.schema",
    "archive": "gantry.cli.commands.archive",
    "launch": "gantry.cli.commands.launch",
    "scale": "gantry.cli.commands.scale",
    "terminate": "gantry.cli.commands.terminate",
    "recover": "gantry.cli.commands.recover",
    "backup": "gantry.cli.commands.backup",
    "restore": "gantry.cli.commands.restore",
    "drill": "gantry.cli.commands.drill",
    "status": "gantry.cli.commands.status",
    "logs": "gantry.cli.commands.logs",
    "history": "gantry.cli.commands.history",
}
"""Our commands, in the order of `--help`, and the modules that hold each as a `typer.Typer` called `app`."""

GROUP = "gantry.commands"
"""Entry points with which other packages (such as the embedded cloud) add commands."""


# typer raises these from click, or from the bundled copy of click in later versions.
_USAGE, _REPORTED = (cast("type[Exception]", each) for each in typer.BadParameter.__mro__[1:3])


class _Commands(typer.core.TyperGroup):
    """Finds commands by name, and imports nothing before."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - click's, or a copy's
        return [*COMMANDS, *(point.name for point in _added())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        if cmd_name in COMMANDS:
            found = importlib.import_module(COMMANDS[cmd_name]).app
        else:
            points = [point for point in _added() if point.name == cmd_name]
            if not points:
                return super().get_command(ctx, cmd_name)
            found = points[0].load()
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401 - as above
        try:
            return super().resolve_command(ctx, args)
        except _USAGE as error:
            near = errors.near(args[0], self.list_commands(ctx))
            if near:
                cast("Any", error).message = f"No such command {args[0]!r}, did you mean {near!r}?"
            raise


def _added() -> list[metadata.EntryPoint]:
    # This loads even e-mail parsers: only for help and for commands from other packages.
    from importlib import metadata  # noqa: PLC0415

    return sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(*, wanted: bool) -> None:
    if wanted:
        console.say(f"gantry {gantry.__version__}")
        raise typer.Exit


@app.callback()
def gantry_(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Launch whole deployments from Airflow: check, preview, launch and watch them."""


def main() -> None:
    """Run the command line; end the process with the command's exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(prog_name="gantry", standalone_mode=False)
    except _REPORTED as error:
        # This loads even a Markdown renderer.
        from typer import rich_utils  # noqa: PLC0415

        rich_utils.rich_format_error(cast("Any", error))
        # 2 is the exit code of `gantry plan` for "there is something to do", so a mistyped option must not end with
        # it.
        sys.exit(console.USAGE if isinstance(error, _USAGE) else console.FAILURE)
    except errors.GantryError as error:
        console.complain(str(error))
        sys.exit(console.FAILURE)
    except OSError as error:
        if error.filename is None:
            raise
        console.complain(f"{error.filename}: {error.strerror}")
        sys.exit(console.FAILURE)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(console.INTERRUPTED)
    sys.exit(code if isinstance(code, int) else console.SUCCESS)
