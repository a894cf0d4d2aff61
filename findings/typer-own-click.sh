#!/bin/sh
# Typer 0.29.2 is not built on the installed Click any more: it carries a Click of its own, whose classes are others.
# So what programs did with Typer and Click together stops working without a word:
#   - a command that raises `click.UsageError` ends with a traceback and exit code 1, no longer with `Error: …` and 2;
#   - `except click.ClickException` around `command.main(standalone_mode=False)` misses a missing argument;
#   - `isinstance(typer.main.get_command(app), click.Command)` is false.
#
# Seen on 2026-11-30, Python 3.11, typer 0.29.2, click 8.5.1:
#     a command of another Click: True
#     a missing argument: missed, MissingParameter
#     UsageError in a command: exit code 1 True
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install typer==0.29.2 click==8.5.1

cat >"$folder/program.py" <<'PYTHON'
import click
import typer

app = typer.Typer()


@app.command()
def scale(count: int) -> None:
    raise click.UsageError(f"{count} is out of range")


if __name__ == "__main__":
    app()
PYTHON

cat >"$folder/look.py" <<'PYTHON'
import subprocess
import sys

import click
import program
import typer

command = typer.main.get_command(program.app)
print("a command of another Click:", not isinstance(command, click.Command))
try:
    command.main([], standalone_mode=False)
except click.ClickException:
    print("a missing argument: caught")
except Exception as error:
    print("a missing argument: missed,", type(error).__name__)
ended = subprocess.run([sys.executable, "program.py", "3"], capture_output=True, text=True)
print("UsageError in a command: exit code", ended.returncode, "Traceback" in ended.stderr)
PYTHON

seen=$(cd "$folder" && venv/bin/python look.py)
echo "$seen"
[ "$seen" = "a command of another Click: True
a missing argument: missed, MissingParameter
UsageError in a command: exit code 1 True" ]
