"""Variables: values that differ from one environment to the next."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pydantic
from pydantic import Field

from gantry.definition import source, spelling
from gantry.definition.fields import Model, Scalar

VariableType = Literal["string", "integer", "number", "boolean"]
TYPES = typing.get_args(VariableType)

_WORDS = {
    "string": "text (put it in quotes)",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


class Variable(Model):
    """A value that is written `${NAME}` elsewhere. A bare value is a variable of its type with that default."""

    short_form: ClassVar[Mapping[str, object] | None] = {"type": [*TYPES]}

    type: VariableType = Field(
        default="string",
        description="What its values are. Left out: what `default` is, else `string`.",
        examples=["integer"],
    )
    values: tuple[Scalar, ...] = Field(
        default=(), description="The only values that it may have.", examples=[["small", "large"]]
    )
    default: Scalar | None = Field(
        default=None,
        description="Its value where neither an overlay nor the caller that loads the definition gives another one.",
        examples=[2],
    )
    description: str = Field(
        default="", description="A one-line description.", examples=["How many application servers there are"]
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _bare_value(cls, value: Any) -> Any:  # noqa: ANN401 - what stands in the file can be anything
        if isinstance(value, Variable):
            return value
        given = value if isinstance(value, dict) else {"default": value}
        if not isinstance(given.get("default"), str | int | float | dict | list | None):
            return given
        if isinstance(value, list) or value is None:
            raise ValueError("a value, or {type: …, default: …}, belongs here")
        kind = type_of(given.get("default"))
        return given if "type" in given or kind is None else {**given, "type": kind}

    @pydantic.field_validator("values")
    @classmethod
    def _values_of_type(cls, value: tuple[Scalar, ...], info: pydantic.ValidationInfo) -> tuple[Scalar, ...]:
        kind = info.data.get("type")
        for each in value:
            if kind is not None and not fits(each, kind):
                raise ValueError(f"{source.shown(each)} is not {_WORDS[kind]}")
        return value

    @pydantic.field_validator("default")
    @classmethod
    def _default_allowed(cls, value: Scalar | None, info: pydantic.ValidationInfo) -> Scalar | None:
        kind, values = info.data.get("type"), info.data.get("values")
        if value is not None and kind is not None and values is not None:
            check(value, kind, values)
        return value

    def checked(self, value: source.Scalar) -> source.Scalar:
        """Validate a value for this variable. Raises ValueError with the problem."""
        check(value, self.type, self.values)
        return value

    def read(self, text: str) -> source.Scalar:
        """Parse a value for this variable given as text, on a command line. Raises ValueError."""
        try:
            return self.checked(_read(text, self.type))
        except spelling.NotAsWrittenError as error:
            raise ValueError(
                f"{text} would become {error.number!r}, since the variable's type is {self.type}: "
                f"give {error.number!r}, or declare it with type: string"
            ) from None


def check(value: source.Scalar, kind: VariableType, values: tuple[source.Scalar, ...]) -> None:
    """Raise a ValueError unless a value has its original spelling, the type, and is one of the values, if any."""
    spelling.refuse(value)
    if not fits(value, kind):
        raise ValueError(f"{source.shown(value)} is not {_WORDS[kind]}")
    if values and not any(value == each for each in values):
        words = [str(each) for each in values]
        found = source.near(str(value), words)
        rather = f", did you mean {found!r}?" if found is not None else ""
        raise ValueError(f"{source.shown(value)} is not one of {source.listed(words)}{rather}")


def fits(value: source.Scalar, kind: VariableType) -> bool:
    """Return whether a value is of a type."""
    own = type_of(value)
    return own == kind or (own == "integer" and kind == "number")


def type_of(value: object) -> VariableType | None:
    """Return the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else None


def _read(text: str, kind: VariableType) -> source.Scalar:
    try:
        if kind == "boolean":
            return {"true": True, "false": False}[text.lower()]
        if kind == "integer":
            return spelling.spelled(int(text), text)
        if kind == "number":
            return spelling.spelled(_number(text), text)
    except (KeyError, ValueError):
        # Reported by the check, which has the name of the type.
        pass
    return text


def _number(text: str) -> int | float:
    """Parse a number, as an integer if written so. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not math.isfinite(value):
            raise
        return value
