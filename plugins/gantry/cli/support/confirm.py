"""Confirmation of irreversible operations by typing the deployment's name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from gantry import errors
from gantry.cli.support import console

if TYPE_CHECKING:
    from gantry import requests


class NameNotTypedError(errors.GantryError):
    """The name was not typed, so nothing is done."""

    def __init__(self, name: str, typed: str, nothing: str) -> None:
        self.typed = typed
        super().__init__(f"the confirmation reads {typed!r}, not {name!r}; {nothing}")


def typed(name: str, request: type[requests.ConfirmedRequest], given: str | None) -> str:
    """Return the deployment's name, as typed by the user or given by `--confirm`.

    Args:
        name: the name that has to be typed.
        request: what is confirmed: its warning is shown before the prompt.
        given: the value of `--confirm`, or None.

    Raises:
        NameNotTypedError: a different name was typed.
        typer.BadParameter: there is no terminal for a prompt.
    """
    answer = _asked(name, request.warning.format(name=name)) if given is None else given
    if answer != name:
        raise NameNotTypedError(name, answer, request.nothing_done)
    return answer


def _asked(name: str, warning: str) -> str:
    if not sys.stdin.isatty():
        raise typer.BadParameter(
            f"there is no terminal to type the name in; give --confirm {name}", param_hint="--confirm"
        )
    console.say(warning)
    answer: str = typer.prompt(f"Type {name} to confirm", default="", show_default=False)
    return answer.strip()
