"""Option groups: a command takes each group as one frozen dataclass, and typer sees its fields."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


def expanded(command: Callable[..., R]) -> Callable[..., R]:
    """Show typer the fields of every dataclass parameter; the command receives dataclasses built from them."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if dataclasses.is_dataclass(hint):
            groups[parameter.name] = hint
            parameters += _fields(hint)
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint))

    @functools.wraps(command)
    def called(**given: Any) -> R:  # noqa: ANN401 - what typer has parsed
        made = {
            name: kind(**{each.name: given.pop(each.name) for each in dataclasses.fields(kind)})
            for name, kind in groups.items()
        }
        return command(**given, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what typer asks first
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called


def _fields(group: Any) -> list[inspect.Parameter]:  # noqa: ANN401 - a dataclass
    hints = typing.get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name]
        )
        for each in dataclasses.fields(group)
    ]
